"""From events, clusters and counts to the rows of the experiment; frames in, frames out."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.experiment.frames import DAY_SCHEMA, NAMED_SCHEMA, SPAN_SCHEMA
from bannermap.experiment.timeline import Publication, Span
from bannermap.platform.tables import EVENT_TYPES, UNCLUSTERED, count_column, window_columns

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

CONTEXT_COLUMNS = ("campaign_id", "app_id", "placement_id")
IMPRESSION_COLUMNS = ("event_id", "event_us", "event_day", "user_id", "banner_id", *CONTEXT_COLUMNS)
LONGEST_WINDOW_DAYS = 30


def clicks_with_impressions(events: DataFrame, attribution_hours: float) -> DataFrame:
    """Each click and the impression that it belongs to: click_id, impression_id (null where none does).

    A click that names a request belongs to the impression of that request, user and banner, the earliest if there are several,
    whatever the clocks say. A click without one belongs to the newest impression of its user and banner at or before it, and at
    most ``attribution_hours`` before; equal times: the greatest event_id.

    Args:
        events: those that count, with the columns of the event log.
        attribution_hours: more than 0.
    """
    at = F.unix_micros("event_ts")
    shown = events.where("event_type = 'impression'").select(
        *("user_id", "banner_id"),
        F.col("event_id").alias("impression_id"),
        at.alias("shown_us"),
        F.col("request_id").alias("shown_request"),
    )
    clicks = events.where("event_type = 'click'").select(
        *("user_id", "banner_id", "request_id"), F.col("event_id").alias("click_id"), at.alias("clicked_us")
    )
    pairs = clicks.join(shown, ["user_id", "banner_id"], "left")
    order, age = F.struct("shown_us", "impression_id"), F.col("clicked_us") - F.col("shown_us")
    near = F.col("request_id").isNull() & age.between(0, int(attribution_hours * 3_600_000_000))
    by_request = F.min_by("impression_id", F.when(F.col("request_id") == F.col("shown_request"), order))
    by_time = F.max_by("impression_id", F.when(near, order))
    return pairs.groupBy("click_id").agg(F.coalesce(by_request, by_time).alias("impression_id"))


def labelled_impressions(events: DataFrame, attributed: DataFrame, first_day: datetime.date) -> DataFrame:
    """Impressions from a day on, with ``clicked``: `IMPRESSION_COLUMNS` and the label.

    Args:
        events: those that count.
        attributed: see `clicks_with_impressions`.
        first_day: earlier impressions are left out.
    """
    hit = attributed.where("impression_id IS NOT NULL").select(F.col("impression_id").alias("event_id")).distinct()
    shown = events.where((F.col("event_type") == "impression") & (F.col("event_day") >= F.lit(first_day)))
    marked = shown.join(hit.withColumn("hit", F.lit(True)), "event_id", "left")
    timed = marked.withColumns({"event_us": F.unix_micros("event_ts"), "clicked": F.coalesce("hit", F.lit(False))})
    return timed.select(*IMPRESSION_COLUMNS, "clicked")


def drawn_rows(impressions: DataFrame, max_rows: int, seed: int) -> DataFrame:
    """At most so many impressions, those with the smallest hash of their event_id: the same for any order and partitioning."""
    key = F.xxhash64(F.lit(seed), F.col("event_id"))
    return impressions.withColumn("draw", key).orderBy("draw", "event_id").limit(max_rows).drop("draw")


def with_publications(rows: DataFrame, spans: Sequence[Span], of_day: dict[datetime.date, int], spark: SparkSession) -> DataFrame:
    """Impressions with ``present``: the publication to join, and ``future``: that of their own day; null where there is none."""
    span_rows = spark.createDataFrame([(s.from_us, s.to_us, s.place) for s in spans], SPAN_SCHEMA)
    day_rows = spark.createDataFrame(sorted(of_day.items()), DAY_SCHEMA)
    inside = (F.col("event_us") >= F.col("from_us")) & (F.col("event_us") < F.col("to_us"))
    timed = rows.join(F.broadcast(span_rows), inside, "left").drop("from_us", "to_us")
    return timed.join(F.broadcast(day_rows), "event_day", "left")


def with_clusters(rows: DataFrame, placed: DataFrame) -> DataFrame:
    """Impressions with cluster and theme slot of their banner, by the present and by the future publication's clustering.

    Args:
        rows: see `with_publications`.
        placed: publication, banner_id, cluster_id, slot; one row per publication and banner.
    """
    for kind in ("present", "future"):
        names = {"publication": kind, "cluster_id": f"{kind}_cluster", "slot": f"{kind}_slot"}
        rows = rows.join(placed.withColumnsRenamed(names), [kind, "banner_id"], "left")
    return rows


def placed_banners(members: DataFrame, assigned: DataFrame, themes: DataFrame, k: int) -> DataFrame:
    """Cluster and theme slot of each banner: clustering_id, banner_id, cluster_id, slot.

    Members are as the clustering has them. A banner that came later is placed by `assign_banners`, which compares its picture
    with the clustering as it stands, the earliest day first: a server can do the same when the banner is first served.

    Args:
        members: rows of ``cluster_members``.
        assigned: rows of ``banner_assignments``.
        themes: rows of ``themes``.
        k: number of themes.
    """
    columns = [F.col("clustering_id"), F.col("banner_id"), F.col("cluster_id"), F.col("themes")[k].alias("theme_id")]
    own = members.select(*columns, F.lit(0).alias("place"), F.lit(None).cast("date").alias("dt"))
    later = assigned.select(*columns, F.lit(1).alias("place"), F.col("dt"))
    first = F.min_by(F.struct("cluster_id", "theme_id"), F.struct("place", "dt")).alias("found")
    found = (
        own.unionByName(later).groupBy("clustering_id", "banner_id").agg(first).select("clustering_id", "banner_id", "found.*")
    )
    return _with_slots(found, themes, k).select("clustering_id", "banner_id", "cluster_id", "slot")


def slots_of_clusters(clusters: DataFrame, themes: DataFrame, k: int) -> DataFrame:
    """Theme slot of each cluster: clustering_id, cluster_id, slot."""
    known = clusters.select("clustering_id", "cluster_id", F.col("themes")[k].alias("theme_id"))
    return _with_slots(known, themes, k).select("clustering_id", "cluster_id", "slot")


def _with_slots(rows: DataFrame, themes: DataFrame, k: int) -> DataFrame:
    slots = themes.where(F.col("k") == k).select("clustering_id", "theme_id", "slot")
    return rows.join(F.broadcast(slots), ["clustering_id", "theme_id"], "left")


def wanted_histories(rows: DataFrame) -> DataFrame:
    """The histories that impressions join: publication, user_id, once each."""
    each = [rows.select(F.col(kind).alias("publication"), "user_id") for kind in ("present", "future")]
    return each[0].union(each[1]).where("publication IS NOT NULL").distinct()


def history_counts(counts: DataFrame, wanted: DataFrame) -> DataFrame:
    """Rows of the wanted histories, a null cluster for unclustered: publication, user_id, cluster_id, slot, counts, dt, time.

    Args:
        counts: publication, user_id, cluster_id, slot, the windowed counts, ``dt`` and ``available_at`` as stored in each row.
        wanted: see `wanted_histories`.
    """
    inside = counts.join(wanted, ["publication", "user_id"])
    cluster = F.nullif(F.col("cluster_id"), F.lit(UNCLUSTERED)).alias("cluster_id")
    times = [F.col("dt").alias("as_of"), F.unix_micros("available_at").alias("available_us")]
    return inside.select("publication", "user_id", cluster, "slot", *window_columns(), *times)


def raw_totals(partials: DataFrame, wanted: DataFrame, publications: DataFrame) -> DataFrame:
    """All events of each wanted history's longest window, from the partials: publication, user_id, raw_events.

    Args:
        partials: dt, user_id and the three counts.
        wanted: see `wanted_histories`.
        publications: publication, as_of.
    """
    total: Column = sum((F.col(count_column(e)) for e in EVENT_TYPES), F.lit(0))
    daily = partials.groupBy("user_id", "dt").agg(F.sum(total).alias("events"))
    age = F.datediff("as_of", "dt")
    joined = wanted.join(F.broadcast(publications), "publication").join(daily, "user_id")
    inside = joined.where(age.between(0, LONGEST_WINDOW_DAYS - 1))
    return inside.groupBy("publication", "user_id").agg(F.sum("events").alias("raw_events"))


def of_publications(rows: DataFrame, publications: Sequence[Publication], spark: SparkSession) -> DataFrame:
    """Rows keyed by clustering_id, once per publication of that clustering and with its number."""
    known = [(p.clustering_id, place) for place, p in enumerate(publications)]
    named = spark.createDataFrame(known, NAMED_SCHEMA)
    return rows.join(F.broadcast(named), "clustering_id").drop("clustering_id")
