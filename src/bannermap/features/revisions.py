"""What is asked to be published, and what is to be written for it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Asked:
    """One as-of day and clustering to be brought up to date.

    Attributes:
        as_of: last day of its windows.
        clustering_id: the clustering that it counts by.
        rewrite: whether a revision of equal inputs is written again in place.
    """

    as_of: datetime.date
    clustering_id: str
    rewrite: bool


@dataclass(frozen=True)
class Revision:
    """One publication to be written.

    Attributes:
        as_of: last day of its windows.
        clustering_id: the clustering that it counts by.
        number: 1 for the first, later ones correct it.
        digest: of partials and assignment.
        available_at: from when a server could have had it, UTC.
    """

    as_of: datetime.date
    clustering_id: str
    number: int
    digest: str
    available_at: datetime.datetime

    @property
    def partition(self) -> dict[str, object]:
        """The partition that it fills in each feature table."""
        return {"dt": self.as_of, "clustering_id": self.clustering_id, "revision": self.number}


def instant(microseconds: int) -> datetime.datetime:
    """A time in UTC from microseconds since 1970."""
    return _EPOCH + datetime.timedelta(microseconds=microseconds)
