"""The job `import_embeddings`: vectors that were made elsewhere become vectors of an encoder_id of their own."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pyspark import StorageLevel
from pyspark.sql import functions as F

from bannermap.embedding.external import CONTENT_PREFIX, PREFIX, RowChecker
from bannermap.embedding.frames import EXTERNAL_ROWS
from bannermap.platform.cli import Stage
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.files import path_exists
from bannermap.platform.runs import JobContext, say
from bannermap.platform.tables import BANNER_DAYS, EMBEDDINGS, EXTERNAL_VECTORS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from bannermap.platform.settings import Settings

ROUNDING = 1e-6
"""Difference of a number of two unit vectors that another float type explains: more is another vector."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NUMBERS = ("float", "double", "tinyint", "smallint", "int", "bigint")
PHASES = ("look at the vectors", "write vectors")


@dataclass(frozen=True)
class Import:
    """What is asked for.

    Attributes:
        path: Parquet or Delta, one vector a row.
        name: of whoever made the vectors; becomes the encoder_id.
        id_kind: what an id names.
        id_column: its column.
        vector_column: that of the vectors.
    """

    path: str
    name: str
    id_kind: Literal["banner_id", "content_hash"] = "banner_id"
    id_column: str = "id"
    vector_column: str = "vector"

    @property
    def encoder_id(self) -> str:
        """The name with the prefix of imported vectors, once."""
        return PREFIX + self.name.removeprefix(PREFIX)


def import_stage(asked: Import) -> Stage:
    """The stage that imports."""

    def check(settings: Settings) -> None:
        if not NAME.fullmatch(asked.name.removeprefix(PREFIX)):
            raise ConfigError(
                f"--encoder-id {asked.name!r} cannot name a folder of a table: take up to 100 letters, digits, '.', '_' and '-', "
                "such as resnet50-2026."
            )

    return Stage("import_embeddings", functools.partial(run, asked=asked), PHASES, check)


def run(context: JobContext, asked: Import) -> None:
    """Import what is new; what is there already stays as it is, so the same command again changes nothing.

    Vectors are written before the rows that tie them to banners: a run that was killed is completed by running it again.
    """
    warehouse, encoder_id = context.warehouse, asked.encoder_id
    stored = warehouse.read_or_empty(EMBEDDINGS).where(F.col("encoder_id") == encoder_id)
    _check_kind(stored, asked)
    with context.phase("look at the vectors"):
        rows = read_vectors(warehouse.spark, asked.path, {"id": asked.id_column, "vector": asked.vector_column})
        checked = rows.mapInArrow(RowChecker(_dimensions(stored, rows, asked.path)), EXTERNAL_ROWS.schema)
        judged = judged_rows(checked, stored, asked.id_kind).persist(StorageLevel.DISK_ONLY)
        context.run.rows_in = judged.count()
        refused = judged.where("reason IS NOT NULL")
        what = F.to_json(F.struct(F.lit(encoder_id).alias("encoder_id"), "id", "dimensions"))
        context.reject(refused.select("reason", what.alias("row_json")))
    with context.phase("write vectors"):
        usable = (
            judged.where("reason IS NULL")
            .dropDuplicates(["id"])
            .withColumns({"encoder_id": F.lit(encoder_id), "emphasis": F.lit(None)})
        )
        new = usable.where("NOT known")
        context.run.rows_out = new.count()
        warehouse.insert_new(EMBEDDINGS, EMBEDDINGS.select(new))
        if asked.id_kind == "banner_id":
            _tie_to_banners(context, usable)
    _say(context, encoder_id)
    warehouse.spark.catalog.clearCache()


def judged_rows(checked: DataFrame, stored: DataFrame, id_kind: str) -> DataFrame:
    """The rows with the reasons that only other rows can give, content_hash, and whether the vector is stored already.

    Args:
        checked: `EXTERNAL_ROWS`.
        stored: `EMBEDDINGS` of the encoder_id.
        id_kind: see `Import`.
    """
    content = F.concat(F.lit(CONTENT_PREFIX), "id") if id_kind == "banner_id" else F.col("id")
    usable = checked.where("reason IS NULL")
    several = usable.groupBy("id").agg(F.countDistinct(F.xxhash64("vector")).alias("n")).where("n > 1")
    marked = checked.withColumn("content_hash", content).join(several.select("id", F.lit(True).alias("several")), "id", "left")
    before = stored.select("content_hash", F.col("vector").alias("stored"))
    joined = marked.join(before, "content_hash", "left")
    apart = F.exists(F.zip_with("vector", "stored", lambda a, b: F.abs(a - b)), lambda d: d.isNull() | (d > ROUNDING))
    reasons = F.coalesce(
        F.col("reason"),
        F.when(F.col("several"), F.lit("conflicting_vectors")),
        F.when(F.col("stored").isNotNull() & apart, F.lit("changed_vector")),
    )
    known = F.col("stored").isNotNull()
    return joined.select("id", "dimensions", "vector", "content_hash", reasons.alias("reason"), known.alias("known"))


