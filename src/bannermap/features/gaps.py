"""Log days that windows reach and that were not taken in, or not to the end: such windows may lack events."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bannermap.features import transforms as t
from bannermap.features.intake import log_days_taken_in
from bannermap.platform.runs import JobContext, say


@dataclass(frozen=True)
class Gaps:
    """Log days that windows may lack events of.

    Attributes:
        absent: days since the first log that was taken in, of which none was; a day that nobody delivered is one.
        incomplete: days whose run has not ended and was to rebuild an event day of the windows.
    """

    absent: list[datetime.date]
    incomplete: list[datetime.date]


def gaps(context: JobContext, as_of: Collection[datetime.date]) -> Gaps:
    """The gaps of windows as of some days; the run's own log day is none while it is being taken in."""
    reach = {day for one in as_of for day in t.days_in_reach(one)}
    taken, ended = log_days_taken_in(context), log_days_taken_in(context, complete=True)
    first = min(taken, default=max(as_of))
    open_days = [d for d, rebuilt in taken.items() if d not in ended and reach & {d, *rebuilt}]
    absent = [d for d in reach if d > first and d not in taken]
    return Gaps(sorted(set(absent) - {context.dt}), sorted(set(open_days) - {context.dt}))


def tell(context: JobContext, found: Gaps) -> None:
    """Count gaps in the manifest, and say which there are: a day that was never delivered must not stop the days after it."""
    context.run.metrics["log_days_absent"] = len(found.absent)
    context.run.metrics["log_days_incomplete"] = len(found.incomplete)
    if found.absent:
        say(f"no event log was taken in of {_listed(found.absent)}: windows count these days as days without a log")
    if found.incomplete:
        say(f"not taken in to the end: the event log of {_listed(found.incomplete)}; windows are corrected once it is")


def _listed(days: Iterable[datetime.date]) -> str:
    first, *others = days
    return f"{first} and {len(others)} more days" if others else str(first)
