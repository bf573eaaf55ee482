"""Exact nearest neighbours by blocks: FAISS finds candidates, `scores` decides.

FAISS distances move in their last bits and its order of ties is undefined, so more than k candidates are fetched, all within
`TOLERANCE` of the k-th are scored exactly, and only then is the list cut. Equal vectors are searched once and expanded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bannermap.clustering.scores import pair_cosines
from bannermap.clustering.standing import Standing

TOLERANCE = 1e-5
"""Float32 inner products of unit vectors differ by less than this from the exact ones, up to some thousand dimensions."""
MARGIN = 16
"""Candidates fetched beyond k at first; a row that has more near-ties is searched again."""
PRODUCTS = 1 << 23
"""Float32 products held at once where all are taken, 32 MB."""


@dataclass(frozen=True)
class NeighbourLists:
    """Neighbours of many nodes, flat: row i says that ``dst[i]`` is a neighbour of ``src[i]``.

    Attributes:
        src: int64 (r,), ascending.
        dst: int64 (r,).
        cosine: float32 (r,), descending within a src; equal ones by dst ascending.
    """

    src: np.ndarray
    dst: np.ndarray
    cosine: np.ndarray

    @classmethod
    def none(cls) -> NeighbourLists:
        """No row."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True)
class Block:
    """Candidates to search, equal vectors held once.

    Attributes:
        vectors: float32 (u, d), distinct rows.
        ids: int64 (b,), node ids, those of one vector together and ascending.
        offsets: int64 (u + 1,), where the ids of each vector start.
    """

    vectors: np.ndarray
    ids: np.ndarray
    offsets: np.ndarray


def make_block(vectors: np.ndarray, ids: np.ndarray) -> Block:
    """Group equal vectors.

    Args:
        vectors: float32 (b, d).
        ids: int64 (b,), node ids, distinct.
    """
    distinct, group = distinct_rows(vectors)
    order = np.lexsort((ids, group))
    offsets = np.searchsorted(group[order], np.arange(len(distinct) + 1))
    return Block(vectors[distinct], ids[order], offsets)


