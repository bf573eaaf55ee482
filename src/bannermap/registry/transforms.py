"""From a day's banner log to the registry; every result is a function of its inputs alone, never of arrival order."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from bannermap.platform.tables import BANNER_ATTRIBUTES, BANNER_DAYS, BANNERS, REGISTRY_DAYS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

MAU_DAYS = 30


def with_identity(banner_log: DataFrame) -> DataFrame:
    """The log with blank strings as nulls and ``banner_id`` filled in: ``url:`` + sha256 of the address where it lacks."""
    blank_as_null = {c: F.nullif(F.trim(c), F.lit("")) for c in ("banner_id", *BANNER_ATTRIBUTES)}
    by_url = F.concat(F.lit("url:"), F.sha2("image_url", 256))
    return banner_log.withColumns(blank_as_null).withColumn("banner_id", F.coalesce("banner_id", by_url))


def rejected_rows(identified: DataFrame) -> DataFrame:
    """Rows that name neither a banner nor an address: ``reason``, ``row_json``."""
    row_json = F.to_json(F.struct(*identified.columns), {"ignoreNullFields": "false"})
    return identified.where("banner_id IS NULL").select(
        F.lit("no_banner_id_and_no_image_url").alias("reason"), row_json.alias("row_json")
    )


def daily_banners(identified: DataFrame) -> DataFrame:
    """One row per banner of the day: the greatest value of each attribute, and how many attributes disagreed."""
    attributes = [F.max(c).alias(c) for c in BANNER_ATTRIBUTES]
    conflicts = sum((_disagree(c).cast("int") for c in BANNER_ATTRIBUTES), F.lit(0))
    grouped = identified.where("banner_id IS NOT NULL").groupBy("dt", "banner_id")
    return BANNER_DAYS.select(grouped.agg(*attributes, F.count("*").alias("log_rows"), conflicts.alias("conflicting_attributes")))


def affected_banners(today: DataFrame, banners: DataFrame, day: datetime.date) -> DataFrame:
    """Ids whose registry row may change when ``day`` is rewritten: those of the day, and those whose span covers it.

    The second part finds banners that an earlier run of the day had and this one has not, without knowing that run.
    """
    spanning = banners.where((F.col("first_seen_dt") <= F.lit(day)) & (F.lit(day) <= F.col("last_seen_dt")))
    return today.select("banner_id").union(spanning.select("banner_id")).distinct()


def registry_rows(banner_days: DataFrame) -> DataFrame:
    """One row per banner, and ``conflicts_over_days``: attributes that had more than one value in its whole history."""
    newest = [F.max(F.when(F.col(c).isNotNull(), F.struct("dt", c)))[c].alias(c) for c in BANNER_ATTRIBUTES]
    conflicts = sum((_disagree(c).cast("int") for c in BANNER_ATTRIBUTES), F.lit(0))
    return banner_days.groupBy("banner_id").agg(
        *newest,
        F.min("dt").alias("first_seen_dt"),
        F.max("dt").alias("last_seen_dt"),
        F.countDistinct("dt").cast("int").alias("days_seen"),
        conflicts.alias("conflicts_over_days"),
    )


def banners_of(registry: DataFrame) -> DataFrame:
    """The columns of `registry_rows` that the registry keeps."""
    return BANNERS.select(registry)


def day_figures(banner_days: DataFrame) -> DataFrame:
    """Per day: accepted rows, distinct banners, banners whose attributes disagreed."""
    return banner_days.groupBy("dt").agg(
        F.sum("log_rows").alias("log_rows"),
        F.count("*").alias("dau_banners"),
        F.sum((F.col("conflicting_attributes") > 0).cast("long")).alias("conflicts"),
    )


def trailing_distinct(banner_days: DataFrame, window_days: int = MAU_DAYS) -> DataFrame:
    """Distinct banners of the trailing ``window_days`` for each day present, in one pass.

    A banner seen on ``dt`` counts from ``dt`` until its window ends or it is seen again, so each row is one interval: +1
    at its start and -1 behind its end. Their running sum is the count; no row is copied once per day.

    Args:
        banner_days: rows of all days that any asked window covers; one row per (dt, banner_id).
        window_days: length of the window, its last day included.

    Returns:
        dt, mau_banners.
    """
    again = F.lead("dt").over(Window.partitionBy("banner_id").orderBy("dt"))
    ends = F.least(F.date_add("dt", window_days), again)
    intervals = banner_days.select("dt", ends.alias("ends"))
    steps = F.explode(F.array(_step(F.col("dt"), 1), _step(F.col("ends"), -1)))
    changes = intervals.select(steps.alias("s")).groupBy(F.col("s.dt").alias("dt")).agg(F.sum("s.change").alias("change"))
    running = F.sum("change").over(Window.orderBy("dt"))  # one row per day: a single partition is right here
    counted = changes.select("dt", running.alias("mau_banners"))
    return counted.join(banner_days.select("dt").distinct(), "dt", "left_semi")


def registry_days(figures: DataFrame, trailing: DataFrame, banners: DataFrame) -> DataFrame:
    """The day table from its three parts; a day on which no banner was new has 0."""
    new = banners.groupBy(F.col("first_seen_dt").alias("dt")).agg(F.count("*").alias("new_banners"))
    joined = figures.join(trailing, "dt").join(new, "dt", "left")
    return REGISTRY_DAYS.select(joined.fillna(0, ["new_banners"]))


def _disagree(column: str) -> Column:
    return F.coalesce(F.max(column) != F.min(column), F.lit(False))


def _step(day: Column, change: int) -> Column:
    return F.struct(day.alias("dt"), F.lit(change).alias("change"))
