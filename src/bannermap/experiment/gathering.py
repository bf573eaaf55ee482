"""What the experiment reads, from the warehouse or from plain files, in one form."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.experiment import transforms as t
from bannermap.experiment.assembling import Collected, LateBegin
from bannermap.experiment.checks import check_taken_in, check_theme_slots, first_day, joined_clusterings
from bannermap.experiment.frames import PUBLICATION_SCHEMA
from bannermap.experiment.timeline import DAY_US, Publication, days_since_1970, newest_of_each_day, spans
from bannermap.platform.clusterings import known_clusterings
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext
from bannermap.platform.settings import ExperimentSettings, Settings
from bannermap.platform.tables import (
    BANNER_ASSIGNMENTS,
    CLUSTER_MEMBERS,
    CLUSTERS,
    EVENT_LOG_DAYS,
    EVENT_TYPES,
    FEATURE_PUBLICATIONS,
    FILE_USER_CLUSTER_COUNTS,
    THEMES,
    USER_BANNER_DAYS,
    USER_CLUSTER_COUNTS,
    count_column,
)

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

EventReader = Callable[[JobContext, datetime.date], "DataFrame"]
FILES_CLUSTERING = "files"
"""Stands for the clustering of plain files, which has no name."""


@dataclass(frozen=True)
class Sources:
    """Frames of one form, wherever they come from.

    Attributes:
        events: those that count, with ``event_day``.
        publications: of the features; their places number them.
        placed: clustering_id, banner_id, cluster_id, slot.
        counts: publication, user_id, cluster_id, slot, windowed counts, dt, available_at.
        partials: dt, user_id and the three counts.
        partials_from: first day of the partials, where the features may count days before it; None where they cannot.
    """

    events: DataFrame
    publications: Sequence[Publication]
    placed: DataFrame
    counts: DataFrame
    partials: DataFrame
    partials_from: datetime.date | None = None


@dataclass(frozen=True)
class Drawn:
    """The rows of the experiment, and what was left out on the way.

    Attributes:
        collected: for the driver.
        impressions: in all days asked for.
        clicks: in all events read.
        unattributed_clicks: of them, those that belong to no impression.
    """

    collected: Collected
    impressions: int
    clicks: int
    unattributed_clicks: int


def of_warehouse(context: JobContext, read_events: EventReader) -> Sources:
    """Everything up to the run's day.

    Args:
        context: of the run.
        read_events: the events that count, from a day to the run's.

    Raises:
        InputError: a test day was not taken in, no features are published for the days, or a clustering of theirs lacks themes.
    """
    check_taken_in(_complete_days(context), context.dt, context.settings.experiment)
    k, wh, spark = context.settings.experiment.themes, context.warehouse, context.warehouse.spark
    publications = _publications(context)
    if not publications:
        raise InputError(
            f"No features are published for the days before {context.dt}. Run build_user_features for these days first; "
            "impressions join only features of the day before or older."
        )
    joined = joined_clusterings(publications, context.dt, context.settings.experiment)
    check_theme_slots(_theme_counts(context, joined), context.settings.experiment)
    names = sorted({p.clustering_id for p in publications})
    themes, members = (_of(wh.read(table, "cluster_banners"), names) for table in (THEMES, CLUSTER_MEMBERS))
    assigned = _assigned(context, names)
    slots = t.slots_of_clusters(_of(wh.read(CLUSTERS, "cluster_banners"), names), themes, k)
    numbered = spark.createDataFrame(
        [(p.as_of, p.clustering_id, p.revision, place) for place, p in enumerate(publications)],
        "dt date, clustering_id string, revision int, publication int",
    )
    stored = wh.read(USER_CLUSTER_COUNTS, "build_user_features").where(F.col("dt").isin([p.as_of for p in publications]))
    counts = stored.join(F.broadcast(numbered), ["dt", "clustering_id", "revision"])
    with_slots = counts.join(slots, ["clustering_id", "cluster_id"], "left")
    events = read_events(context, first_day(context.dt, context.settings.experiment))
    placed = t.placed_banners(members, assigned, themes, k)
    return Sources(events, publications, placed, with_slots, wh.read(USER_BANNER_DAYS))


def of_files(
    spark: SparkSession, settings: Settings, events: DataFrame, assignment: DataFrame, features: str, last_day: datetime.date
) -> Sources:
    """Plain files: one assignment for all days, features of some as-of days, each there the configured lag after its day.

    Args:
        spark: the session.
        settings: whole.
        events: those that count.
        assignment: banner_id, cluster_id.
        features: folders ``user_cluster_counts`` of build_user_features; may hold wildcards.
        last_day: of the impressions.

    Raises:
        InputError: the features are absent or have other columns.
    """
    from pyspark.errors import AnalysisException

    try:
        counts = FILE_USER_CLUSTER_COUNTS.select(spark.read.parquet(features))
    except AnalysisException as error:
        raise InputError(
            f"{features} cannot be read as user_cluster_counts of build_user_features ({error.getErrorClass()}). "
            "It may hold wildcards, as in features/*/user_cluster_counts."
        ) from None
    days = sorted(r["dt"] for r in counts.select("dt").distinct().collect() if r["dt"] < last_day + datetime.timedelta(days=1))
    lag_us = int(settings.features.available_lag_hours * 3_600_000_000)
    known = [Publication(d, FILES_CLUSTERING, 1, 1, (days_since_1970(d) + 1) * DAY_US + lag_us) for d in days]
    available = F.timestamp_micros((F.unix_date("dt") + 1) * F.lit(DAY_US) + F.lit(lag_us))
    numbered = spark.createDataFrame(list(enumerate(days)), "publication int, dt date")
    stamped = counts.join(F.broadcast(numbered), "dt").withColumns({"slot": F.lit(None).cast("int"), "available_at": available})
    placed = assignment.select(F.lit(FILES_CLUSTERING).alias("clustering_id"), "banner_id", "cluster_id")
    daily = {count_column(e): F.count_if(F.col("event_type") == e).alias(count_column(e)) for e in EVENT_TYPES}
    partials = events.withColumn("dt", F.col("event_day")).groupBy("dt", "user_id").agg(*daily.values())
    begin = events.agg(F.min("event_day")).collect()[0][0]
    return Sources(events, known, placed.withColumn("slot", F.lit(None).cast("int")), stamped, partials, begin)


def drawn(spark: SparkSession, sources: Sources, last_day: datetime.date, settings: ExperimentSettings) -> Drawn:
    """Label, draw, join and collect."""
    first = first_day(last_day, settings)
    events = sources.events.where(F.col("event_day").between(F.lit(first), F.lit(last_day))).persist()
    try:
        attributed = t.clicks_with_impressions(events, settings.attribution_hours).persist()
        clicks = attributed.agg(F.count("*").alias("all"), F.count("impression_id").alias("known")).collect()[0]
        impressions = t.labelled_impressions(events, attributed, first)
        number = impressions.count()
        collected = _collected(spark, sources, t.drawn_rows(impressions, settings.max_rows, settings.seed))
        attributed.unpersist()
    finally:
        events.unpersist()
    return Drawn(collected, number, clicks["all"], clicks["all"] - clicks["known"])


def _collected(spark: SparkSession, sources: Sources, some: DataFrame) -> Collected:
    known = sources.publications
    timed = t.with_publications(some, spans(known), newest_of_each_day(known), spark)
    joined = t.with_clusters(timed, t.of_publications(sources.placed, known, spark)).persist()
    wanted = t.wanted_histories(joined).persist()
    checked = _uncorrected(known) & _inside(known, sources.partials_from)
    days = spark.createDataFrame([(place, p.as_of) for place, p in enumerate(known) if place in checked], PUBLICATION_SCHEMA)
    rows = joined.orderBy("event_us", "event_id").toPandas()
    histories = t.history_counts(sources.counts, wanted).orderBy("publication", "user_id", "cluster_id").toPandas()
    raw = t.raw_totals(sources.partials, wanted, days).toPandas()
    collected = Collected(rows, histories, raw, checked, _late_begin(sources, rows))
    wanted.unpersist()
    joined.unpersist()
    return collected


def _uncorrected(publications: Sequence[Publication]) -> frozenset[int]:
    """Places of the newest revision of each day and clustering."""
    newest: dict[tuple[datetime.date, str], int] = {}
    for place in sorted(range(len(publications)), key=lambda i: publications[i].revision):
        newest[publications[place].as_of, publications[place].clustering_id] = place
    return frozenset(newest.values())


def _inside(publications: Sequence[Publication], begin: datetime.date | None) -> frozenset[int]:
    """Places of those whose longest window does not begin before the partials do."""
    longest = datetime.timedelta(days=t.LONGEST_WINDOW_DAYS - 1)
    return frozenset(n for n, p in enumerate(publications) if begin is None or p.as_of - longest >= begin)


def _late_begin(sources: Sources, rows: pd.DataFrame) -> LateBegin | None:
    """What the partials begin too late for, of the publications that rows join."""
    joined = {int(place) for place in rows["present"].dropna().unique()}
    late = joined - _inside(sources.publications, sources.partials_from)
    if sources.partials_from is None or not late:
        return None
    first = min(sources.publications[place].as_of for place in late) - datetime.timedelta(days=t.LONGEST_WINDOW_DAYS - 1)
    return LateBegin(sources.partials_from, first, len(late), len(joined))


def _publications(context: JobContext) -> list[Publication]:
    """Those that an impression of the days may join, and those of the days themselves; in no run's order but the key's."""
    settings, wh = context.settings.experiment, context.warehouse
    earliest = first_day(context.dt, settings) - datetime.timedelta(days=t.LONGEST_WINDOW_DAYS)
    near = F.col("dt").between(F.lit(earliest), F.lit(context.dt))
    made = known_clusterings(context).select("clustering_id", "sequence")
    rows = wh.read(FEATURE_PUBLICATIONS, "build_user_features").where(near).join(made, "clustering_id")
    timed = rows.withColumn("available_us", F.unix_micros("available_at")).orderBy("dt", "clustering_id", "revision").collect()
    return [Publication(r["dt"], r["clustering_id"], r["sequence"], r["revision"], r["available_us"]) for r in timed]


def _complete_days(context: JobContext) -> set[datetime.date]:
    taken = context.warehouse.read(EVENT_LOG_DAYS, "build_user_features").where("complete")
    return {r["dt"] for r in taken.select("dt").collect()}


def _theme_counts(context: JobContext, clustering_ids: Sequence[str]) -> dict[str, set[int]]:
    """Clustering -> its numbers of themes; one without any cluster has none and is left out."""
    themes, clusters = (_of(context.warehouse.read(table, "cluster_banners"), clustering_ids) for table in (THEMES, CLUSTERS))
    made: dict[str, set[int]] = {r[0]: set() for r in clusters.select("clustering_id").distinct().collect()}
    for row in themes.select("clustering_id", "k").distinct().collect():
        made.get(row["clustering_id"], set()).add(row["k"])
    return made


def _of(rows: DataFrame, clustering_ids: Sequence[str]) -> DataFrame:
    return rows.where(F.col("clustering_id").isin(list(clustering_ids)))


def _assigned(context: JobContext, clustering_ids: Sequence[str]) -> DataFrame:
    """Rows of ``banner_assignments`` up to the run's day. A model's hold for all of its clusterings, whose ids are the same."""
    rows = context.warehouse.read_or_empty(BANNER_ASSIGNMENTS).where(F.col("dt") <= F.lit(context.dt))
    model = context.settings.assignment.model_id
    if model is None:
        return _of(rows, clustering_ids)
    each = F.explode(F.array(*[F.lit(name) for name in clustering_ids]))
    return _of(rows, [model]).withColumn("clustering_id", each)
