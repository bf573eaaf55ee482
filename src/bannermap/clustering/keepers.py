"""Near-duplicate pairs as rows, and which banner of each duplicate set to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.platform.tables import DUPLICATE_SETS, NEAR_DUPLICATES

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

REASONS = ("largest", "best_quality", "oldest", "first_id")


def near_duplicate_rows(
    pairs: DataFrame, nodes: DataFrame, outcomes: DataFrame, names: DataFrame, clustering_id: str
) -> DataFrame:
    """`NEAR_DUPLICATES` from pairs of node numbers.

    Args:
        pairs: src, dst, cosine; src is the smaller.
        nodes: node, node_id.
        outcomes: node, cluster_id (provisional), duplicate_of.
        names: `CLUSTER_NAMES`.
        clustering_id: the clustering.
    """
    a = nodes.select(F.col("node").alias("src"), F.col("node_id").alias("pixel_hash_a"))
    b = nodes.select(F.col("node").alias("dst"), F.col("node_id").alias("pixel_hash_b"))
    places = outcomes.where("duplicate_of IS NOT NULL").select(
        F.col("node").alias("src"), F.col("cluster_id").alias("provisional_id"), F.col("duplicate_set_id").alias("set_id")
    )
    named = pairs.join(a, "src").join(b, "dst").join(places, "src").join(F.broadcast(names), "provisional_id")
    return NEAR_DUPLICATES.select(named.withColumn("clustering_id", F.lit(clustering_id)))


def duplicate_set_rows(members: DataFrame, names: DataFrame, clustering_id: str) -> DataFrame:
    """`DUPLICATE_SETS`: the keeper is the first by most pixels, most bytes per pixel, earliest first day, smallest id.

    Bytes per pixel stand for quality: of two equal pictures the larger file was compressed less. Of each set the aggregation
    holds the first two only, for a set may hold most banners of all.

    Args:
        members: banners with duplicate_set_id, cluster_id (provisional) and the facts of `transforms.banner_pictures`.
        names: `CLUSTER_NAMES`.
        clustering_id: the clustering.
    """
    area = F.col("width").cast("bigint") * F.col("height")
    rank = F.struct(
        (-area).alias("pixels"),
        (-F.col("bytes") / (area * F.greatest("frames", F.lit(1)))).alias("density"),
        F.col("first_seen_dt").alias("oldest"),
        F.col("banner_id").alias("banner_id"),
        F.col("width").alias("width"),
        F.col("height").alias("height"),
        F.col("pixel_hash").alias("pixel_hash"),
    )
    inside = members.where("duplicate_set_id IS NOT NULL").withColumn("rank", rank)
    sets = inside.groupBy(F.col("duplicate_set_id").alias("set_id"), F.col("cluster_id").alias("provisional_id")).agg(
        F.array_sort(F.min_by("rank", "rank", 2)).alias("first_two"),
        F.count("*").alias("banners"),
        F.countDistinct("pixel_hash").alias("pictures"),
    )
    pair = sets.withColumns({"keeper": F.col("first_two")[0], "second": F.col("first_two")[1]})
    named = _explained(pair).join(F.broadcast(names), "provisional_id")
    return DUPLICATE_SETS.select(named.withColumn("clustering_id", F.lit(clustering_id)))


def _explained(sets: DataFrame) -> DataFrame:
    differs = [F.col(f"keeper.{c}") != F.col(f"second.{c}") for c in ("pixels", "density", "oldest", "banner_id")]
    reason = F.coalesce(*[F.when(test, F.lit(name)) for test, name in zip(differs, REASONS, strict=True)])
    details = dict(zip(REASONS, (_size_detail(), _density_detail(), _age_detail(), F.col("keeper.banner_id")), strict=True))
    detail = F.coalesce(*[F.when(F.col("reason") == name, text) for name, text in details.items()])
    keeper = {"keeper_banner_id": F.col("keeper.banner_id"), "keeper_pixel_hash": F.col("keeper.pixel_hash")}
    return sets.withColumn("reason", reason).withColumns({**keeper, "detail": detail})


def _size_detail() -> Column:
    return F.format_string(
        "%d x %d against %d x %d", *(F.col(f"{w}.{s}") for w in ("keeper", "second") for s in ("width", "height"))
    )


def _density_detail() -> Column:
    return F.format_string("%.3f against %.3f bytes per pixel", -F.col("keeper.density"), -F.col("second.density"))


def _age_detail() -> Column:
    days = [F.col(f"{w}.oldest").cast("string") for w in ("keeper", "second")]
    return F.format_string("seen since %s against %s", *days)
