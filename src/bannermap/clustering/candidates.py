"""Which pairs can be among the nearest: FAISS looks through bounds of all inner products, `scores` scores what is left.

FAISS distances move in their last bits and its order of ties is undefined, so nothing is cut by them: a pair is left out only
where what its product could be lies below k exact cosines of its query. A float32 product is off by a share of both lengths, so
candidates are looked at from their centre: of a group as tight as renditions of one picture are, few pairs are within that share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bannermap.clustering.ranking import best_places
from bannermap.clustering.scores import pair_cosines

TOLERANCE = 1e-5
"""Times both lengths: a float32 inner product differs by less from the exact one, up to some thousand dimensions."""
ROUNDING = 1e-7
"""Times both lengths: a cosine that was rounded to float32 differs by less from the exact one."""
MARGIN = 16
"""Candidates fetched beyond k at first; a query that may have more is looked at again."""
HELD = 1 << 23
"""Products held at once when queries are looked at again, 32 MB; and 20 bytes for each that reaches its bar."""
TIGHT = 0.2
"""Of the longest candidate's length: the greatest distance from the centre at which it pays to look from there."""
OFFSET_ROWS = 4096
"""Queries that are held in float64 at once."""


@dataclass(frozen=True)
class Look:
    """What is multiplied.

    Attributes:
        queries: float32 (m, b).
        candidates: float32 (u, b).
        rounding: times both lengths: what the exact products of these rows may be below the cosines that they stand for.
    """

    queries: np.ndarray
    candidates: np.ndarray
    rounding: float = ROUNDING


@dataclass(frozen=True)
class Centred:
    """Candidates, less their centre where that is much nearer to all of them than the origin is.

    Attributes:
        rows: float32 (u, b).
        centre: float32 (b,); None where they are left where they are.
        radius: length of the longest row.
        length: of the longest candidate.
    """

    rows: np.ndarray
    centre: np.ndarray | None
    radius: float
    length: float

    @classmethod
    def of(cls, candidates: np.ndarray) -> Centred:
        """Any float32 centre is right; the mean makes the rows short."""
        centre = (candidates.sum(axis=0, dtype=np.float64) / max(1, len(candidates))).astype(np.float32)
        rows, length = candidates - centre, largest_norm(candidates)
        radius = largest_norm(rows)
        return cls(candidates, None, length, length) if radius > TIGHT * length else cls(rows, centre, radius, length)

    def offsets(self, queries: np.ndarray) -> np.ndarray:
        """float64 (m,): what a product with a row lacks to that with its candidate."""
        if self.centre is None:
            return np.zeros(len(queries))
        centre = self.centre.astype(np.float64)
        parts = [queries[low : low + OFFSET_ROWS].astype(np.float64) @ centre for low in range(0, len(queries), OFFSET_ROWS)]
        return np.concatenate([np.empty(0), *parts])

    def slack(self, queries: np.ndarray, rounding: float = ROUNDING) -> float:
        """By less than which a float32 product with a row, and its offset, are off from the cosine, or below it; see `Look`."""
        asking = largest_norm(queries)
        return TOLERANCE * asking * self.radius + rounding * max(1.0, asking * self.length)


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


def near_pairs(full: Look, first: Look, asked: list[Asked], k: int, order: np.ndarray) -> Pairs:
    """All pairs that can be among the k best of a query, each once; and others.

    Args:
        full: vectors.
        first: what bounds their inner products; ``full`` itself, or something narrower.
        asked: who asks what; no query asks a candidate twice.
        k: at least 1.
        order: int64 (u,), which of two candidates with one cosine goes first: that of the smaller number.
    """
    floor = np.full(len(full.queries), -np.inf, np.float32)
    looked = [(part, *_bounds(first, part, k + MARGIN)) for part in asked if len(part.rows) and part.high > part.low]
    found = [_scored_first(full, looked, floor, k)]
    for part, bounds, _ in looked:
        fetched = bounds.shape[1]
        open_rows = part.rows[bounds[:, -1] >= floor[part.rows]]
        if fetched < part.high - part.low and len(open_rows):
            found += _looked_again(full, Asked(open_rows, part.low, part.high), floor, k, order)
    return found[0] if len(found) == 1 else _each_once(found, len(full.candidates))


def _bounds(look: Look, part: Asked, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Upper bounds, descending, and columns of the greatest of each row: float64 and int64 (a, min(count, candidates))."""
    queries, centred = look.queries[part.rows], Centred.of(look.candidates[part.low : part.high])
    products, columns = _greatest(queries, centred.rows, count)
    return products + (centred.offsets(queries) + centred.slack(queries, look.rounding))[:, None], columns + part.low


def _greatest(queries: np.ndarray, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The greatest products of each query, descending, and the rows that they are with: float32 and int64 (a, min(count, u))."""
    import faiss

    products, columns = faiss.knn(queries, rows, min(count, len(rows)), metric=faiss.METRIC_INNER_PRODUCT)
    return products, columns.astype(np.int64)


def _scored_first(full: Look, looked: list[tuple[Asked, np.ndarray, np.ndarray]], floor: np.ndarray, k: int) -> Pairs:
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
    reach = (bounds >= floor[:, None]) & (bounds > -np.inf) & (scores == -np.inf)
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
    bounds = np.full((rows, widths.max(initial=0)), -np.inf)
    columns, used = np.zeros(bounds.shape, np.int64), np.zeros(rows, np.int64)
    for part, found, where in looked:
        place = used[part.rows][:, None] + np.arange(found.shape[1])
        bounds[part.rows[:, None], place], columns[part.rows[:, None], place] = found, where
        used[part.rows] += found.shape[1]
    return bounds, columns


def _score(full: Look, row: np.ndarray, slot: np.ndarray, columns: np.ndarray, scores: np.ndarray) -> None:
    scores[row, slot] = pair_cosines(full.queries, full.candidates, row, columns[row, slot])


def _looked_again(full: Look, part: Asked, floor: np.ndarray, k: int, order: np.ndarray) -> Iterator[Pairs]:
    """Pairs of queries for which more than what was fetched can matter: all products are taken. However many
    are tied, no more than the k best of a query are kept."""
    centred = Centred.of(full.candidates[part.low : part.high])
    step = max(1, HELD // len(centred.rows))
    for low in range(0, len(part.rows), step):
        rows = part.rows[low : low + step]
        queries = full.queries[rows]
        bar = at_least(floor[rows] - centred.offsets(queries) - centred.slack(queries))
        at, column = np.nonzero(queries @ centred.rows.T >= bar[:, None])
        row, column = rows[at], column + part.low
        cosine = pair_cosines(full.queries, full.candidates, row, column)
        best = best_places(row, cosine, order[column], k)
        yield row[best], column[best], cosine[best]


def at_least(bar: np.ndarray) -> np.ndarray:
    """The same in float32, never more."""
    return np.nextafter(bar.astype(np.float32), np.float32(-np.inf))


def _each_once(found: list[Pairs], candidates: int) -> Pairs:
    row, column, cosine = (np.concatenate(parts) for parts in zip(*found, strict=True))
    _, first = np.unique(row * candidates + column, return_index=True)
    return row[first], column[first], cosine[first]


def largest_norm(vectors: np.ndarray) -> float:
    """Of all rows; 0 without any."""
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max(initial=0.0)))
