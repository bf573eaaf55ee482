"""The job `embed_banners`: pictures of a day's banners to vectors, and the same for a folder of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.embedding import transforms as t
from bannermap.embedding.encoders.chain import check_encoders
from bannermap.embedding.encoders.interface import make_encoder
from bannermap.embedding.frames import ADDRESSES
from bannermap.embedding.kernel import ImageKernel
from bannermap.embedding.statuses import OK
from bannermap.platform.cli import FileMode, Stage
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext, say
from bannermap.platform.settings import Settings
from bannermap.platform.tables import BANNER_DAYS, EMBEDDINGS, FILE_EMBEDDINGS, IMAGE_BYTES, IMAGE_FETCHES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TASKS_PER_CORE = 2


def run(context: JobContext) -> None:
    """Fetch, decode and encode what is new among the day's banners.

    Bytes are written before vectors and vectors before the fetch rows that say "done": a run that was killed anywhere is
    completed by running it again, and a second run fetches and encodes nothing.
    """
    warehouse = context.warehouse
    today = warehouse.read(BANNER_DAYS, "dedupe_banners").where(F.col("dt") == F.lit(context.dt))
    if today.isEmpty():
        raise InputError(f"banner_days has nothing for {context.dt}. Run dedupe_banners for that day first.")
    fetches = warehouse.read_or_empty(IMAGE_FETCHES)
    kernel, tasks = image_kernel(context.settings, context.settings.paths.images), _tasks(warehouse.spark)
    encoder_id = make_encoder(context.settings.encoder).encoder_id
    pairs = t.pairs_to_fetch(today, fetches, context.dt, context.settings.fetch.retry_after_days).persist()
    with context.phase("fetch, decode and encode"):
        images = t.fetched_images(pairs, kernel, tasks).persist()
        context.run.rows_in = pairs.count()
        context.run.metrics["images_fetched"] = images.count()
    with context.phase("write bytes and vectors"):
        warehouse.insert_new(IMAGE_BYTES, t.byte_rows(images))
        warehouse.insert_new(EMBEDDINGS, t.vector_rows(images, encoder_id))
    with context.phase("encode stored images"):
        _encode_stored(context, today, fetches, kernel, encoder_id)
    with context.phase("write image_fetches"):
        rows = t.fetch_rows(pairs, images, context.dt).persist()
        _count(context, rows)
        warehouse.merge(IMAGE_FETCHES, rows)
    warehouse.spark.catalog.clearCache()


def image_kernel(settings: Settings, root: str) -> ImageKernel:
    """What tasks need to make rows of addresses.

    Args:
        settings: the configuration.
        root: folder that relative addresses start from.
    """
    return ImageKernel(str(Path(root).resolve()), settings.fetch, settings.decode, settings.encoder)


def _tasks(spark: SparkSession) -> int:
    return TASKS_PER_CORE * spark.sparkContext.defaultParallelism


def _encode_stored(context: JobContext, today: DataFrame, fetches: DataFrame, kernel: ImageKernel, encoder_id: str) -> None:
    """Vectors for pictures that an earlier run fetched under another encoder."""
    warehouse = context.warehouse
    missing = t.contents_without_vector(today, fetches, warehouse.read_or_empty(EMBEDDINGS), encoder_id).persist()
    context.run.metrics["stored_images_encoded"] = missing.count()
    if context.run.metrics["stored_images_encoded"]:
        images = t.encoded_images(missing, warehouse.read(IMAGE_BYTES), kernel, _tasks(warehouse.spark))
        warehouse.insert_new(EMBEDDINGS, t.vector_rows(images, encoder_id))


def _count(context: JobContext, rows: DataFrame) -> None:
    counts = {r["status"]: r["count"] for r in rows.groupBy("status").count().collect()}
    context.run.rows_out = counts.pop(OK, 0)
    context.run.rejected.update(counts)


def run_on_files(spark: SparkSession, settings: Settings, values: Mapping[str, str]) -> None:
    """Embed every file below a folder into a Parquet folder, one row per file; failures are rows too."""
    root = Path(values["images"])
    names = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    if not names:
        raise InputError(f"{root} is not a folder with files. Give the folder that holds the pictures.")
    addresses = spark.createDataFrame([(name,) for name in names], ADDRESSES.schema)
    images = t.fetched_images(addresses, image_kernel(settings, str(root)), _tasks(spark))
    rows = FILE_EMBEDDINGS.select(images.withColumnRenamed("image_url", "file")).persist()
    rows.write.mode("overwrite").parquet(values["out"])
    counts = rows.groupBy("status").count().orderBy("status").collect()
    by_status = ", ".join(f"{r['count']} {r['status']}" for r in counts)
    say(f"{len(names)} files in {root}: {by_status}; vectors in {values['out']}")


def _check(settings: Settings) -> None:
    check_encoders(settings.encoder)


PHASES = ("fetch, decode and encode", "write bytes and vectors", "encode stored images", "write image_fetches")
STAGE = Stage("embed_banners", run, PHASES, check=_check)
FILES = FileMode({"images": "folder of images, searched with its subfolders"}, run_on_files, check=_check)
