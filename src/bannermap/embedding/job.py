"""The job `embed_banners`: pictures of a day's banners to vectors, and the same for a folder of images."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.embedding import transforms as t
from bannermap.embedding.encoders.chain import check_encoders, make_chain
from bannermap.embedding.fetching.checks import check_fetching
from bannermap.embedding.frames import ADDRESSES
from bannermap.embedding.kernel import ImageKernel
from bannermap.embedding.making import Workshop, check_nothing_lost, made_in_tasks, tasks_of
from bannermap.embedding.statuses import ENCODER_UNAVAILABLE, NO_BYTES, OK
from bannermap.platform.cli import FileMode, Stage
from bannermap.platform.errors import InputError
from bannermap.platform.image_store import keep_bytes
from bannermap.platform.runs import JobContext, say
from bannermap.platform.settings import Settings
from bannermap.platform.tables import BANNER_DAYS, EMBEDDINGS, FILE_EMBEDDINGS, IMAGE_FETCHES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def run(context: JobContext, encodes: bool = True) -> None:
    """Fetch, decode and encode what is new among the day's banners; what a later day's run has fetched counts as this day's.

    Tasks leave each finished batch aside. Bytes are written before vectors and vectors before the fetch rows that say "done": a
    run that was killed anywhere is completed by running it again, and a second run fetches and encodes nothing.

    Args:
        context: of the run.
        encodes: false: everything but vectors; a later run that encodes finds the stored bytes.
    """
    warehouse, settings, phases = context.warehouse, context.settings, PHASES if encodes else FETCH_PHASES
    today = warehouse.read(BANNER_DAYS, "dedupe_banners").where(F.col("dt") == F.lit(context.dt))
    if today.isEmpty():
        raise InputError(f"banner_days has nothing for {context.dt}. Run dedupe_banners for that day first.")
    fetches = warehouse.read_or_empty(IMAGE_FETCHES)
    workshop = Workshop(context, image_kernel(settings, settings.paths.images, encodes))
    pairs = t.pairs_to_fetch(today, fetches, context.dt, settings.fetch).persist()
    with context.phase(phases[0]):
        context.run.rows_in = pairs.count()
        images = workshop.from_addresses(t.addresses_of(pairs))
        context.run.metrics.update(t.totals(images))
    with context.phase(phases[1]):
        keep_bytes(warehouse, settings.fetch.image_cache, t.byte_rows(images))
        if encodes:
            warehouse.insert_new(EMBEDDINGS, t.vector_rows(images))
    if encodes:
        with context.phase("encode stored images"):
            _encode_stored(context, today, fetches, workshop)
    with context.phase(phases[-1]):
        rows = t.fetch_rows(pairs, images, context.dt).persist()
        _count(context, rows)
        earlier = t.fetched_on_later_days(today, fetches, context.dt).persist()
        context.run.metrics["pictures_of_later_days"] = earlier.count()
        warehouse.merge(IMAGE_FETCHES, rows.unionByName(earlier))
    workshop.clear()
    warehouse.spark.catalog.clearCache()


def image_kernel(settings: Settings, root: str, encodes: bool = True) -> ImageKernel:
    """What tasks need to make rows of addresses.

    Args:
        settings: the configuration.
        root: folder that relative addresses start from.
        encodes: false: no vectors are made, and no GPU is asked for.
    """
    encoder = settings.encoder if encodes else settings.encoder.model_copy(update={"gpu_per_task": 0.0})
    return ImageKernel(str(Path(root).resolve()), settings.fetch, settings.decode, encoder, encodes)


def _encode_stored(context: JobContext, today: DataFrame, fetches: DataFrame, workshop: Workshop) -> None:
    """Vectors for pictures that an earlier run fetched under another encoder, or when this one was away."""
    warehouse, settings = context.warehouse, context.settings
    made, encoder_ids = warehouse.read_or_empty(EMBEDDINGS), make_chain(settings.encoder).encoder_ids
    missing = t.contents_without_vector(today, fetches, made, encoder_ids).persist()
    metrics, count = context.run.metrics, missing.count()
    metrics["stored_images_encoded"] = 0.0
    if count:
        images = workshop.from_contents(missing)
        warehouse.insert_new(EMBEDDINGS, t.vector_rows(images))
        counts = t.outcomes(images)
        gone = count - sum(counts.values())
        metrics["stored_images_encoded"] = float(counts.pop(OK, 0))
        metrics["images_not_encoded"] += counts.pop(ENCODER_UNAVAILABLE, 0)
        _reject(context, counts | {NO_BYTES: gone})
        if gone:
            say(f"{gone} pictures were not encoded: their bytes are stored no more (retention.image_days), or not what they were")


def _count(context: JobContext, rows: DataFrame) -> None:
    counts = {r["status"]: r["count"] for r in rows.groupBy("status").count().collect()}
    check_nothing_lost(context, context.run.rows_in, sum(counts.values()), "banners")
    context.run.rows_out = counts.pop(OK, 0)
    _reject(context, counts)
    if waiting := int(context.run.metrics["images_not_encoded"]):
        context.run.rejected[ENCODER_UNAVAILABLE] = waiting
        say(f"{waiting} pictures have no vector yet, since their encoder was not available; the next run of a day encodes them")


def _reject(context: JobContext, counts: Mapping[str, int]) -> None:
    context.run.rejected.update(Counter(context.run.rejected) + Counter(counts))


def run_on_files(spark: SparkSession, settings: Settings, values: Mapping[str, str]) -> None:
    """Embed every file below a folder into a Parquet folder, one row per file; failures are rows too."""
    root = Path(values["images"])
    names = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    if not names:
        raise InputError(f"{root} is not a folder with files. Give the folder that holds the pictures.")
    addresses = spark.createDataFrame([(name,) for name in names], ADDRESSES.schema)
    spread = addresses.repartition(tasks_of(spark), "image_url")
    images = made_in_tasks(spread, image_kernel(settings, str(root)).from_addresses, settings.encoder)
    rows = FILE_EMBEDDINGS.select(t.file_rows(images)).persist()
    rows.write.mode("overwrite").parquet(values["out"])
    counts = rows.groupBy("status").count().orderBy("status").collect()
    by_status = ", ".join(f"{r['count']} {r['status']}" for r in counts)
    say(f"{len(names)} files in {root}: {by_status}; vectors in {values['out']}")


def _check(settings: Settings) -> None:
    check_fetching(settings)
    check_encoders(settings.encoder)


PHASES = ("fetch, decode and encode", "write bytes and vectors", "encode stored images", "write image_fetches")
FETCH_PHASES = ("fetch and decode", "write bytes", "write image_fetches")
STAGE = Stage("embed_banners", run, PHASES, _check)
FETCH = Stage("fetch_banners", functools.partial(run, encodes=False), FETCH_PHASES, check_fetching)
FILES = FileMode({"images": "folder of images, searched with its subfolders"}, run_on_files, check=_check)
