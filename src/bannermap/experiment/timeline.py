"""Which publication of the features an impression joins: the newest that a server could have had when it was shown."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

DAY_US = 86_400_000_000
"""Microseconds of a day."""


@dataclass(frozen=True)
class Publication:
    """A revision of a day's features.

    Attributes:
        as_of: last day of its windows.
        clustering_id: the clustering that it counts by.
        sequence: of that clustering within its day.
        revision: 1 for the first.
        available_us: microseconds since 1970, UTC, from which a server could have had it.
    """

    as_of: datetime.date
    clustering_id: str
    sequence: int
    revision: int
    available_us: int

    @property
    def usable_from_us(self) -> int:
        """Microseconds from which impressions may join it: when it is there, and never before the day after its windows."""
        return max(self.available_us, (days_since_1970(self.as_of) + 1) * DAY_US)

    @property
    def rank(self) -> tuple[datetime.date, int, str, int]:
        """The greatest of those that may be joined is joined: newest day, newest clustering of the day, newest revision."""
        return self.as_of, self.sequence, self.clustering_id, self.revision


@dataclass(frozen=True)
class Span:
    """A span of time and the place of the publication that its impressions join: from_us <= time < to_us."""

    from_us: int
    to_us: int
    place: int


END_US = 2**62
"""Later than any impression."""


def spans(publications: Sequence[Publication]) -> list[Span]:
    """Spans that follow each other from the first publication on, each with the one to join; ``place`` counts as given.

    Args:
        publications: in any order.
    """
    in_time = sorted(range(len(publications)), key=lambda i: publications[i].usable_from_us)
    result: list[Span] = []
    best: int | None = None
    for place in in_time:
        if best is not None and publications[place].rank < publications[best].rank:
            continue
        start = publications[place].usable_from_us
        if result:
            result[-1] = Span(result[-1].from_us, start, result[-1].place)
        result.append(Span(start, END_US, place))
        best = place
    return [s for s in result if s.from_us < s.to_us]


def newest_of_each_day(publications: Sequence[Publication]) -> dict[datetime.date, int]:
    """As-of day -> place of its newest publication, whenever it was available: for features that must not be had."""
    result: dict[datetime.date, int] = {}
    for place, publication in enumerate(publications):
        other = result.get(publication.as_of)
        if other is None or publications[other].rank < publication.rank:
            result[publication.as_of] = place
    return result


def days_since_1970(day: datetime.date) -> int:
    """A day as a number."""
    return (day - datetime.date(1970, 1, 1)).days
