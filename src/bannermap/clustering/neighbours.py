"""Exact nearest neighbours by blocks: `candidates` finds and scores what can be near, here lists are cut. Equal vectors are
searched once and expanded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from bannermap.clustering.candidates import TOLERANCE, Asked, Centred, Look, at_least, near_pairs
from bannermap.clustering.ranking import best_places
from bannermap.clustering.reduction import Reduction
from bannermap.clustering.scores import pair_cosines
from bannermap.clustering.standing import Standing

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
        bounding: float32 (u, b), what is looked through first; ``vectors`` where nothing narrower was given.
        reduction: that made it.
        parts: name of a part -> first row of ``vectors``, and the one behind its last.
    """

    vectors: np.ndarray
    ids: np.ndarray
    offsets: np.ndarray
    bounding: np.ndarray
    reduction: Reduction | None
    parts: dict[int, tuple[int, int]]

    def looks(self, queries: np.ndarray) -> tuple[Look, Look]:
        """In full, and the first."""
        full = Look(queries, self.vectors)
        return full, Look(self.reduction.bounding(queries), self.bounding, TOLERANCE) if self.reduction else full


def make_block(
    vectors: np.ndarray, ids: np.ndarray, reduction: Reduction | None = None, parts: np.ndarray | None = None
) -> Block:
    """Group equal vectors.

    Args:
        vectors: float32 (b, d).
        ids: int64 (b,), node ids, distinct.
        reduction: to look through something narrower first; the neighbours stay the same.
        parts: int64 (b,), the part that each belongs to, equal for equal vectors; all in part 0 without.
    """
    distinct, group = distinct_rows(vectors)
    part = np.zeros(len(distinct), np.int64) if parts is None else parts[distinct]
    by_part = np.argsort(part, kind="stable")
    distinct, group = distinct[by_part], np.argsort(by_part)[group]
    order = np.lexsort((ids, group))
    offsets = np.searchsorted(group[order], np.arange(len(distinct) + 1))
    names, starts = np.unique(part[by_part], return_index=True)
    ends = [*starts[1:].tolist(), len(distinct)]
    ranges = {int(name): (int(low), high) for name, low, high in zip(names, starts, ends, strict=True)}
    held = vectors[distinct]
    return Block(held, ids[order], offsets, reduction.bounding(held) if reduction else held, reduction, ranges)


def distinct_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are equal.

    Args:
        vectors: float32 (n, d).

    Returns:
        int64 (u,), one row of each kind; int64 (n,), the kind of each row.
    """
    plain = np.ascontiguousarray(vectors + np.float32(0.0))  # -0.0 equals 0.0 but has other bytes
    _, first, kind = np.unique(row_hashes(plain), return_index=True, return_inverse=True)
    if not np.array_equal(plain[first[kind]], plain):  # two rows share a hash
        keys = plain.view(np.dtype((np.void, plain.shape[1] * plain.itemsize))).ravel()
        _, first, kind = np.unique(keys, return_index=True, return_inverse=True)
    return first, kind.ravel()


@njit(cache=True, nogil=True)
def row_hashes(rows: np.ndarray) -> np.ndarray:
    """uint64 (n,): equal for rows of equal float32; others share one by chance only (FNV-1a over 32-bit words)."""
    words = rows.view(np.uint32)
    result = np.empty(len(words), np.uint64)
    for i in range(len(words)):
        found = np.uint64(0xCBF29CE484222325)
        for j in range(words.shape[1]):
            found = (found ^ np.uint64(words[i, j])) * np.uint64(0x100000001B3)
        result[i] = found
    return result


def search_block(
    queries: np.ndarray, ids: np.ndarray, block: Block, k: int, asked: Mapping[int, np.ndarray] | None = None
) -> NeighbourLists:
    """The k nearest of a block for each query; a node is not its own neighbour.

    Args:
        queries: float32 (m, d).
        ids: int64 (m,), node ids of the queries.
        block: candidates.
        k: length of a list, at least 1.
        asked: part of the block -> rows of the queries that ask it, the same parts for equal queries; all ask all without.

    Returns:
        At most k rows per query, exact.
    """
    distinct, kind = distinct_rows(queries)
    everybody = [Asked(np.arange(len(distinct)), 0, len(block.vectors))]
    some = [Asked(np.unique(kind[rows]), *block.parts[part]) for part, rows in (asked or {}).items() if part in block.parts]
    full, first = block.looks(queries[distinct])
    parts, smallest_id = everybody if asked is None else some, block.ids[block.offsets[:-1]]
    row, column, cosine = near_pairs(full, first, parts, k + 1, smallest_id)  # a query may find itself
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
    centred = Centred.of(candidates)
    found, step = [(np.empty(0, np.int64), np.empty(0, np.int64))], max(1, PRODUCTS // max(1, len(candidates)))
    for low in range(0, len(queries), step):
        some = queries[low : low + step]
        products, slack = some @ centred.rows.T, centred.slack(some)
        bar = floor[low : low + step] - centred.offsets(some) - slack
        if len(candidates) > k:
            bar = np.maximum(bar, np.partition(products, -k, axis=1)[:, -k] - 2.0 * slack)
        row, column = np.nonzero(products >= at_least(bar)[:, None])
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
    kept = best_places(src, cosine, dst, k)
    return NeighbourLists(src[kept], dst[kept], cosine[kept])


def best_of(lists: Sequence[NeighbourLists], k: int) -> NeighbourLists:
    """The k best of several lists of the same nodes; a pair is in one of them at most."""
    src, dst, cosine = (np.concatenate([getattr(part, name) for part in lists]) for name in ("src", "dst", "cosine"))
    return nearest_first(src, dst, cosine, k)


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
