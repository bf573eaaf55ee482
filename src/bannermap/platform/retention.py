"""Which clusterings may go: a rule over small rows, without tables.

What features were published from stays for ever: a feature row names clusters, and somebody may ask what these were.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StoredClustering:
    """A row of `clusterings`, as far as it matters here.

    Attributes:
        clustering_id: its name.
        dt: as-of day.
        sequence: number within the day.
        previous: the clustering whose ids it inherited; null for the first.
    """

    clustering_id: str
    dt: datetime.date
    sequence: int
    previous: str | None


@dataclass(frozen=True)
class Kept:
    """What keeps a clustering.

    Attributes:
        since: all of this day and later; None keeps those of any day.
        newest: how many of the newest stay whatever their day.
        named: clusterings that published features, or assignments of days that are kept, name.
    """

    since: datetime.date | None
    newest: int
    named: Collection[str]


def first_kept_day(day: datetime.date, days: int | None) -> datetime.date | None:
    """The first of so many days up to and with ``day``; None where all are kept."""
    return None if days is None else day - datetime.timedelta(days=days - 1)


def expendable(clusterings: Iterable[StoredClustering], kept: Kept) -> list[StoredClustering]:
    """The clusterings that nothing keeps, oldest first.

    One that is kept for its day or its place keeps the one before it as well, from which it inherits ids: run again, it must come
    out the same.

    Args:
        clusterings: all that are stored.
        kept: the rule.
    """
    if kept.since is None:
        return []
    newest_first = sorted(clusterings, key=lambda c: (c.dt, c.sequence, c.clustering_id), reverse=True)
    current = [c for n, c in enumerate(newest_first) if n < kept.newest or c.dt >= kept.since]
    stays = {c.clustering_id for c in current} | {c.previous for c in current} | set(kept.named)
    return [c for c in reversed(newest_first) if c.clustering_id not in stays]


@dataclass(frozen=True, order=True)
class StoredCells:
    """Cells that a day learned, as far as it matters here.

    Attributes:
        encoder_id: of the vectors.
        search: the settings that they follow from.
        dt: the day; they are in force until the next day that learned cells of the same two.
        cells_id: what their lists are stored under; days that learn the same cells share it.
    """

    encoder_id: str
    search: str
    dt: datetime.date
    cells_id: str


def expendable_cells(learned: Iterable[StoredCells], since: datetime.date | None) -> list[StoredCells]:
    """Cells that no day from ``since`` on searches by: not to be made anew, nor to be read.

    Args:
        learned: all that are stored.
        since: first day that may be clustered again; None keeps all.
    """
    ordered = sorted(learned)
    last = [a for a, b in itertools.zip_longest(ordered, ordered[1:]) if not _replaced(a, b, since)]
    needed = {(c.encoder_id, c.cells_id) for c in last}
    return [c for c in ordered if (c.encoder_id, c.cells_id) not in needed]


def _replaced(one: StoredCells, following: StoredCells | None, since: datetime.date | None) -> bool:
    if following is None or since is None:
        return False
    return (one.encoder_id, one.search) == (following.encoder_id, following.search) and following.dt <= since


def listed(names: Sequence[str], shown: int = 5) -> str:
    """Names for a line of text: the first few, and how many more."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "none") + more
