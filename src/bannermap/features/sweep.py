"""Windows as of many days in one pass over partials: integer keys in, counts per user and cluster out.

The partials of a user lie together, days ascending. For each window two pointers run over them, as of one day after the other:
rows that enter are added, rows that leave are taken off, so a row is touched twice per window however many days there are. These
are differences of prefix sums, of integers, hence exact. A day with another clustering than the one before begins anew with the
rows of its longest window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bannermap.features.sweep_kernel import grouped, sweep
from bannermap.platform.tables import EVENT_TYPES, WINDOWS_DAYS

PAIRS_AT_ONCE = 1 << 18
"""Rows of users and clusters in one piece of the result: 12 counts of 4 bytes each are 12 MiB."""
LARGEST_COUNT = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Partials:
    """Partials with integers for names, in any order.

    Attributes:
        users: int32 (n,), 0 to number of users - 1.
        banners: int32 (n,), 0 to number of banners - 1.
        days: int32 (n,), day number of the events.
        counts: int32 (n, events), events as in `EVENT_TYPES`.
    """

    users: np.ndarray
    banners: np.ndarray
    days: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Targets:
    """What is to be counted: as of which days, by which assignment of banners to clusters.

    Attributes:
        as_of: int32 (targets,), day numbers, ascending among neighbours of one assignment.
        assignment: int32 (targets,), row of ``clusters`` that each counts by.
        clusters: int32 (assignments, banners), cluster of each banner; codes ascend as the names of clusters do.
        recency: bool (targets,), whether each also gets the days since the last events; none do where it is None.
    """

    as_of: np.ndarray
    assignment: np.ndarray
    clusters: np.ndarray
    recency: np.ndarray | None = None


@dataclass(frozen=True)
class Counts:
    """A piece of the result: one row per target and user that has events in the longest window.

    Attributes:
        targets: int32 (rows,), which of the targets.
        users: int32 (rows,), codes.
        offsets: int32 (rows + 1,), where each row's clusters begin.
        clusters: int32 (pairs,), codes, ascending within a row.
        counts: int32 (windows * events, pairs), windows as in `WINDOWS_DAYS`, then events as in `EVENT_TYPES`.
        ages: int32 (events, pairs), days since the last event of each type, 0 on the as-of day; the longest window where it has
            none: no event that is counted is as old, so greater always means longer ago, and there is no null to be mistaken for
            today. 0 for targets without recency; (0, pairs) where no target has it.
    """

    targets: np.ndarray
    users: np.ndarray
    offsets: np.ndarray
    clusters: np.ndarray
    counts: np.ndarray
    ages: np.ndarray


def swept(
    partials: Partials,
    users: int,
    targets: Targets,
    windows_days: Sequence[int] = WINDOWS_DAYS,
    pairs_at_once: int | None = None,
) -> Iterator[Counts]:
    """All windows of all targets, users in the order of their codes.

    A partial of day d counts as of day D in the window of w days exactly when D - w < d <= D.

    Args:
        partials: of whole users.
        users: number of user codes.
        targets: see there.
        windows_days: lengths of windows, ascending.
        pairs_at_once: size of a piece, by default `PAIRS_AT_ONCE`; a user with more is a piece of its own.

    Raises:
        OverflowError: a count does not fit 32 bits.
    """
    rows = _by_user(partials, users)
    windows = np.asarray(windows_days, np.int32)
    recency = np.zeros(len(targets.as_of), bool) if targets.recency is None else targets.recency
    usual = pairs_at_once or PAIRS_AT_ONCE
    first, room = 0, usual
    while first < users:
        out = _Room.of(room, len(windows) * len(EVENT_TYPES), len(EVENT_TYPES) if recency.any() else 0)
        end, found, pairs, largest = sweep(
            *rows,
            targets.as_of,
            targets.assignment,
            targets.clusters,
            recency,
            windows,
            first,
            out.targets,
            out.users,
            out.ends,
            out.clusters,
            out.counts,
            out.ages,
        )
        if largest > LARGEST_COUNT:
            raise OverflowError(f"a user has {largest} events in one window and cluster: more than 32 bits hold")
        if end == first:
            room = pairs
            continue
        if found:
            yield out.piece(found, pairs)
        first, room = end, usual


@dataclass(frozen=True)
class _Room:
    """Buffers that a call of the kernel fills."""

    targets: np.ndarray
    users: np.ndarray
    ends: np.ndarray
    clusters: np.ndarray
    counts: np.ndarray
    ages: np.ndarray

    @classmethod
    def of(cls, pairs: int, columns: int, ages: int) -> _Room:
        """Room for so many pairs; a row has one at least."""
        one, wide = np.empty(pairs, np.int32), np.empty((columns, pairs), np.int32)
        return cls(one, np.empty_like(one), np.empty_like(one), np.empty_like(one), wide, np.zeros((ages, pairs), np.int32))

    def piece(self, rows: int, pairs: int) -> Counts:
        """What was filled."""
        offsets = np.concatenate([np.zeros(1, np.int32), self.ends[:rows]])
        wide = self.counts[:, :pairs], self.ages[:, :pairs]
        return Counts(self.targets[:rows], self.users[:rows], offsets, self.clusters[:pairs], *wide)


def _by_user(partials: Partials, users: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Starts of users, and days, banners and counts of their rows, days ascending within a user."""
    ordered = partials
    if len(partials.days) and np.any(partials.days[1:] < partials.days[:-1]):
        order = np.argsort(partials.days, kind="stable")
        ordered = Partials(*(getattr(partials, name)[order] for name in ("users", "banners", "days", "counts")))
    return grouped(ordered.users, ordered.banners, ordered.days, ordered.counts, users)
