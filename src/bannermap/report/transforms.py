"""Tables in, small frames out: what the page shows, already cut to what fits on it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as F

from bannermap.report.frames import THUMBNAILS
from bannermap.report.thumbnails import thumbnail

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def banner_facts(banner_days: DataFrame, day: datetime.date) -> DataFrame:
    """Per banner seen by ``day``: its newest advertiser, first and last day."""
    seen = banner_days.where(F.col("dt") <= F.lit(day))
    advertiser = F.max(F.when(F.col("advertiser_id").isNotNull(), F.struct("dt", "advertiser_id")))["advertiser_id"]
    days = (F.min("dt").alias("first_seen_dt"), F.max("dt").alias("last_seen_dt"))
    return seen.groupBy("banner_id").agg(advertiser.alias("advertiser_id"), *days)


def largest_clusters(clusters: DataFrame, limit: int) -> DataFrame:
    """The largest clusters, ties by id."""
    return clusters.orderBy(F.desc("size"), "cluster_id").limit(limit)


def cluster_facts(members: DataFrame, facts: DataFrame) -> DataFrame:
    """Per cluster: first and last day, and its advertisers with their banners, most first."""
    joined = members.where("cluster_id IS NOT NULL").join(facts, "banner_id")
    counted = joined.groupBy("cluster_id", "advertiser_id").agg(
        F.count("*").alias("banners"), F.min("first_seen_dt").alias("first"), F.max("last_seen_dt").alias("last")
    )
    entry = F.struct((-F.col("banners")).alias("order"), "advertiser_id", "banners")
    return counted.groupBy("cluster_id").agg(
        F.min("first").alias("first_seen_dt"),
        F.max("last").alias("last_seen_dt"),
        F.array_sort(F.collect_list(entry)).alias("advertisers"),
    )


def shown_pictures(members: DataFrame, shown: DataFrame, per_cluster: int) -> DataFrame:
    """The pictures of the shown clusters, medoid first, then by similarity to it: cluster_id, pixel_hash, banners, similarity."""
    inside = members.join(shown.select("cluster_id", "medoid"), "cluster_id")
    pictures = inside.groupBy("cluster_id", "medoid", "pixel_hash").agg(
        F.count("*").alias("banners"), F.max("similarity_to_medoid").alias("similarity")
    )
    order = Window.partitionBy("cluster_id").orderBy(
        (F.col("pixel_hash") == F.col("medoid")).desc(), F.desc("similarity"), "pixel_hash"
    )
    ranked = pictures.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= per_cluster)
    return ranked.select("cluster_id", "pixel_hash", "banners", "similarity", "rank")


def shown_outliers(members: DataFrame, limit: int) -> DataFrame:
    """Outliers with the most banners: pixel_hash, banners."""
    counted = members.where("is_outlier").groupBy("pixel_hash").agg(F.count("*").alias("banners"))
    return counted.orderBy(F.desc("banners"), "pixel_hash").limit(limit)


def thumbnails(pixel_hashes: DataFrame, image_fetches: DataFrame, image_bytes: DataFrame, longest_side: int) -> DataFrame:
    """`THUMBNAILS` of the pictures, drawn in the tasks that hold the bytes."""

    def draw(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            small = [thumbnail(data, longest_side) for data in batch.column(1).to_pylist()]
            yield pa.RecordBatch.from_arrays([batch.column(0), pa.array(small, pa.binary())], list(THUMBNAILS.columns))

    known = image_fetches.where("status = 'ok'").groupBy("pixel_hash").agg(F.min("content_hash").alias("content_hash"))
    wanted = pixel_hashes.select("pixel_hash").distinct().join(known, "pixel_hash").join(image_bytes, "content_hash")
    return wanted.select("pixel_hash", "data").mapInArrow(draw, THUMBNAILS.schema)


def failures(image_fetches: DataFrame, facts: DataFrame, examples: int = 3) -> DataFrame:
    """Per status that is not ok: banners, and some addresses with their messages."""
    failed = image_fetches.where("status != 'ok'").join(facts.select("banner_id"), "banner_id", "left_semi")
    example = F.slice(F.array_sort(F.collect_set(F.struct("image_url", "error"))), 1, examples)
    return failed.groupBy("status").agg(F.countDistinct("banner_id").alias("banners"), example.alias("examples"))


def click_figures(user_cluster_counts: DataFrame) -> DataFrame:
    """Per cluster: impressions and clicks of the last 30 days over all users."""
    return user_cluster_counts.groupBy("cluster_id").agg(
        F.sum("impressions_30d").alias("impressions"), F.sum("clicks_30d").alias("clicks")
    )
