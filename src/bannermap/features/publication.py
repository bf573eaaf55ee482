"""Publishing features as of days in revisions: what was published stays, a correction stands beside it."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.features import transforms as t
from bannermap.features.counting import counted, form_of
from bannermap.features.digests import RowSums
from bannermap.features.gate import CLUSTERS, USERS, Sums
from bannermap.features.gating import pass_gate
from bannermap.features.inputs import assignment_sums
from bannermap.features.intake import log_days_taken_in, newest_log_day
from bannermap.features.reading import PUBLICATIONS_FILE
from bannermap.features.revisions import Asked, Revision, instant
from bannermap.features.sets import configured_sets
from bannermap.platform.files import read_text, write_text
from bannermap.platform.runs import JobContext
from bannermap.platform.session import partitions_at_once
from bannermap.platform.settings import FeatureSettings
from bannermap.platform.tables import (
    FEATURE_PUBLICATIONS,
    THEMES,
    USER_CLUSTER_COUNTS,
    USER_FEATURES,
    WIDE_SLOTS,
    Table,
    user_feature_lists,
    user_features_wide,
    window_columns,
)
from bannermap.platform.versions import note_parquet_version

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

PUBLISHING = ("compare with what is published", "count windows", "judge features", "publish features")
"""Phases of `publish`."""


def published_with(context: JobContext, event_days: Iterable[datetime.date]) -> list[tuple[datetime.date, str]]:
    """As-of days with their clusterings that are published and whose windows hold one of the event days, ascending."""
    reach = t.LONGEST_WINDOW_DAYS
    rows = context.warehouse.read_or_empty(FEATURE_PUBLICATIONS).select("dt", "clustering_id").distinct().collect()
    days = set(event_days)
    return sorted((r["dt"], r["clustering_id"]) for r in rows if any(0 <= (r["dt"] - d).days < reach for d in days))


def publish(context: JobContext, partials: DataFrame, asked: Sequence[Asked]) -> dict[Revision, int]:
    """Bring the features of some as-of days and clusterings up to date, in one pass over the partials.

    Equal inputs are the newest revision, written again in place if asked for; other inputs are a new revision beside it.

    Args:
        context: of the run.
        partials: all of them.
        asked: each as-of day and clustering once.

    Returns:
        What was written -> rows of user_features.

    Raises:
        InputError: a clustering's members are gone.
        PublicationError: the gate refused a revision; nothing of any of them was written.
    """
    with context.phase(PUBLISHING[0]):
        revisions = _revisions(context, partials, asked)
    if not revisions:
        _tell_readers(context)
        return {}
    with contextlib.ExitStack() as stack:
        with context.phase(PUBLISHING[1]):
            rows = stack.enter_context(counted(context, partials, revisions))
        with context.phase(PUBLISHING[2]):
            sums = pass_gate(context, revisions, rows, partials)
        with context.phase(PUBLISHING[3]):
            _tell_readers(context)
            written = _write(context, revisions, rows, sums)
            _tell_readers(context)
            return written


def _revisions(context: JobContext, partials: DataFrame, asked: Sequence[Asked]) -> list[Revision]:
    """The revisions to be written; those of one clustering lie together, days ascending."""
    reach = t.sums_by(t.partials_in_reach(partials, [a.as_of for a in asked]), "dt", t.PARTIAL_COLUMNS)
    assignments = assignment_sums(context, {a.clustering_id for a in asked})
    published, log_days = _published(context), log_days_taken_in(context)
    result = []
    for one in sorted(asked, key=lambda a: (a.clustering_id, a.as_of)):
        mine = [reach[day] for day in t.days_in_reach(one.as_of) if day in reach]
        digest = t.digest_of_inputs(mine, assignments.get(one.clustering_id, RowSums()))
        last = published.get((one.as_of, one.clustering_id))
        if last and last.digest == digest:
            result += [last] if one.rewrite else []
        else:
            available_at = _available_at(context, log_days, one.as_of, first=last is None)
            result.append(Revision(one.as_of, one.clustering_id, last.number + 1 if last else 1, digest, available_at))
    return result


def _published(context: JobContext) -> dict[tuple[datetime.date, str], Revision]:
    """The newest revision of each as-of day and clustering."""
    rows = context.warehouse.read_or_empty(FEATURE_PUBLICATIONS).orderBy("revision")
    # In microseconds: a collected timestamp would be in the time zone of the machine.
    rows = rows.withColumn("available_us", F.unix_micros("available_at"))
    return {(r["dt"], r["clustering_id"]): _as_published(r) for r in rows.collect()}


def _as_published(row: Row) -> Revision:
    return Revision(row["dt"], row["clustering_id"], row["revision"], row["inputs_digest"], instant(row["available_us"]))


def _available_at(
    context: JobContext, log_days: Mapping[datetime.date, Collection[datetime.date]], as_of: datetime.date, first: bool
) -> datetime.datetime:
    """End of the day that brought the last of the data, plus the lag.

    A first revision waits for the log days that hold events of its windows: the as-of day, or a later one where the day is
    published only after late events came. A correction cannot be older than the newest log day taken in.
    """
    day = newest_log_day(log_days, t.days_in_reach(as_of) if first else None)
    end = datetime.datetime.combine(max(day or as_of, as_of) + datetime.timedelta(days=1), datetime.time(), datetime.UTC)
    return end + datetime.timedelta(hours=context.settings.features.available_lag_hours)


def _write(
    context: JobContext, revisions: Sequence[Revision], rows: Mapping[str, DataFrame], sums: Sequence[Sums]
) -> dict[Revision, int]:
    """All feature tables of the revisions, so many revisions at a time as a task can write without sorting them apart."""
    slots, each = _write_slots(context, revisions), partitions_at_once(context.warehouse.spark) or len(revisions)
    written: dict[Revision, int] = {}
    for first in range(0, len(revisions), each):
        some = range(first, min(first + each, len(revisions)))
        mine = {form: frame.where(F.col("target").between(some[0], some[-1])) for form, frame in rows.items()}
        written |= _write_some(context, {n: revisions[n] for n in some}, _frames(context.settings.features, mine, slots), sums)
    return written


def _write_some(
    context: JobContext, revisions: Mapping[int, Revision], frames: Sequence[tuple[Table, DataFrame]], sums: Sequence[Sums]
) -> dict[Revision, int]:
    """Each table in one commit; their rows in feature_publications last, so that readers see whole revisions only.

    Args:
        context: of the run.
        revisions: target -> what is written.
        frames: tables with the rows of these targets.
        sums: figures of every target.
    """
    spark = context.warehouse.spark
    stamps = [(n, r.as_of, r.clustering_id, r.number, r.available_at) for n, r in revisions.items()]
    stamp = spark.createDataFrame(stamps, "target int, dt date, clustering_id string, revision int, available_at timestamp")
    context.warehouse.overwrite_partitions_of_each(
        [(table, frame.join(F.broadcast(stamp), "target")) for table, frame in frames], [r.partition for r in revisions.values()]
    )
    written = {revision: sums[n].get(USERS, 0) for n, revision in revisions.items()}
    lines = [
        (r.as_of, r.clustering_id, r.number, r.digest, r.available_at, written[r], *(sums[n].get(c, 0) for c in window_columns()))
        for n, r in revisions.items()
    ]
    context.warehouse.merge(FEATURE_PUBLICATIONS, spark.createDataFrame(lines, FEATURE_PUBLICATIONS.schema))
    return written


def _tell_readers(context: JobContext) -> None:
    """Name what is published beside the partitions of each Parquet table: a folder that is there may still be in the making,
    or be what a killed run left, and readers of plain Parquet know no feature_publications."""
    warehouse = context.warehouse
    if warehouse.read_only:
        return
    rows = warehouse.read_or_empty(FEATURE_PUBLICATIONS).select("dt", "clustering_id", "revision").collect()
    text = json.dumps(sorted([str(r["dt"]), r["clustering_id"], r["revision"]] for r in rows))
    warehouse.check_claims()
    for table in [one for one in published_tables(context.settings.features) if one.format == "parquet"]:
        if not warehouse.exists(table):
            note_parquet_version(warehouse.spark, table, warehouse.path(table), table.version)
        place = f"{warehouse.path(table)}/{PUBLICATIONS_FILE}"
        if read_text(warehouse.spark, place) != text:
            write_text(warehouse.spark, place, text)


def _frames(
    settings: FeatureSettings, rows: Mapping[str, DataFrame], slots: Mapping[int, Mapping[int, Sequence[str]]]
) -> list[tuple[Table, DataFrame]]:
    """Every table with its rows of all revisions, less what a publication adds.

    Args:
        settings: name the exports and sets.
        rows: form -> feature rows.
        slots: see `_write_slots`.
    """
    wide = settings.wide_themes
    features, by_theme, mine = rows[CLUSTERS], rows[form_of(wide)], slots[wide]
    frames = [
        t.long_rows(features),
        features,
        t.wide_rows(by_theme, mine, settings.wide_events),
        t.list_rows(by_theme, mine),
    ]
    for chosen in configured_sets(settings):
        frames.append(t.set_rows(rows[form_of(chosen.themes)], chosen, slots.get(chosen.themes or 0, {})))
    return list(zip(published_tables(settings), frames, strict=True))


def published_tables(settings: FeatureSettings) -> list[Table]:
    """The tables that a revision fills: both tables, both exports, then the configured sets."""
    wide = user_features_wide(settings.wide_themes, settings.wide_events)
    exports = [USER_CLUSTER_COUNTS, USER_FEATURES, wide, user_feature_lists(settings.wide_themes)]
    return [*exports, *(chosen.table() for chosen in configured_sets(settings))]


def check_definitions(context: JobContext) -> None:
    """Refuse to fill a table with numbers of another definition than it holds, before anything is written.

    Raises:
        InputError: a stored table has another version or definition than configured.
    """
    for table in published_tables(context.settings.features):
        context.warehouse.check(table)


def _write_slots(context: JobContext, revisions: Sequence[Revision]) -> dict[int, dict[int, list[str]]]:
    """Number of slots -> place of each revision -> the theme of each slot, "" where a slot has none; in one commit."""
    names, numbers = sorted({r.clustering_id for r in revisions}), context.settings.features.theme_counts
    here = F.col("clustering_id").isin(names) & F.col("k").isin(list(numbers))
    rows = context.warehouse.read(THEMES, "cluster_banners").where(here).withColumnRenamed("k", "slots")
    places = [{"clustering_id": name, "slots": number} for name in names for number in numbers]
    context.warehouse.overwrite_partitions_of_each([(WIDE_SLOTS, rows)], places)
    collected = rows.select("clustering_id", "slots", "slot", "theme_id").collect()
    themes = {(r["clustering_id"], r["slots"], r["slot"]): r["theme_id"] for r in collected}
    return {
        number: {
            n: [themes.get((r.clustering_id, number, slot), "") for slot in range(1, number + 1)] for n, r in enumerate(revisions)
        }
        for number in numbers
    }