def _tie_to_banners(context: JobContext, usable: DataFrame) -> None:
    """Rows of `external_vectors`, and how many of their banners any log has had."""
    ties = usable.withColumns({"banner_id": F.col("id"), "imported_dt": F.lit(context.dt)})
    context.warehouse.insert_new(EXTERNAL_VECTORS, EXTERNAL_VECTORS.select(ties))
    banners = context.warehouse.read_or_empty(BANNER_DAYS).select(F.col("banner_id").alias("id")).distinct()
    context.run.metrics["banners_seen_in_logs"] = usable.join(banners, "id", "left_semi").count()


def read_vectors(spark: SparkSession, path: str, columns: Mapping[str, str]) -> DataFrame:
    """Columns of a Parquet file or folder, or a Delta table, that somebody else wrote.

    Args:
        spark: the session.
        path: where.
        columns: name here -> name there; ``vector`` has to be there as a list of numbers, the others are read as strings.

    Raises:
        InputError: there is nothing, or it has other columns.
    """
    from delta.tables import DeltaTable

    if not path_exists(spark, path):
        raise InputError(f"There is nothing at {path}. --vectors takes a Parquet file or folder, or a Delta table.")
    rows = spark.read.format("delta" if DeltaTable.isDeltaTable(spark, path) else "parquet").load(path)
    types = dict(rows.dtypes)
    missing = [c for c in columns.values() if c not in types]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}; it has {', '.join(types)}. See the job's options.")
    kind = types[columns["vector"]]
    if kind not in [f"array<{number}>" for number in NUMBERS]:
        raise InputError(f"Column {columns['vector']} of {path} is {kind}; vectors have to be lists of numbers: array<float>.")
    found = {name: F.col(f"`{there}`") for name, there in columns.items()}
    return rows.select(*[(c if name == "vector" else c.cast("string")).alias(name) for name, c in found.items()])


def _dimensions(stored: DataFrame, rows: DataFrame, path: str) -> int:
    """What vectors of this encoder_id have; at the first import, what most of the given ones have, the greater on a tie."""
    known = stored.select(F.size("vector").alias("d")).head(1)
    counts = rows.where("vector IS NOT NULL AND size(vector) > 0").groupBy(F.size("vector").alias("d")).count()
    found = known or counts.orderBy(F.desc("count"), F.desc("d")).head(1)
    if not found:
        raise InputError(f"No row of {path} has a vector; nothing was imported.")
    return int(found[0]["d"])


def _check_kind(stored: DataFrame, asked: Import) -> None:
    first = stored.select("content_hash").head(1)
    if first and first[0]["content_hash"].startswith(CONTENT_PREFIX) != (asked.id_kind == "banner_id"):
        other = "content_hash" if asked.id_kind == "banner_id" else "banner_id"
        raise InputError(
            f"{asked.encoder_id} has vectors by {other}, and a clustering takes one kind of id. Import these under another "
            "--encoder-id, or with --id-kind as before."
        )


def _say(context: JobContext, encoder_id: str) -> None:
    refused = ", ".join(f"{rows} {reason}" for reason, rows in sorted(context.run.rejected.items()))
    say(f"{context.title}: {context.run.rows_out} new vectors of {encoder_id}; refused: {refused or 'none'}")
    changed = context.run.rejected.get("changed_vector")
    if changed:
        say(
            f"{context.title}: vectors of an encoder_id never change, since clusterings were made of them: the {changed} that "
            "differ from those stored were left out. Import them under another name."
        )
    if context.run.metrics.get("banners_seen_in_logs") == 0:
        say(
            f"{context.title}: none of these ids is in banner_days. Is it the right column, and should --id-kind be content_hash?"
        )
