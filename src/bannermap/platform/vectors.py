"""Stored vectors, as every stage takes them: which of a picture's files has one, and which vectors cannot be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def pictures_held(pictures: DataFrame, vectors: DataFrame, *facts: str) -> DataFrame:
    """One row per distinct picture of which a file has a vector: node_id, banners, content_hash of the smallest such file.

    Of files with equal pixels, an encoder that was away left some.

    Args:
        pictures: pixel_hash, content_hash and ``facts``, one row per banner.
        vectors: content_hash, each once.
        facts: further columns, of the chosen file.
    """
    held = pictures.join(vectors.select("content_hash", F.lit(True).alias("held")), "content_hash", "left")
    smallest = F.min(F.when(F.col("held"), F.struct("content_hash", *facts))).alias("m")
    grouped = held.groupBy("pixel_hash").agg(F.count("*").alias("banners"), smallest)
    return grouped.where("m IS NOT NULL").select(F.col("pixel_hash").alias("node_id"), "banners", "m.*")


def usual_dimensions(rows: DataFrame) -> int:
    """The length that most vectors have, the greater on a tie; 0 without vectors."""
    lengths = rows.where("vector IS NOT NULL").groupBy(F.size("vector").alias("d")).count()
    first = lengths.orderBy(F.desc("count"), F.desc("d")).head(1)
    return int(first[0]["d"]) if first else 0


def vector_faults(rows: DataFrame, dimensions: int) -> DataFrame:
    """The rows with ``reason``: why a row cannot be clustered, null where it can.

    Args:
        rows: node_id, vector, and whatever else.
        dimensions: the length that vectors have to have.
    """
    reasons = (
        ("no_id", F.col("node_id").isNull()),
        ("no_vector", F.col("vector").isNull()),
        ("other_dimensions", F.size("vector") != dimensions),
        ("not_finite", ~is_finite()),
        ("zero_vector", ~has_direction()),
    )
    return rows.withColumn("reason", F.coalesce(*[F.when(test, F.lit(name)) for name, test in reasons]))


def is_finite() -> Column:
    """Whether every number of ``vector`` is one."""
    return ~F.exists("vector", lambda x: x.isNull() | F.isnan(x) | (F.abs(x) == float("inf")))


def has_direction() -> Column:
    """Whether ``vector`` is not all zeros."""
    return F.exists("vector", lambda x: x != 0)
