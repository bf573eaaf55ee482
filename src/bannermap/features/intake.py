"""Taking in a day of the event log: what it holds, which event days it changes, and their partials."""

from __future__ import annotations

import datetime
import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.features import events as e
from bannermap.features.transforms import order_free_hash
from bannermap.features.users import check_one_key, marked_erased, pseudonymised
from bannermap.platform.errors import InputError
from bannermap.platform.logs import log_day_changed_ms, log_folder
from bannermap.platform.pseudonyms import user_key
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import EVENT_LOG_DAYS, USER_ERASURES
from bannermap.platform.threads import at_once

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class LogDay:
    """One day of the event log, checked.

    Rows, accepted rows and digest are those of the files, with erased users: an erasure then never looks like another delivery
    or like an incomplete one.

    Attributes:
        checked: persisted rows with ``event_day``, ``reason`` and ``erased``.
        rows: rows of the log.
        accepted: rows that were not refused.
        erased: rows of erased users.
        digest: order-free hash of the accepted rows.
        key_id: of the pseudonyms; null for user ids as they came.
    """

    checked: DataFrame
    rows: int
    accepted: int
    erased: int
    digest: str
    key_id: str | None


def read_day(context: JobContext) -> LogDay:
    """The day's partition of the event log.

    Raises:
        InputError: it is absent, empty, has no usable row, is far smaller than the day before, or other days have user ids of
            another key; nothing was changed.
    """
    day, root, key = context.dt, context.settings.paths.event_log, user_key(context.settings)
    check_one_key(context, key)
    if not has_log(context, day):
        raise InputError(
            f"There is no event log for {day}: {log_folder(root, day)} does not exist or has no files. Wait for it, or check "
            "paths.event_log."
        )
    checked = checked_log_days(context, [day]).persist()
    accepted = e.delivered_events(checked)
    counts = (checked.count(), accepted.count(), checked.where("erased").count())
    log = LogDay(checked, *counts, order_free_hash(accepted, accepted.columns), key.key_id if key else None)
    try:
        _check_complete(context, log)
    except InputError:
        checked.unpersist()
        raise
    return log


def _check_complete(context: JobContext, log: LogDay) -> None:
    if not log.rows:
        raise InputError(f"The event log of {context.dt} has no rows. Nothing was changed; deliver the log and run again.")
    if not log.accepted:
        reasons = ", ".join(f"{r['reason']} {r['count']}" for r in log.checked.groupBy("reason").count().collect())
        raise InputError(
            f"None of the {log.rows} rows of the event log of {context.dt} can be counted: {reasons}. Nothing was changed."
        )
    earlier = _taken_in(context).where(F.col("dt") < F.lit(context.dt)).orderBy(F.desc("dt")).head(1)
    previous = earlier[0]["log_rows"] if earlier else 0
    if log.rows < previous * context.settings.features.min_share_of_previous_day:
        raise InputError(
            f"The event log of {context.dt} has {log.rows} rows, the day before it had {previous}: it looks incomplete and "
            "nothing was changed. Deliver the rest, or lower features.min_share_of_previous_day if the day was that small."
        )


@dataclass(frozen=True)
class ChangedDays:
    """Event days that taking in a log day is about, each ascending.

    Attributes:
        affected: whose partials the day's present content can change.
        rebuilt: that this run builds anew, ``affected`` among them.
        ever_rebuilt: that some run that took the day in builds or built anew, ``rebuilt`` among them.
    """

    affected: list[datetime.date]
    rebuilt: list[datetime.date]
    ever_rebuilt: list[datetime.date]


def changed_days(context: JobContext, log: LogDay) -> ChangedDays:
    """The event days that a log day can change, and those whose partials have to be rebuilt.

    A day that was taken in before with other content may have lost events that nothing names any more, and an event that one of
    these stood before counts from now on: then every day in reach that a log's events lie on is rebuilt, those of the former
    content included. What an unfinished run meant to rebuild is rebuilt too: it may have been of yet another content.
    """
    today = e.delivered_events(log.checked)
    reach = datetime.timedelta(days=context.settings.features.kept_days)
    others = _events_of(context, _other_days(context, context.dt - reach, context.dt + 2 * reach))
    affected = e.days_that_change(today, today.limit(0) if others is None else e.delivered_events(others))
    known = _taken_in(context).where(F.col("dt") == F.lit(context.dt)).head(1)
    days, before = set(affected), set(known[0]["rebuilt_dts"]) if known else set()
    if known and known[0]["digest"] != log.digest:
        # From the logs and not from the partials: a day whose only events were repetitions has no partials.
        touched = _taken_in(context).select(F.explode("affected_dts").alias("day")).distinct()
        days |= {r["day"] for r in touched.collect() if abs(r["day"] - context.dt) < reach}
    if known and not known[0]["complete"]:
        days |= before
    return ChangedDays(sorted(affected), sorted(days), sorted(days | before))


def rebuilt_partials(context: JobContext, log: LogDay, days: list[datetime.date]) -> DataFrame:
    """Partials of some event days, from all log days taken in that can hold their events or smaller repetitions of them."""
    kept_days = context.settings.features.kept_days
    reach = datetime.timedelta(days=kept_days)
    others = _events_of(context, _other_days(context, days[0] - reach, days[-1] + reach))
    today = e.accepted_events(log.checked)
    near = F.col("event_day").between(F.lit(days[0] - reach), F.lit(days[-1]))
    events = today if others is None else today.unionByName(e.accepted_events(others))
    counted = e.deduplicated(events.where(near), kept_days)
    return e.partials(counted.where(F.col("event_day").isin(days)), context.settings.features.user_buckets)


