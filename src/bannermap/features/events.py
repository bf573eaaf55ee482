"""From the event log to partials: which rows count, which of repeated events, and which days a log day can change.

An event x counts unless a smaller event of the same event_id lies on its day or within ``kept_days`` before. Smaller means by
(event_ts, user_id, banner_id, event_type), a null banner last: an event that names its banner says more. The rule looks at
event days alone, never at arrival, so the partials are a function of the set of log days taken in, in any order. Where user ids
are pseudonymised, ``user_id`` is the pseudonym here too: a tie in event_ts may then fall to another user than without.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from bannermap.platform.errors import InputError
from bannermap.platform.tables import EVENT_LOG, EVENT_TYPES, USER_BANNER_DAYS, count_column

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

EVENT_COLUMNS = ("event_id", "event_type", "event_ts", "user_id", "banner_id")


def declared_events(raw: DataFrame) -> DataFrame:
    """The declared columns of an event log: absent ones and values that cannot be read as nulls, unknown columns left out.

    Raises:
        InputError: a column is absent without which nothing can be counted.
    """
    missing = [c for c in EVENT_COLUMNS if c not in raw.columns]
    if missing:
        raise InputError(
            f"The events lack {', '.join(missing)}; they have {', '.join(raw.columns)}. See event_log in docs/tables.md."
        )
    types = dict(raw.dtypes)
    if types["event_ts"] == "bigint":  # nanoseconds, as pandas writes them, see session.py
        raw = raw.withColumn("event_ts", F.timestamp_micros(F.expr("event_ts div 1000")))
    known = {c: F.col(c).try_cast(EVENT_LOG.type_of(c)) if c in types else F.lit(None) for c in EVENT_LOG.columns}
    return EVENT_LOG.select(raw.select(*[column.alias(c) for c, column in known.items()]))


def checked_events(events: DataFrame, kept_days: int | None) -> DataFrame:
    """The events with ``event_day`` (UTC date), ``erased`` (false) and ``reason``: why one cannot count, null where it can.

    Blank ids are null ids, and banner ids lose surrounding blanks as in the registry.

    Args:
        events: columns of `EVENT_LOG`; ``dt`` is the log day.
        kept_days: events that lie so many days before their log day are too old; None where there are no log days.
    """
    clean = {c: F.nullif(F.trim(c), F.lit("")) for c in ("event_id", "banner_id")}
    user = F.when(F.trim("user_id") != "", F.col("user_id"))
    cleaned = events.withColumns({**clean, "user_id": user, "event_day": F.to_date("event_ts"), "erased": F.lit(False)})
    reasons: list[tuple[str, Column]] = [
        ("no_event_id", F.col("event_id").isNull()),
        ("no_user", F.col("user_id").isNull()),
        ("unknown_event_type", ~F.coalesce(F.col("event_type").isin(*EVENT_TYPES), F.lit(False))),
        ("no_event_ts", F.col("event_ts").isNull()),
    ]
    if kept_days is not None:
        age = F.datediff("dt", "event_day")
        reasons += [("event_after_log_day", age < 0), ("event_too_old", age >= kept_days)]
    return cleaned.withColumn("reason", F.coalesce(*[F.when(test, F.lit(name)) for name, test in reasons]))


def rejected_rows(checked: DataFrame) -> DataFrame:
    """Refused events: ``reason``, ``row_json``; those of erased users are left out."""
    row_json = F.to_json(F.struct(*EVENT_LOG.columns), {"ignoreNullFields": "false"})
    return checked.where("reason IS NOT NULL AND NOT erased").select("reason", row_json.alias("row_json"))


def accepted_events(checked: DataFrame) -> DataFrame:
    """Events that may count, with what counting needs."""
    return delivered_events(checked.where("NOT erased"))


def delivered_events(checked: DataFrame) -> DataFrame:
    """Accepted events and those of erased users that would be: what the log files say, whoever was erased since."""
    return checked.where("reason IS NULL").select(*EVENT_COLUMNS, "event_day")


def deduplicated(events: DataFrame, kept_days: int | None) -> DataFrame:
    """The events that count, by the rule at the top of this module.

    Args:
        events: accepted events.
        kept_days: reach of the rule in days; None for no limit.
    """
    order = [F.asc("event_ts"), F.asc("user_id"), F.asc_nulls_last("banner_id"), F.asc("event_type")]
    previous_day = F.lag("event_day").over(Window.partitionBy("event_id").orderBy(*order))
    counts = F.col("previous_day").isNull()
    if kept_days is not None:
        counts = counts | (F.datediff("event_day", "previous_day") >= kept_days)
    return events.withColumn("previous_day", previous_day).where(counts).drop("previous_day")


def partials(events: DataFrame, user_buckets: int = 1) -> DataFrame:
    """`USER_BANNER_DAYS`: counts of deduplicated events by day, user and banner; a null banner is a group of its own.

    Counted before anything is moved: of a user with a fifth of all events, no more rows travel than the user has banners a day.
    """
    counts = [F.count_if(F.col("event_type") == e).alias(count_column(e)) for e in EVENT_TYPES]
    counted = events.withColumn("dt", F.col("event_day")).groupBy("dt", "user_id", "banner_id").agg(*counts)
    return USER_BANNER_DAYS.select(counted.withColumn("user_bucket", bucket_of("user_id", user_buckets)))


def bucket_of(user_id: str, buckets: int) -> Column:
    """The bucket of a user column, see `layout`."""
    return F.pmod(F.xxhash64(user_id), F.lit(buckets)).cast("int")


def days_that_change(today: DataFrame, others: DataFrame) -> set[datetime.date]:
    """Event days whose partials a log day can change.

    These are the days of its events, and the days of events in other logs with the same event_id that are not earlier: a smaller
    event takes the place of a later one, never of an earlier one.

    Args:
        today: delivered events of the log day.
        others: delivered events of the other kept log days.
    """
    first = today.groupBy("event_id").agg(F.min("event_day").alias("first_day"))
    shared = others.join(first, "event_id").where("event_day >= first_day").select("event_day")
    return {r["event_day"] for r in today.select("event_day").union(shared).distinct().collect()}
