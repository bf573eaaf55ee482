"""The job `analyse_clusters`: clusters by day, their trends, tags and audiences, as of a day."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql import functions as F

from bannermap.analytics import transforms as t
from bannermap.analytics.attributes import attribute_key, user_attributes
from bannermap.analytics.days import write_days
from bannermap.analytics.reading import Reader, reader
from bannermap.analytics.trends import Span
from bannermap.platform.cli import Stage
from bannermap.platform.clusterings import pinned_clustering
from bannermap.platform.image_store import stored_bytes
from bannermap.platform.runs import JobContext
from bannermap.platform.settings import Settings
from bannermap.platform.tables import (
    BANNER_DAYS,
    BANNER_TEXTS,
    CLUSTER_AUDIENCES,
    CLUSTER_MEMBERS,
    CLUSTER_TAGS,
    CLUSTER_TRENDS,
    FEATURE_PUBLICATIONS,
    IMAGE_FETCHES,
    USER_BANNER_DAYS,
    USER_CLUSTER_COUNTS,
    Table,
)
from bannermap.platform.threads import at_once

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def run(context: JobContext) -> None:
    """Write what analysts ask of the newest clustering of the day; partitions are replaced whole, so a rerun changes nothing."""
    clustering_id = pinned_clustering(context)
    with context.phase("count clusters by day"):
        rows, corrected = write_days(context, clustering_id)
    with context.phase("find trends, tags and audiences"):
        parts = (_write_trends, _write_tags, _write_audiences)
        counts = at_once(context.warehouse.spark, [functools.partial(part, context, clustering_id) for part in parts])
    context.warehouse.spark.catalog.clearCache()
    of_day = context.warehouse.read(USER_BANNER_DAYS, "build_user_features").where(F.col("dt") == F.lit(context.dt))
    context.run.rows_in, context.run.rows_out = of_day.count(), rows
    context.run.metrics |= {"days_corrected": corrected, **dict(zip(("trends", "tags", "audiences"), counts, strict=True))}


def _assignment(context: JobContext, clustering_id: str) -> DataFrame:
    return t.clustered_banners(context.warehouse.read(CLUSTER_MEMBERS, "cluster_banners"), clustering_id)


def _write_trends(context: JobContext, clustering_id: str) -> int:
    """Trends of the windows that there are days for; all days of both windows by the day's clustering."""
    settings = context.settings.analytics
    if not settings.trend_windows_days:
        return _replace(context, CLUSTER_TRENDS, None, dt=context.dt, clustering_id=clustering_id)
    days = 2 * max(settings.trend_windows_days)
    partials = context.warehouse.read(USER_BANNER_DAYS, "build_user_features")
    counted = t.clicked_days(partials, _assignment(context, clustering_id), context.dt, days).persist()
    by_age = {r["age"]: r["impressions"] for r in counted.groupBy("age").agg(F.sum("impressions").alias("impressions")).collect()}
    span = Span(tuple(by_age.get(age, 0) for age in range(days)), settings.min_trend_events)
    windows = span.usable(settings.trend_windows_days)
    rows = t.trend_rows(counted, span, windows, settings.max_false_discoveries) if windows else None
    written = _replace(context, CLUSTER_TRENDS, rows, dt=context.dt, clustering_id=clustering_id)
    counted.unpersist()
    return written


def _write_tags(context: JobContext, clustering_id: str) -> int:
    settings = context.settings.analytics
    ads = t.clustered_ads(context.warehouse.read(BANNER_DAYS, "dedupe_banners"), _assignment(context, clustering_id), context.dt)
    told = _with_picture_texts(context, clustering_id, ads)
    limits = (settings.min_tag_banners, settings.min_tag_advertisers, settings.min_tag_lift)
    rows = t.tag_rows(told, settings.tags_per_cluster, *limits) if settings.tags_per_cluster else None
    return _replace(context, CLUSTER_TAGS, rows, clustering_id=clustering_id)


def _write_audiences(context: JobContext, clustering_id: str) -> int:
    """Audiences of the users counted in the newest revision of the day's features."""
    settings = context.settings.analytics
    rows = None
    if settings.user_attributes:
        of_day = (F.col("dt") == F.lit(context.dt)) & (F.col("clustering_id") == clustering_id)
        published = context.warehouse.read(FEATURE_PUBLICATIONS, "build_user_features").where(of_day)
        newest = F.col("revision") == F.lit(published.agg(F.max("revision")).collect()[0][0])
        counts = context.warehouse.read(USER_CLUSTER_COUNTS, "build_user_features").where(of_day & newest)
        attributes = user_attributes(context, settings.user_attributes)
        rows = t.audience_rows(t.audience_counts(counts, attributes, settings.audience_event), settings.min_audience_users)
    return _replace(context, CLUSTER_AUDIENCES, rows, dt=context.dt, clustering_id=clustering_id)


def _with_picture_texts(context: JobContext, clustering_id: str, ads: DataFrame) -> DataFrame:
    """The ads with what is read in their pictures, where that is asked for; what no run has read yet is read first."""
    by = reader(context.settings)
    if by is None:
        return ads.withColumn("picture_text", F.lit(None).cast("string"))
    warehouse = context.warehouse
    members = warehouse.read(CLUSTER_MEMBERS, "cluster_banners").where(
        (F.col("clustering_id") == clustering_id) & ~F.col("is_outlier")
    )
    fetches = warehouse.read(IMAGE_FETCHES, "embed_banners")
    known = warehouse.read_or_empty(BANNER_TEXTS).where(F.col("reader") == by.name)
    new = stored_bytes(warehouse, context.settings.fetch.image_cache, t.unread_pictures(members, fetches, known))
    texts = t.texts_of(new, by).persist(StorageLevel.DISK_ONLY)  # the merge reads it twice
    counted = {r["status"]: r["rows"] for r in texts.groupBy("status").agg(F.count("*").alias("rows")).collect()}
    context.run.metrics |= {f"pictures_read_{status}": rows for status, rows in counted.items()}
    warehouse.insert_new(BANNER_TEXTS, texts)
    return t.with_picture_texts(ads, members, fetches, known.unionByName(texts) if warehouse.read_only else _texts(context, by))


def _texts(context: JobContext, by: Reader) -> DataFrame:
    return context.warehouse.read(BANNER_TEXTS).where(F.col("reader") == by.name)


def _replace(context: JobContext, table: Table, rows: DataFrame | None, **partition: object) -> int:
    """Replace a partition; without rows it ends up empty, and a table that was never written stays away."""
    warehouse = context.warehouse
    if rows is None:
        if warehouse.exists(table):
            warehouse.overwrite_partition(table, warehouse.spark.createDataFrame([], table.schema), **partition)
        return 0
    stamped = rows.withColumns({name: F.lit(value) for name, value in partition.items()}).persist()
    warehouse.overwrite_partition(table, stamped, **partition)
    count = stamped.count()
    stamped.unpersist()
    return count


def check(settings: Settings) -> None:
    """Raise `ConfigError` for a reader of pictures or a key of pseudonyms that is asked for and absent."""
    reader(settings)
    attribute_key(settings)


PHASES = ("count clusters by day", "find trends, tags and audiences")
STAGE = Stage("analyse_clusters", run, PHASES, check=check)
