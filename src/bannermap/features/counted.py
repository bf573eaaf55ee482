"""The events that the features count, with request and context, for whoever needs more of them than counts."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.features import events as e
from bannermap.features import files as plain
from bannermap.features.intake import checked_log_days, has_log
from bannermap.features.users import check_one_key, pseudonymised
from bannermap.platform.errors import InputError
from bannermap.platform.logs import log_folder
from bannermap.platform.pseudonyms import user_key
from bannermap.platform.runs import JobContext
from bannermap.platform.settings import Settings
from bannermap.platform.tables import EVENT_LOG_DAYS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def counted_events(context: JobContext, first_day: datetime.date) -> DataFrame:
    """Events of the days from ``first_day`` to the run's, checked, deduplicated and without erased users as in the partials.

    Only log days that were taken in, up to the run's, are read: what came later was not known. A repetition of an event that was
    first logged before ``first_day`` counts here.

    Returns:
        The columns of the event log and ``event_day``.

    Raises:
        InputError: a day of the log is not there, or has user ids of another key.
    """
    days, root = _days_taken_in(context, first_day), context.settings.paths.event_log
    check_one_key(context, user_key(context.settings))
    gone = [d for d in days if not has_log(context, d)]
    if gone or not days:
        raise InputError(
            f"The event log of {gone[0]} was taken in and is gone: restore {log_folder(root, gone[0])}."
            if gone
            else f"No event log from {first_day} to {context.dt} was taken in. Run build_user_features for these days first."
        )
    checked = checked_log_days(context, days).where("reason IS NULL AND NOT erased")
    counted = e.deduplicated(checked, context.settings.features.kept_days)
    return counted.where(F.col("event_day").between(F.lit(first_day), F.lit(context.dt)))


def counted_file_events(spark: SparkSession, settings: Settings, path: str) -> DataFrame:
    """The events of a plain file, checked and deduplicated as `build_user_features` does; columns as `counted_events`."""
    raw = e.declared_events(plain.read_files(spark, path))
    checked = pseudonymised(e.checked_events(raw, kept_days=None), user_key(settings)).where("reason IS NULL")
    return e.deduplicated(checked, kept_days=None)


def file_assignment(spark: SparkSession, settings: Settings, values: Mapping[str, str]) -> DataFrame:
    """The assignment of a plain file, see `files`: banner_id, cluster_id."""
    return plain.assignment_of(plain.read_files(spark, values["assignments"]), values["assignments"])


def _days_taken_in(context: JobContext, first_day: datetime.date) -> list[datetime.date]:
    taken = context.warehouse.read(EVENT_LOG_DAYS, "build_user_features")
    inside = taken.where(F.col("dt").between(F.lit(first_day), F.lit(context.dt)))
    return sorted(r["dt"] for r in inside.select("dt").collect())
