"""Frames in, frames out: which picture each banner shows, the numbered nodes, and the rows of the result tables."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql import functions as F

from bannermap.clustering.frames import NODES
from bannermap.platform.config import settings_json
from bannermap.platform.row_hashes import hash_sums
from bannermap.platform.tables import CLUSTER_MEMBERS, CLUSTERS, IMAGE_FETCHES
from bannermap.platform.vectors import pictures_held

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from bannermap.platform.settings import ClusteringSettings

SEEN = ("first_seen_dt", "last_seen_dt")
PICTURE_FACTS = ("pixel_hash", "content_hash", "width", "height", "frames", "bytes")
ThemeIds = Mapping[int, Sequence[str]]

LAYOUT_SETTINGS = ("block_rows", "partitions", "audit", "encoder_id")
"""Not part of a clustering's name as settings: they only move work around or look at it, and the encoder is named apart."""


def banner_pictures(banner_days: DataFrame, image_fetches: DataFrame, day: datetime.date) -> DataFrame:
    """The picture of each banner as of a day: of the newest address that gave one by then, the greatest address on a tie.

    Returns:
        banner_id, first_seen_dt, last_seen_dt and `PICTURE_FACTS`; banners without a picture are absent.
    """
    days = (F.max("dt").alias("dt"), F.min("dt").alias("first_dt"))
    seen = banner_days.where(F.col("dt") <= F.lit(day)).groupBy("banner_id", "image_url").agg(*days)
    fetched = image_fetches.where((F.col("status") == "ok") & (F.col("fetched_dt") <= F.lit(day)))
    facts = fetched.select("banner_id", "image_url", F.struct(*PICTURE_FACTS).alias("facts"))
    newest = F.max(F.when(F.col("facts").isNotNull(), F.struct("dt", "image_url", "facts"))).alias("p")
    chosen = seen.join(facts, ["banner_id", "image_url"], "left").groupBy("banner_id")
    pictures = chosen.agg(newest, F.min("first_dt").alias("first_seen_dt"), F.max("dt").alias("last_seen_dt"))
    return pictures.where("p IS NOT NULL").select("banner_id", *SEEN, "p.facts.*")


def external_pictures(banner_days: DataFrame, external_vectors: DataFrame, day: datetime.date) -> DataFrame:
    """What stands in for the picture of each banner whose vector was imported by a day; columns as of `banner_pictures`.

    Nothing is known of these pictures, so each banner has one of its own and no size.

    Args:
        banner_days: the table.
        external_vectors: rows of one encoder_id.
        day: the day.
    """
    days = (F.min("dt").alias("first_seen_dt"), F.max("dt").alias("last_seen_dt"))
    seen = banner_days.where(F.col("dt") <= F.lit(day)).groupBy("banner_id").agg(*days)
    imported = external_vectors.where(F.col("imported_dt") <= F.lit(day)).select("banner_id", "content_hash")
    types = {c: IMAGE_FETCHES.type_of(c) for c in PICTURE_FACTS}
    facts = {c: F.lit(None).cast(kind) for c, kind in types.items() if c not in ("pixel_hash", "content_hash")}
    known = imported.withColumns({"pixel_hash": F.col("content_hash"), **facts})
    return seen.join(known, "banner_id").select("banner_id", *SEEN, *PICTURE_FACTS)


def unretired(pictures: DataFrame, day: datetime.date, rebuilt: datetime.date, retire_after_days: int) -> DataFrame:
    """The pictures that are clustered, with ``is_retired``: whether the next rebuild would drop them.

    Args:
        pictures: of `banner_pictures`.
        day: as of which.
        rebuilt: day of the last rebuild; banners that had not been seen for so long by then, nor since, are dropped.
        retire_after_days: how long.
    """
    unseen = datetime.timedelta(retire_after_days)
    kept = pictures.where(F.col("last_seen_dt") > F.lit(rebuilt - unseen))
    return kept.withColumn("is_retired", F.col("last_seen_dt") <= F.lit(day - unseen))


def pictures_with_vectors(pictures: DataFrame, vectors: DataFrame) -> DataFrame:
    """One row per distinct picture that has a vector: node_id, banners, vector.

    The vector is that of the smallest content_hash that has one: of files with equal pixels, an encoder that was away left some.
    """
    return pictures_held(pictures, vectors).join(vectors, "content_hash").select("node_id", "banners", "vector")


def numbered_nodes(rows: DataFrame) -> DataFrame:
    """`NODES`: the rows numbered 0 .. n - 1 in the order of node_id, and two halves of a hash of it.

    Rows are sorted into ranges, counted per range, and numbered by range offset plus place, without one task that sees all.

    Args:
        rows: node_id, banners, vector; cells where an earlier search is known.

    Returns:
        `NODES`, read from what is persisted.
    """
    known = F.col("cells") if "cells" in rows.columns else F.lit(None).cast("array<int>").alias("cells")
    ordered = rows.select("node_id", "banners", known, "vector").repartitionByRange("node_id").sortWithinPartitions("node_id")
    placed = {"part": F.spark_partition_id(), "mid": F.monotonically_increasing_id()}
    local = ordered.withColumns(placed).persist(StorageLevel.DISK_ONLY)  # vectors would fill the heap
    counts = {r["part"]: r["count"] for r in local.groupBy("part").count().collect()}
    offsets, total = [], 0
    for part in range(max(counts, default=-1) + 1):
        offsets.append(total)
        total += counts.get(part, 0)
    place = F.col("mid").bitwiseAND(F.lit((1 << 33) - 1))  # monotonically_increasing_id keeps the partition above bit 33
    offset = F.element_at(F.array(*map(F.lit, offsets or [0])), F.col("part") + 1)
    lanes = {"lane_a": F.xxhash64(F.lit(0), "node_id"), "lane_b": F.xxhash64(F.lit(1), "node_id")}
    return NODES.select(local.withColumns({"node": offset + place, **lanes}))


