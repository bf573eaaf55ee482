"""The job `build_user_features`: a day of the event log into partials, and features of every as-of day that it changes."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.features.events import rejected_rows
from bannermap.features.files import run_on_files
from bannermap.features.gaps import gaps, tell
from bannermap.features.intake import ChangedDays, LogDay, changed_days, read_day, rebuilt_partials, record_day
from bannermap.features.layout import laid_out, partials_table
from bannermap.features.publication import PUBLISHING, check_definitions, publish, published_with
from bannermap.features.revisions import Asked
from bannermap.features.users import ERASED
from bannermap.platform.cli import FEATURES, FileMode, Stage
from bannermap.platform.clusterings import pinned_clustering
from bannermap.platform.pseudonyms import user_key
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import USER_BANNER_DAYS, Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def run(context: JobContext) -> None:
    """Take in the day's log, rebuild the partials that it changes, publish the day and correct what was published before.

    The partials are a function of the set of log days taken in, so days may come in any order or twice. Every step repeats
    itself exactly when a killed run is run again; the day counts as complete only after its last write. A day whose
    features, or whose corrections of other days, the gate refuses stays incomplete, with its partials.
    """
    check_definitions(context)
    clustering_id = pinned_clustering(context)
    table = partials_table(context)
    with context.phase("read the event log"):
        log = read_day(context)
    try:
        partials, days = _take_in(context, log, table)
        tell(context, gaps(context, [context.dt]))
        corrected = [Asked(*p, rewrite=False) for p in published_with(context, days.rebuilt) if p != (context.dt, clustering_id)]
        written = publish(context, partials, [Asked(context.dt, clustering_id, rewrite=True), *corrected])
        record_day(context, log, days, complete=True)
    finally:
        log.checked.unpersist()
    context.run.rows_in = log.rows
    context.run.rows_out = sum(users for r, users in written.items() if (r.as_of, r.clustering_id) == (context.dt, clustering_id))
    context.run.metrics.update({"event_days_rebuilt": len(days.rebuilt), "revisions_corrected": len(written) - 1})


def _take_in(context: JobContext, log: LogDay, table: Table) -> tuple[DataFrame, ChangedDays]:
    """Write what the log day changes; all partials, and the event days that it is about."""
    with context.phase("find the days that change"):
        days = changed_days(context, log)
        rebuilt = rebuilt_partials(context, log, days.rebuilt)
    with context.phase("write user_banner_days"):
        # First: rows refused under a key must not be there without a day that names the key.
        record_day(context, log, days, complete=False)
        context.reject(rejected_rows(log.checked))
        if log.erased:
            context.run.rejected[ERASED] = log.erased
        context.warehouse.overwrite_partitions(table, laid_out(rebuilt), "dt", days.rebuilt)
    return _partials(context, rebuilt, days.rebuilt), days


def _partials(context: JobContext, rebuilt: DataFrame, days: list[datetime.date]) -> DataFrame:
    """The partials as they are after the write; in a dry run, as they would be."""
    stored = context.warehouse.read_or_empty(USER_BANNER_DAYS)
    return stored.where(~F.col("dt").isin(days)).unionByName(rebuilt) if context.warehouse.read_only else stored


PHASES = ("read the event log", "find the days that change", "write user_banner_days", *PUBLISHING)
STAGE = Stage("build_user_features", run, PHASES, user_key, FEATURES)
FILES = FileMode(
    {
        "events": "Parquet or Delta with event_id, event_type, event_ts, user_id, banner_id",
        "assignments": "Parquet or Delta with banner_id, cluster_id",
        "as-of": "last day of the windows, YYYY-MM-DD; later events are left out",
    },
    run_on_files,
    check=user_key,
)
