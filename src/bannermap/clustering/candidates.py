"""Which pairs can be among the nearest: FAISS looks through bounds of all inner products, `scores` scores what is left.

FAISS distances move in their last bits and its order of ties is undefined, so nothing is cut by them: a pair is left out only
where its bound lies below k exact cosines of its query by more than `TOLERANCE`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bannermap.clustering.scores import pair_cosines

TOLERANCE = 1e-5
"""Float32 inner products of unit vectors differ by less than this from the exact ones, up to some thousand dimensions."""
MARGIN = 16
"""Candidates fetched beyond k at first; a query that may have more is looked at again."""
HELD = 1 << 23
"""Bounds held at once when a query is looked at again, 96 MB with their columns."""


@dataclass(frozen=True)
class Look:
    """What is multiplied.

    Attributes:
        queries: float32 (m, b).
        candidates: float32 (u, b).
    """

    queries: np.ndarray
    candidates: np.ndarray

    def tolerance(self) -> float:
        """By which a bound may be too low."""
        return TOLERANCE * max(1.0, largest_norm(self.queries) * largest_norm(self.candidates))


@dataclass(frozen=True)
class Asked:
    """Some queries ask some candidates.

    Attributes:
        rows: int64 (a,), rows of queries.
        low: first row of the candidates.
        high: behind the last.
    """

    rows: np.ndarray
    low: int
    high: int


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""int64 (p,) rows of queries, int64 (p,) rows of candidates, float32 (p,) their cosines."""


def near_pairs(full: Look, first: Look, asked: list[Asked], k: int) -> Pairs:
    """All pairs that can be among the k best of a query, each once; and others.

    Args:
        full: vectors.
        first: what bounds their inner products; ``full`` itself, or something narrower.
        asked: who asks what; no query asks a candidate twice.
        k: at least 1.
    """
    floor, tolerance = np.full(len(full.queries), -np.inf, np.float32), first.tolerance()
    exact_tolerance = tolerance if first is full else full.tolerance()
    looked = [(part, *_fetched(first, part, k + MARGIN)) for part in asked if len(part.rows) and part.high > part.low]
    found = [_scored_first(full, looked, floor, k, tolerance)]
    for part, bounds, _ in looked:
        fetched = bounds.shape[1]
        open_rows = part.rows[bounds[:, -1] >= floor[part.rows] - tolerance]
        if fetched < part.high - part.low and len(open_rows):
            wider = fetched if first is not full else 4 * fetched
            found += _looked_again(full, Asked(open_rows, part.low, part.high), floor, wider, exact_tolerance)
    return found[0] if len(found) == 1 else _each_once(found, len(full.candidates))


def _fetched(look: Look, part: Asked, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds, descending, and columns of the greatest of each row: float32 and int64 (a, min(count, candidates))."""
    import faiss

    candidates = look.candidates[part.low : part.high]
    fetch = min(count, len(candidates))
    bounds, columns = faiss.knn(look.queries[part.rows], candidates, fetch, metric=faiss.METRIC_INNER_PRODUCT)
    return bounds, columns.astype(np.int64) + part.low


def _scored_first(
    full: Look, looked: list[tuple[Asked, np.ndarray, np.ndarray]], floor: np.ndarray, k: int, tolerance: float
) -> Pairs:
    """Score the k pairs of the greatest bounds, then all whose bounds reach the least of those; ``floor`` becomes the k-th."""
    bounds, columns = _side_by_side(looked, len(floor))
    scores = np.full(bounds.shape, -np.inf, np.float32)
    width = bounds.shape[1]
    if width > k:
        best = np.argpartition(bounds, width - k, axis=1)[:, width - k :]
        row, slot = np.repeat(np.arange(len(floor)), k), best.ravel()
        real = bounds[row, slot] > -np.inf
        _score(full, row[real], slot[real], columns, scores)
        floor[:] = np.take_along_axis(scores, best, axis=1).min(axis=1)
    reach = (bounds >= floor[:, None] - tolerance) & (bounds > -np.inf) & (scores == -np.inf)
    row, slot = np.nonzero(reach)
    _score(full, row, slot, columns, scores)
    if width >= k:
        floor[:] = np.partition(scores, width - k, axis=1)[:, width - k]
    row, slot = np.nonzero(scores > -np.inf)
    return row, columns[row, slot], scores[row, slot]


def _side_by_side(looked: list[tuple[Asked, np.ndarray, np.ndarray]], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """All bounds of a query in one row, filled up with -inf, and their columns."""
    widths = np.zeros(rows, np.int64)
    for part, found, _ in looked:
        widths[part.rows] += found.shape[1]
    bounds = np.full((rows, widths.max(initial=0)), -np.inf, np.float32)
    columns, used = np.zeros(bounds.shape, np.int64), np.zeros(rows, np.int64)
    for part, found, where in looked:
        place = used[part.rows][:, None] + np.arange(found.shape[1])
        bounds[part.rows[:, None], place], columns[part.rows[:, None], place] = found, where
        used[part.rows] += found.shape[1]
    return bounds, columns


def _score(full: Look, row: np.ndarray, slot: np.ndarray, columns: np.ndarray, scores: np.ndarray) -> None:
    scores[row, slot] = pair_cosines(full.queries, full.candidates, row, columns[row, slot])


def _looked_again(full: Look, part: Asked, floor: np.ndarray, fetch: int, tolerance: float) -> Iterator[Pairs]:
    """Pairs of queries for which more than what was fetched can matter: more is fetched until it cannot."""
    size = part.high - part.low
    while len(part.rows):
        fetch, still_open = min(fetch, size), []
        step = max(1, HELD // fetch)
        for low in range(0, len(part.rows), step):
            some = Asked(part.rows[low : low + step], part.low, part.high)
            bounds, columns = _fetched(full, some, fetch)
            reach = bounds >= floor[some.rows][:, None] - tolerance
            exhausted = reach[:, -1] & (fetch < size)
            at, slot = np.nonzero(reach & ~exhausted[:, None])
            row, column = some.rows[at], columns[at, slot]
            yield row, column, pair_cosines(full.queries, full.candidates, row, column)
            still_open.append(some.rows[exhausted])
        part, fetch = Asked(np.concatenate(still_open), part.low, part.high), 4 * fetch


def _each_once(found: list[Pairs], candidates: int) -> Pairs:
    row, column, cosine = (np.concatenate(parts) for parts in zip(*found, strict=True))
    _, first = np.unique(row * candidates + column, return_index=True)
    return row[first], column[first], cosine[first]


def largest_norm(vectors: np.ndarray) -> float:
    """Of all rows; 0 without any."""
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max(initial=0.0)))
