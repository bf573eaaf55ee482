"""Taking in a day of the event log: what it holds, which event days it changes, and their partials."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.features import events as e
from bannermap.features.transforms import order_free_hash
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext
from bannermap.platform.storage import path_exists
from bannermap.platform.tables import EVENT_LOG_DAYS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class LogDay:
    """One day of the event log, checked.

    Attributes:
        checked: persisted rows with ``event_day`` and ``reason``.
        rows: rows of the log.
        accepted: rows that may count.
        digest: order-free hash of the accepted rows.
    """

    checked: DataFrame
    rows: int
    accepted: int
    digest: str


def read_day(context: JobContext) -> LogDay:
    """The day's partition of the event log.

    Raises:
        InputError: it is absent, empty, has no usable row, or is far smaller than the day before; nothing was changed.
    """
    day, root = context.dt, context.settings.paths.event_log
    spark, kept_days = context.warehouse.spark, context.settings.features.kept_days
    if not path_exists(spark, _folder(root, day)):
        raise InputError(
            f"There is no event log for {day}: {_folder(root, day)} does not exist. Wait for it, or check paths.event_log."
        )
    checked = e.checked_events(_read_days(spark, root, [day]), kept_days).persist()
    accepted = e.accepted_events(checked)
    log = LogDay(checked, checked.count(), accepted.count(), order_free_hash(accepted, accepted.columns))
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


def changed_days(context: JobContext, log: LogDay) -> list[datetime.date]:
    """Event days whose partials have to be rebuilt, ascending.

    A day that was taken in before with other content may have lost events that nothing names any more: then every day that it
    can have touched is rebuilt. What an unfinished run meant to rebuild is rebuilt too.
    """
    today = e.accepted_events(log.checked)
    reach = datetime.timedelta(days=context.settings.features.kept_days)
    others = _events_of(context, _other_days(context, context.dt - reach, context.dt + 2 * reach))
    days = e.days_that_change(today, others) if others is not None else e.days_that_change(today, today.limit(0))
    known = _taken_in(context).where(F.col("dt") == F.lit(context.dt)).head(1)
    if known and known[0]["digest"] != log.digest:
        # From the logs and not from the partials: a day whose only events were repetitions has no partials.
        touched = _taken_in(context).select(F.explode("affected_dts").alias("day")).distinct()
        days |= {r["day"] for r in touched.collect() if abs(r["day"] - context.dt) < reach}
    if known and not known[0]["complete"]:
        days |= set(known[0]["affected_dts"])
    return sorted(days)


def rebuilt_partials(context: JobContext, log: LogDay, days: list[datetime.date]) -> DataFrame:
    """Partials of some event days, from all log days taken in that can hold their events or smaller repetitions of them."""
    kept_days = context.settings.features.kept_days
    reach = datetime.timedelta(days=kept_days)
    others = _events_of(context, _other_days(context, days[0] - reach, days[-1] + reach))
    today = e.accepted_events(log.checked)
    near = F.col("event_day").between(F.lit(days[0] - reach), F.lit(days[-1]))
    counted = e.deduplicated((today.unionByName(others) if others is not None else today).where(near), kept_days)
    return e.partials(counted.where(F.col("event_day").isin(days)))


def record_day(context: JobContext, log: LogDay, days: list[datetime.date], complete: bool) -> None:
    """Note the day in event_log_days: before its work as incomplete, after it as complete."""
    row = (context.dt, log.rows, log.accepted, log.digest, days, complete)
    frame = context.warehouse.spark.createDataFrame([row], EVENT_LOG_DAYS.schema)
    context.warehouse.merge(EVENT_LOG_DAYS, frame)


def newest_log_day(context: JobContext, event_days: Iterable[datetime.date] | None = None) -> datetime.date:
    """The newest log day taken in; with ``event_days``, of those that could change one of them."""
    days = _taken_in(context)
    if event_days is not None:
        days = days.where(F.arrays_overlap("affected_dts", F.array(*[F.lit(d) for d in event_days])))
    newest = days.agg(F.max("dt")).collect()[0][0]
    return max(newest or context.dt, context.dt)


def _taken_in(context: JobContext) -> DataFrame:
    return context.warehouse.read_or_empty(EVENT_LOG_DAYS)


def _other_days(context: JobContext, after: datetime.date, before: datetime.date) -> list[datetime.date]:
    """Log days taken in, other than the run's, strictly between two days."""
    between = (F.col("dt") > F.lit(after)) & (F.col("dt") < F.lit(before)) & (F.col("dt") != F.lit(context.dt))
    return sorted(r["dt"] for r in _taken_in(context).where(between).select("dt").collect())


def _events_of(context: JobContext, days: list[datetime.date]) -> DataFrame | None:
    """Accepted events of log days taken in before.

    Log days that the operator has removed can matter only as a source of repetitions, unless an event day that they may hold
    events of is rebuilt: see `_check_present`.
    """
    spark, root = context.warehouse.spark, context.settings.paths.event_log
    present = [d for d in days if path_exists(spark, _folder(root, d))]
    _check_present(context, sorted(set(days) - set(present)))
    if not present:
        return None
    kept_days = context.settings.features.kept_days
    return e.accepted_events(e.checked_events(_read_days(spark, root, present), kept_days))


def _check_present(context: JobContext, gone: list[datetime.date]) -> None:
    first_kept = context.dt - datetime.timedelta(days=context.settings.features.kept_days)
    needed, root = [d for d in gone if d > first_kept], context.settings.paths.event_log
    if needed:
        raise InputError(
            f"The event log of {needed[0]} was taken in and is gone; without it the counts of late events would be wrong. "
            f"Nothing was changed: restore {_folder(root, needed[0])} "
            "(the log is needed for features.kept_days)."
        )
    context.run.metrics["log_days_gone"] = max(len(gone), context.run.metrics.get("log_days_gone", 0))


def _read_days(spark: SparkSession, root: str, days: list[datetime.date]) -> DataFrame:
    raw = spark.read.option("basePath", root).parquet(*[_folder(root, d) for d in days])
    return e.declared_events(raw)


def _folder(root: str, day: datetime.date) -> str:
    return f"{root.rstrip('/')}/dt={day.isoformat()}"
