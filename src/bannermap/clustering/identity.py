"""Which cluster carries on which: ids that live from one clustering to the next, by their shared banners.

Clusters here are numbers: old ones in order of age (older first, then id), new ones in order of their provisional id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

KEPT, CREATED, MERGED_FROM, SPLIT_FROM, RETIRED = "kept", "created", "merged_from", "split_from", "retired"
NOBODY = -1


@dataclass(frozen=True)
class Overlap:
    """Banners that an old and a new cluster share; pairs that share none are absent.

    Attributes:
        old: int64 (p,), number of the old cluster.
        new: int64 (p,), number of the new cluster.
        banners: int64 (p,), at least 1.
        old_banners: int64 (o,), size of each old cluster.
        new_banners: int64 (c,), size of each new cluster.
    """

    old: np.ndarray
    new: np.ndarray
    banners: np.ndarray
    old_banners: np.ndarray
    new_banners: np.ndarray


@dataclass(frozen=True)
class LineageEvent:
    """One row of `cluster_lineage`, with numbers instead of ids.

    Attributes:
        event: one of the five.
        new: number of the new cluster, -1 where it retired.
        old: number of the old cluster, -1 where it was created.
        banners: see the table.
        fell_out: see the table.
    """

    event: str
    new: int
    old: int
    banners: int
    fell_out: int | None


def ancestors(overlap: Overlap) -> np.ndarray:
    """The old cluster whose id each new one inherits.

    Pairs that share more than half of either side are matched one to one, greedily: most shared banners first, ties by the
    older cluster, then its id, then the new cluster's.

    Returns:
        int64 (c,), -1 where a cluster inherits nothing.
    """
    size_of_old, size_of_new = overlap.old_banners[overlap.old], overlap.new_banners[overlap.new]
    allowed = (2 * overlap.banners > size_of_old) | (2 * overlap.banners > size_of_new)
    old, new = overlap.old[allowed], overlap.new[allowed]
    order = np.lexsort((new, old, -overlap.banners[allowed]))
    return _greedy(old[order], new[order], len(overlap.old_banners), len(overlap.new_banners))


@njit(cache=True)
def _greedy(old: np.ndarray, new: np.ndarray, olds: int, news: int) -> np.ndarray:
    taken = np.zeros(olds, np.bool_)
    result = np.full(news, -1, np.int64)
    for i in range(old.shape[0]):
        if not taken[old[i]] and result[new[i]] < 0:
            taken[old[i]] = True
            result[new[i]] = old[i]
    return result


def lineage(overlap: Overlap, inherited: np.ndarray) -> list[LineageEvent]:
    """What happened to every cluster; every banner that changed its cluster is counted in one row.

    A new cluster is ``kept`` or ``created``. Banners that it has from an old cluster that it does not carry on are one row
    each: ``split_from`` for the main source of a created cluster (most shared, then oldest), else ``merged_from``. An old
    cluster that nobody carries on is ``retired``.

    Args:
        overlap: the shared banners.
        inherited: from `ancestors`.
    """
    found = np.bincount(overlap.old, overlap.banners, len(overlap.old_banners)).astype(np.int64)
    fell_out = overlap.old_banners - found
    shared = {(int(o), int(n)): int(b) for o, n, b in zip(overlap.old, overlap.new, overlap.banners, strict=True)}
    events = [_fate(n, int(o), shared, overlap, fell_out) for n, o in enumerate(inherited)]
    source = _main_sources(overlap)
    for (old, new), banners in sorted(shared.items(), key=lambda item: (item[0][1], item[0][0])):
        if inherited[new] != old:
            split = inherited[new] == NOBODY and source[new] == old
            events.append(LineageEvent(SPLIT_FROM if split else MERGED_FROM, new, old, banners, None))
    gone = np.setdiff1d(np.arange(len(overlap.old_banners)), inherited)
    return events + [LineageEvent(RETIRED, NOBODY, int(o), int(overlap.old_banners[o]), int(fell_out[o])) for o in gone]


def _fate(new: int, old: int, shared: dict[tuple[int, int], int], overlap: Overlap, fell_out: np.ndarray) -> LineageEvent:
    if old == NOBODY:
        return LineageEvent(CREATED, new, NOBODY, int(overlap.new_banners[new]), None)
    return LineageEvent(KEPT, new, old, shared[old, new], int(fell_out[old]))


def _main_sources(overlap: Overlap) -> np.ndarray:
    """int64 (c,): the old cluster that gave each new one most banners, the older on a tie; -1 where none did."""
    order = np.lexsort((-overlap.old, overlap.banners))
    result = np.full(len(overlap.new_banners), NOBODY, np.int64)
    result[overlap.new[order]] = overlap.old[order]  # the last one written is the largest, and of those the oldest
    return result


@dataclass(frozen=True)
class Made:
    """A clustering in its place among the others.

    Attributes:
        clustering_id: its name.
        dt: as-of day, anything that sorts.
        sequence: order among those of its day and encoder.
        encoder_id: see embeddings.
        previous: clustering_id that it inherits from, or null.
    """

    clustering_id: str
    dt: object
    sequence: int
    encoder_id: str
    previous: str | None


def previous_clustering(known: list[Made], dt: object, encoder_id: str) -> Made | None:
    """The clustering that one of a day inherits from: the newest of the newest earlier day.

    Of the same encoder where there is one: two encoders side by side keep two sets of names. Else of any, so that a change
    of the encoder alone renames nothing that still holds together.
    """
    earlier = [m for m in known if m.dt < dt]  # type: ignore[operator]
    own = [m for m in earlier if m.encoder_id == encoder_id]
    return max(own or earlier, key=lambda m: (m.dt, m.sequence, m.clustering_id), default=None)


def states(known: list[Made]) -> dict[str, str]:
    """``current``, ``stale`` or ``superseded`` for each clustering.

    Superseded: its own day and encoder has a newer one. Stale: made on top of another clustering than it would be today, or
    on top of a stale one; it is right for what was known, but its ids do not carry on those of the day before.
    """
    result: dict[str, str] = {}
    newest = {(m.dt, m.encoder_id): m for m in sorted(known, key=lambda m: m.sequence)}
    for made in sorted(known, key=lambda m: (m.dt, m.sequence)):
        expected = previous_clustering(known, made.dt, made.encoder_id)
        right = made.previous == (expected.clustering_id if expected else None)
        sound = right and (expected is None or result[expected.clustering_id] == "current")
        is_newest = newest[made.dt, made.encoder_id] is made
        result[made.clustering_id] = ("current" if sound else "stale") if is_newest else "superseded"
    return result


def overlap_of(
    shared: Sequence[tuple[str, str, int]], old: Sequence[tuple[str, object, int]], new: Sequence[tuple[str, int]]
) -> Overlap:
    """Clusters as numbers.

    Args:
        shared: (old id, new id, banners) of pairs that share banners.
        old: (id, day of birth, banners) in order of age: by day of birth, then id.
        new: (provisional id, banners) in order of id.
    """
    olds = {row[0]: number for number, row in enumerate(old)}
    news = {row[0]: number for number, row in enumerate(new)}
    pairs = np.array([(olds[o], news[n], banners) for o, n, banners in shared], np.int64).reshape(-1, 3)
    sizes = np.array([r[2] for r in old], np.int64), np.array([r[1] for r in new], np.int64)
    return Overlap(pairs[:, 0], pairs[:, 1], pairs[:, 2], *sizes)
