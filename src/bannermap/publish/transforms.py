"""Tables to the rows of documents, and the figures of a clustering."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from bannermap.platform.row_hashes import hash_sums
from bannermap.publish.documents import CLUSTER, RETIRED
from bannermap.publish.frames import ENTRIES

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

MOST_LINEAGE = 1000
"""Events of one cluster that its document tells: those of most banners. All are in the table."""
CLUSTER_FIELDS = ("size", "nodes", "cohesion", "threshold", "depth", "parent", "themes")


def clustered(members: DataFrame, clustering_id: str) -> DataFrame:
    """The rows of `cluster_members` of one clustering that are in a cluster."""
    return members.where((F.col("clustering_id") == clustering_id) & F.col("cluster_id").isNotNull())


def longest_ids() -> Column:
    """UTF-8 bytes of the longest ids of a member together, as an aggregate over `clustered`."""
    names = ("banner_id", "pixel_hash", "duplicate_set_id")
    parts = [F.coalesce(F.max(F.octet_length(name)), F.lit(0)) for name in names]
    return parts[0] + parts[1] + parts[2]


def member_entries(members: DataFrame, per_page: int) -> DataFrame:
    """`ENTRIES` of members: banners of a cluster ascending, so many to a page."""
    number = F.row_number().over(Window.partitionBy("cluster_id").orderBy("banner_id"))
    page = F.floor((number - 1) / F.lit(per_page))
    return ENTRIES.select(members.withColumns({"page": page, "header": F.lit(None)}))


def cluster_entries(
    clusters: DataFrame, members: DataFrame, lineage: DataFrame, tags: DataFrame, pictures: DataFrame, per_page: int
) -> DataFrame:
    """`ENTRIES` of clusters, and of those that the clustering before had and this one has not.

    Args:
        clusters: `clusters` of the clustering.
        members: of `clustered`.
        lineage: `cluster_lineage` of the clustering.
        tags: `cluster_tags` of the clustering; may be empty.
        pictures: of `picture_files`.
        per_page: members of a document.
    """
    counted = members.groupBy("cluster_id").agg(F.count("*").alias("members"), F.min("path").alias("path"))
    shown = members.groupBy("cluster_id", "pixel_hash").agg(F.min("banner_id").alias("medoid_banner"))
    is_medoid = F.col("pixel_hash") == F.col("medoid")
    medoids = shown.join(clusters.select("cluster_id", "medoid"), "cluster_id").where(is_medoid)
    medoids = medoids.join(pictures, "pixel_hash", "left").select("cluster_id", "medoid_banner", "medoid_content")
    joined = clusters.join(counted, "cluster_id").join(medoids, "cluster_id").join(_events(lineage), "cluster_id", "left")
    joined = joined.join(_tags(tags), "cluster_id", "left")
    alive = _entries(joined, [F.lit(CLUSTER).alias("kind"), *_cluster_fields(per_page), *_lineage_fields()])
    retired = _events(lineage.where("event = 'retired'"))
    return alive.unionByName(_entries(retired, [F.lit(RETIRED).alias("kind"), *_lineage_fields()]))


def picture_files(fetches: DataFrame) -> DataFrame:
    """The file that stands for each picture in `embeddings`, where it was fetched: pixel_hash, medoid_content."""
    decoded = fetches.where("pixel_hash IS NOT NULL")
    return decoded.groupBy("pixel_hash").agg(F.min("content_hash").alias("medoid_content"))


def in_order(entries: DataFrame, tasks: int) -> DataFrame:
    """The rows as tasks write them: those of a document in one task and together, the cluster's own first."""
    spread = entries.repartition(tasks, "cluster_id", "page")
    return spread.sortWithinPartitions("cluster_id", "page", F.col("banner_id").asc_nulls_first())


def totals() -> list[Column]:
    """Counts and a checksum over entries, as aggregates: the rows may be in any order, equal content gives equal text."""
    lanes = [total.cast("string") for total in hash_sums(*ENTRIES.columns)]
    pages = F.coalesce(F.get_json_object("header", "$.pages").cast("int"), F.lit(1))  # a retired cluster has one document
    return [
        F.count("banner_id").alias("members"),
        F.coalesce(F.sum(F.when(F.col("header").isNotNull(), pages)), F.lit(0)).alias("documents"),
        F.count_if(F.get_json_object("header", "$.kind") == RETIRED).alias("retired_clusters"),
        F.sha2(F.concat_ws(" ", F.count("*").cast("string"), *lanes), 256).alias("checksum"),
    ]


def statistics() -> list[Column]:
    """Figures over `clusters` of a clustering, as aggregates: sizes in banners, cohesion as mean cosine."""
    return [
        F.count("*").alias("clusters"),
        F.max("size").alias("largest_cluster"),
        F.percentile("size", 0.5).alias("median_cluster"),
        (F.sum(F.col("size") * F.col("cohesion")) / F.sum("size")).alias("mean_cohesion"),
        F.min("cohesion").alias("least_cohesion"),
    ]


def _entries(frame: DataFrame, fields: list[Column]) -> DataFrame:
    header = F.to_json(F.struct(*fields), {"ignoreNullFields": "false"})
    absent = {c: F.lit(None) for c in ENTRIES.columns if c not in ("cluster_id", "page", "header")}
    return ENTRIES.select(frame.select("cluster_id", header.alias("header")).withColumns({"page": F.lit(0), **absent}))


def _cluster_fields(per_page: int) -> list[Column]:
    medoid = F.struct(
        F.col("medoid").alias("pixel_hash"),
        F.col("medoid_content").alias("content_hash"),
        F.col("medoid_banner").alias("banner_id"),
    )
    pages = F.ceil(F.col("members") / F.lit(per_page)).cast("int")
    listed = F.coalesce("tags", F.array().cast("array<string>"))
    return [
        *(F.col(c) for c in CLUSTER_FIELDS),
        F.col("born_dt").cast("string").alias("born_dt"),
        F.col("path"),
        medoid.alias("medoid"),
        listed.alias("tags"),
        pages.alias("pages"),
    ]


def _lineage_fields() -> list[Column]:
    nothing = F.array().cast("array<struct<event:string,other_cluster_id:string,banners:bigint,fell_out:bigint>>")
    return [F.coalesce("lineage", nothing).alias("lineage"), F.coalesce("lineage_events", F.lit(0)).alias("lineage_events")]


def _events(lineage: DataFrame) -> DataFrame:
    """Per cluster its events, those of most banners first: cluster_id, lineage, lineage_events."""
    ranked = F.struct((-F.col("banners")).alias("rank"), "event", "other_cluster_id", "banners", "fell_out")
    each = F.slice(F.sort_array(F.collect_list(ranked)), 1, MOST_LINEAGE)
    plain = F.transform(each, lambda e: F.struct(*(e[c].alias(c) for c in ("event", "other_cluster_id", "banners", "fell_out"))))
    return lineage.groupBy("cluster_id").agg(plain.alias("lineage"), F.count("*").alias("lineage_events"))


def _tags(tags: DataFrame) -> DataFrame:
    ranked = F.sort_array(F.collect_list(F.struct("rank", "tag")))
    return tags.groupBy("cluster_id").agg(F.transform(ranked, lambda t: t["tag"]).alias("tags"))