def record_day(context: JobContext, log: LogDay, days: ChangedDays, complete: bool) -> None:
    """Note the day in event_log_days: before its work as incomplete, after it as complete."""
    row = (context.dt, log.rows, log.accepted, log.digest, days.affected, days.ever_rebuilt, log.key_id, complete)
    frame = context.warehouse.spark.createDataFrame([row], EVENT_LOG_DAYS.schema)
    context.warehouse.merge(EVENT_LOG_DAYS, frame)


def log_days_taken_in(context: JobContext, complete: bool = False) -> dict[datetime.date, set[datetime.date]]:
    """Log days taken in -> the event days whose partials hold, or lack, what each of them brought.

    Of a day whose run has not ended these are all that were to be rebuilt: some may be as a former content left them.

    Args:
        context: of the run.
        complete: leave out days whose run has not ended.
    """
    days = F.when(F.col("complete"), F.col("affected_dts")).otherwise(F.col("rebuilt_dts"))
    rows = _taken_in(context).where("complete" if complete else "true").select("dt", days.alias("days")).collect()
    return {r["dt"]: set(r["days"]) for r in rows}


def newest_log_day(
    log_days: Mapping[datetime.date, Collection[datetime.date]], event_days: Collection[datetime.date] | None = None
) -> datetime.date | None:
    """The newest log day; with ``event_days``, of those that could change one of them.

    Args:
        log_days: of `log_days_taken_in`.
        event_days: days, or none for all.
    """
    return max((d for d, affected in log_days.items() if event_days is None or set(event_days) & set(affected)), default=None)


def _taken_in(context: JobContext) -> DataFrame:
    """Rows of event_log_days, with ``rebuilt_dts`` also where it was not noted: there ``affected_dts`` has both."""
    rows = context.warehouse.read_or_empty(EVENT_LOG_DAYS)
    return rows.withColumn("rebuilt_dts", F.coalesce("rebuilt_dts", "affected_dts"))


def _other_days(context: JobContext, after: datetime.date, before: datetime.date) -> list[datetime.date]:
    """Log days taken in, other than the run's, strictly between two days."""
    between = (F.col("dt") > F.lit(after)) & (F.col("dt") < F.lit(before)) & (F.col("dt") != F.lit(context.dt))
    return sorted(r["dt"] for r in _taken_in(context).where(between).select("dt").collect())


def _events_of(context: JobContext, days: list[datetime.date]) -> DataFrame | None:
    """Checked events of log days taken in before.

    Log days that the operator has removed can matter only as a source of repetitions, unless an event day that they may hold
    events of is rebuilt: see `_check_present`.
    """
    present = [d for d in days if has_log(context, d)]
    _check_present(context, sorted(set(days) - set(present)))
    return checked_log_days(context, present) if present else None


def _check_present(context: JobContext, gone: list[datetime.date]) -> None:
    first_kept = context.dt - datetime.timedelta(days=context.settings.features.kept_days)
    needed, root = [d for d in gone if d > first_kept], context.settings.paths.event_log
    if needed:
        raise InputError(
            f"The event log of {needed[0]} was taken in and is gone; without it the counts of late events would be wrong. "
            f"Nothing was changed: restore {log_folder(root, needed[0])} "
            "(the log is needed for features.kept_days)."
        )
    context.run.metrics["log_days_gone"] = max(len(gone), context.run.metrics.get("log_days_gone", 0))


def checked_log_days(context: JobContext, days: list[datetime.date]) -> DataFrame:
    """Rows of some log days as `checked_events` has them, with pseudonyms where they are on, and erased users marked."""
    events = functools.reduce(lambda a, b: a.unionByName(b), map(e.declared_events, _raw_logs(context, days)))
    checked = e.checked_events(events, context.settings.features.kept_days)
    hidden = pseudonymised(checked, user_key(context.settings))
    return marked_erased(hidden, context.warehouse.read_or_empty(USER_ERASURES))


def has_log(context: JobContext, day: datetime.date) -> bool:
    """Whether the event log has files of a day; what was removed file by file leaves a folder behind."""
    return log_day_changed_ms(context.warehouse.spark, context.settings.paths.event_log, day) is not None


def _raw_logs(context: JobContext, days: Iterable[datetime.date]) -> list[DataFrame]:
    """Rows of some log days as they lie, a frame for all days of one schema.

    Spark reads many folders by the schema of one file: nanoseconds of one day and microseconds of another would be taken for
    each other, and columns that the file lacks would vanish.
    """
    spark, root = context.warehouse.spark, context.settings.paths.event_log

    def read(folder: str) -> DataFrame:
        return spark.read.option("basePath", root).parquet(folder)

    folders = [log_folder(root, day) for day in days]
    same = defaultdict(list)
    for folder, frame in zip(folders, at_once(spark, [functools.partial(read, f) for f in folders]), strict=True):
        same[frame.schema].append(folder)
    return [spark.read.schema(schema).option("basePath", root).parquet(*some) for schema, some in same.items()]