def distinct_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are equal.

    Args:
        vectors: float32 (n, d).

    Returns:
        int64 (u,), one row of each kind; int64 (n,), the kind of each row.
    """
    plain = np.ascontiguousarray(vectors + np.float32(0.0))  # -0.0 equals 0.0 but has other bytes
    keys = plain.view(np.dtype((np.void, plain.shape[1] * plain.itemsize))).ravel()
    _, first, kind = np.unique(keys, return_index=True, return_inverse=True)
    return first, kind.ravel()


def search_block(queries: np.ndarray, ids: np.ndarray, block: Block, k: int) -> NeighbourLists:
    """The k nearest of a block for each query; a node is not its own neighbour.

    Args:
        queries: float32 (m, d).
        ids: int64 (m,), node ids of the queries.
        block: candidates.
        k: length of a list, at least 1.

    Returns:
        At most k rows per query, exact.
    """
    distinct, kind = distinct_rows(queries)
    row, column = _candidates(queries[distinct], block.vectors, k + 1)  # one more: a query may find itself
    cosine = pair_cosines(queries[distinct], block.vectors, row, column)
    row, dst, cosine = _expanded(row, column, cosine, block, k + 1)
    return _per_query(kind, ids, row, dst, cosine, k)


def improvements(queries: np.ndarray, ids: np.ndarray, standing: Standing, block: Block, k: int) -> NeighbourLists:
    """What of a block enters the kept lists of some nodes; exact.

    Candidates are new to all lists, so few are near enough: all products are taken, and only what can reach the last entry of
    a list is scored.

    Args:
        queries: float32 (m, d).
        ids: int64 (m,), nodes with kept lists, distinct.
        standing: of all nodes.
        block: candidates; none of them among ``ids``.
        k: length of a list.

    Returns:
        At most k rows per query.
    """
    distinct, kind = distinct_rows(queries)
    floor = np.full(len(distinct), np.inf, np.float32)
    np.minimum.at(floor, kind, standing.floor[ids])
    row, column = _reaching(queries[distinct], floor, block.vectors, k)
    cosine = pair_cosines(queries[distinct], block.vectors, row, column)
    row, dst, cosine = _expanded(row, column, cosine, block, k)
    own = _per_query(kind, -1 - np.arange(len(ids)), row, dst, cosine, k)  # no candidate has a negative number
    src = ids[-1 - own.src]
    entering = standing.enters(src, own.dst, own.cosine)
    return nearest_first(src[entering], own.dst[entering], own.cosine[entering], k)


def _reaching(queries: np.ndarray, floor: np.ndarray, candidates: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(query row, candidate row) of all that may be among a query's k best and at least its floor, whatever the product's
    rounding."""
    tolerance = TOLERANCE * max(1.0, _largest_norm(queries) * _largest_norm(candidates))
    found, step = [(np.empty(0, np.int64), np.empty(0, np.int64))], max(1, PRODUCTS // max(1, len(candidates)))
    for low in range(0, len(queries), step):
        products, bar = queries[low : low + step] @ candidates.T, floor[low : low + step]
        if len(candidates) > k:
            bar = np.maximum(bar, np.partition(products, -k, axis=1)[:, -k])
        row, column = np.nonzero(products >= bar[:, None] - tolerance)
        found.append((row + low, column))
    row, column = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return row, column


def nearest_first(src: np.ndarray, dst: np.ndarray, cosine: np.ndarray, k: int) -> NeighbourLists:
    """Sort rows into lists and cut each to its k best: cosine descending, then dst ascending.

    Args:
        src: int64 (r,).
        dst: int64 (r,), distinct within a src.
        cosine: float32 (r,).
        k: length of a list.
    """
    order = np.lexsort((dst, -cosine, src))
    kept = order[_rank_in_run(src[order]) < k]
    return NeighbourLists(src[kept], dst[kept], cosine[kept])


def best_of(lists: Sequence[NeighbourLists], k: int) -> NeighbourLists:
    """The k best of several lists of the same nodes; a pair is in one of them at most."""
    src, dst, cosine = (np.concatenate([getattr(part, name) for part in lists]) for name in ("src", "dst", "cosine"))
    return nearest_first(src, dst, cosine, k)


def _candidates(queries: np.ndarray, candidates: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(query row, candidate row) of all that can be among the k best, whatever FAISS's rounding."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    tolerance = TOLERANCE * max(1.0, _largest_norm(queries) * _largest_norm(candidates))
    open_rows, fetch = np.arange(len(queries)), min(k + MARGIN, len(candidates))
    while len(open_rows):
        scores, columns = _faiss_search(queries[open_rows], candidates, fetch)
        kth = scores[:, min(k, fetch) - 1]
        keep = scores >= (kth - tolerance)[:, None]
        exhausted = keep[:, -1] & (fetch < len(candidates))
        keep &= ~exhausted[:, None]
        at, slot = np.nonzero(keep)
        found.append((open_rows[at], columns[at, slot]))
        open_rows, fetch = open_rows[exhausted], min(4 * fetch, len(candidates))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True)) if found else (open_rows, open_rows)  # type: ignore[return-value]


def _faiss_search(queries: np.ndarray, candidates: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    scores, columns = faiss.knn(queries, candidates, k, metric=faiss.METRIC_INNER_PRODUCT)
    return scores, columns.astype(np.int64)


def _largest_norm(vectors: np.ndarray) -> float:
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max(initial=0.0)))


def _expanded(
    row: np.ndarray, column: np.ndarray, cosine: np.ndarray, block: Block, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Replace each distinct vector by the first k ids that have it; more can never be among the k best."""
    copies = np.minimum(np.diff(block.offsets)[column], k)
    source = np.repeat(np.arange(len(row)), copies)
    within = np.arange(len(source)) - np.repeat(np.cumsum(copies) - copies, copies)
    return row[source], block.ids[block.offsets[column[source]] + within], cosine[source]


def _per_query(kind: np.ndarray, ids: np.ndarray, row: np.ndarray, dst: np.ndarray, cosine: np.ndarray, k: int) -> NeighbourLists:
    """Give every query the list of its kind, without itself."""
    lists = nearest_first(row, dst, cosine, k + 1)
    starts = np.searchsorted(lists.src, np.arange(kind.max(initial=-1) + 2))
    lengths = np.diff(starts)[kind]
    query = np.repeat(np.arange(len(kind)), lengths)
    at = np.arange(len(query)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + starts[kind[query]]
    src, dst, cosine = ids[query], lists.dst[at], lists.cosine[at]
    other = src != dst
    return nearest_first(src[other], dst[other], cosine[other], k)


def _rank_in_run(sorted_values: np.ndarray) -> np.ndarray:
    """Position of each element within its run of equal values."""
    if not len(sorted_values):
        return np.empty(0, np.int64)
    starts = np.flatnonzero(np.r_[True, sorted_values[1:] != sorted_values[:-1]])
    return np.arange(len(sorted_values)) - np.repeat(starts, np.diff(np.r_[starts, len(sorted_values)]))
