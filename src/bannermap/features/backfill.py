"""The job `backfill_features`: features of many as-of days from the partials as they are, in one pass over them."""

from __future__ import annotations

import datetime
import functools
from dataclasses import dataclass

from bannermap.features.gaps import gaps, tell
from bannermap.features.intake import log_days_taken_in
from bannermap.features.layout import partials_table
from bannermap.features.publication import PUBLISHING, check_definitions, publish
from bannermap.features.revisions import Asked
from bannermap.platform.cli import FEATURES, Stage
from bannermap.platform.clusterings import pinned_clusterings
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import USER_BANNER_DAYS

MOST_DAYS = 366
"""As-of days at once: each sends the clusters of all banners to every task."""


@dataclass(frozen=True)
class Backfill:
    """What is asked for.

    Attributes:
        until: last as-of day; the first is the run's day.
        rewrite: whether revisions of equal inputs are written again: after another export was configured, say.
    """

    until: datetime.date
    rewrite: bool = False


def backfill_stage(backfill: Backfill) -> Stage:
    """The stage that publishes a range of as-of days."""
    return Stage("backfill_features", functools.partial(run, backfill=backfill), PUBLISHING, writes_alone=FEATURES)


def run(context: JobContext, backfill: Backfill) -> None:
    """Publish each day of the range as `build_user_features` of that day would, were it run now; no log is read.

    Each day counts by the newest clustering made as of itself. What is published from equal inputs stays as it is, so the same
    command again does the rest after a kill, and nothing after a run that ended.

    Raises:
        ConfigError: the range is empty or too long.
        InputError: a day has no clustering, its log was not taken in, a log that its windows reach was not taken in to the end,
            or a table holds another definition; nothing was changed.
        PublicationError: the gate refused a day; nothing of the range was published.
    """
    days = _days(context.dt, backfill.until)
    check_definitions(context)
    pinned = pinned_clusterings(context, days)
    _check_taken_in(context, days)
    partials_table(context)
    partials = context.warehouse.read(USER_BANNER_DAYS, "build_user_features")
    written = publish(context, partials, [Asked(day, pinned[day], backfill.rewrite) for day in days])
    context.run.rows_in = context.run.rows_out = sum(written.values())
    context.run.metrics.update({"as_of_days": len(days), "revisions_written": len(written)})


def _days(first: datetime.date, last: datetime.date) -> list[datetime.date]:
    number = (last - first).days + 1
    if not 1 <= number <= MOST_DAYS:
        raise ConfigError(
            f"--date {first} --until {last} is {max(number, 0)} days: --until takes the last day, which is not before --date, "
            f"and a run publishes at most {MOST_DAYS} days."
        )
    return [first + datetime.timedelta(days=n) for n in range(number)]


def _check_taken_in(context: JobContext, days: list[datetime.date]) -> None:
    ended, found = log_days_taken_in(context, complete=True), gaps(context, days)
    missing = sorted(set(days) - set(ended))
    if missing:
        raise InputError(
            f"The event log of {missing[0]} was not taken in, or not to the end ({len(missing)} days of the range are so): "
            f"features as of that day would lack events. Nothing was changed; run build_user_features --date {missing[0]} first."
        )
    if found.incomplete:
        raise InputError(
            f"The event log of {found.incomplete[0]} was not taken in to the end ({len(found.incomplete)} days that the windows "
            "of the range reach are so): features of the range would lack events. Nothing was changed; run build_user_features "
            f"--date {found.incomplete[0]} first."
        )
    tell(context, found)