def vectors_digest(nodes: DataFrame) -> str:
    """A hash of `NODES`: how many, and each with its vector, in any order."""
    rows = nodes.agg(F.count("*"), *hash_sums("node_id", "vector")).collect()[0]
    return hashlib.sha256(str(tuple(rows)).encode()).hexdigest()


def clustering_id(
    pictures: DataFrame,
    vectors: str,
    day: datetime.date,
    encoder_id: str,
    settings: ClusteringSettings,
    previous: str | None,
    cells_id: str | None,
) -> str:
    """A name for what goes in: the day, and a hash of banners with their pictures, these with their vectors (`vectors_digest`),
    encoder, rule, the clustering before, and the cells in force (none where the day learns its own).

    Late input for the same day, or for one before it, gives another name, so what was published under the first stays what it
    was. Vectors can be late, too: of an encoder that was away, or imported.
    """
    digest = pictures.agg(F.count("*"), *hash_sums("banner_id", "pixel_hash", "is_retired")).collect()[0]
    rule = settings_json(settings.model_copy(update=dict.fromkeys(LAYOUT_SETTINGS)))
    text = "\n".join([*(str(v) for v in digest), vectors, encoder_id, rule, previous or "", cells_id or ""])
    return f"{day.isoformat()}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def node_outcomes(nodes: DataFrame, node_clusters: DataFrame, groups: DataFrame) -> DataFrame:
    """One row per node: `NODE_CLUSTERS`, its group's figures, cluster_id and duplicate_set_id; ids are provisional."""
    names = nodes.select("node", "node_id")
    joined = names.join(node_clusters, "node").join(F.broadcast(groups), "group_number")
    sets = names.select(F.col("node").alias("duplicate_of"), F.col("node_id").alias("duplicate_set_id"))
    ids = {"cluster_id": F.when(F.col("accepted"), F.col("group_id")), "is_outlier": ~F.col("accepted")}
    return joined.withColumns(ids).join(sets, "duplicate_of", "left")


def provisional_members(pictures: DataFrame, outcomes: DataFrame) -> DataFrame:
    """The outcome of each banner's picture, before ids are carried on."""
    return pictures.join(outcomes, F.col("pixel_hash") == F.col("node_id"))


def member_rows(members: DataFrame, names: DataFrame, themes: ThemeIds, name: str) -> DataFrame:
    """`CLUSTER_MEMBERS`.

    Args:
        members: see `provisional_members`.
        names: `CLUSTER_NAMES`.
        themes: number of themes -> theme_id by theme number, in the order of theme_numbers.
        name: the clustering's id.
    """
    lived = _with_names(members, names, "left")
    last = F.concat(F.slice("path", 1, F.size("path") - 1), F.array("cluster_id"))
    path = F.when(F.col("is_outlier"), F.col("path")).otherwise(last)
    return CLUSTER_MEMBERS.select(lived.withColumns({"clustering_id": F.lit(name), "path": path, "themes": _theme_map(themes)}))


def cluster_rows(outcomes: DataFrame, names: DataFrame, themes: ThemeIds, name: str) -> DataFrame:
    """`CLUSTERS`: one row per cluster, from its medoid's row; arguments as `member_rows`."""
    medoids = _with_names(outcomes.where("is_medoid"), names, "inner")
    added = {"clustering_id": F.lit(name), "medoid": F.col("node_id"), "themes": _theme_map(themes)}
    return CLUSTERS.select(medoids.withColumns(added))


def theme_cluster_counts(outcomes: DataFrame, counts: Sequence[int]) -> dict[tuple[int, int], int]:
    """(k, theme number) -> clusters, for the k in the order of theme_numbers."""
    if not counts:
        return {}
    each = F.posexplode("theme_numbers").alias("i", "n")
    rows = outcomes.where("is_medoid").select(each).groupBy("i", "n").count().collect()
    return {(counts[r["i"]], r["n"]): r["count"] for r in rows}


def _with_names(rows: DataFrame, names: DataFrame, how: str) -> DataFrame:
    return rows.withColumnRenamed("cluster_id", "provisional_id").join(F.broadcast(names), "provisional_id", how)


def _theme_map(themes: ThemeIds) -> Column:
    pairs = [(F.lit(k), F.array(*map(F.lit, ids))[F.col("theme_numbers")[i]]) for i, (k, ids) in enumerate(themes.items())]
    return F.create_map(*[part for pair in pairs for part in pair]) if pairs else F.lit(None)
