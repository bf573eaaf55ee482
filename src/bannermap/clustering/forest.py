"""Maximum spanning forests: the forest of a union is the forest of the union of the forests, so partitions merge in any order.

Edges are compared by cosine, then the smaller id, then the larger. No two edges are equal under that order, so the forest is
unique and the same whatever the partitioning (Kruskal 1956; Boruvka's cut property).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

from bannermap.clustering.edge_order import strongest_first
from bannermap.clustering.node_numbers import numbered


@dataclass(frozen=True)
class Edges:
    """Edges of an undirected graph.

    Attributes:
        low: int (e,), the smaller node id; see `node_type`.
        high: int (e,), the larger node id, of the same type.
        cosine: float32 (e,).
    """

    low: np.ndarray
    high: np.ndarray
    cosine: np.ndarray

    def __len__(self) -> int:
        return len(self.cosine)

    def __getitem__(self, chosen: slice | np.ndarray) -> Edges:
        return Edges(self.low[chosen], self.high[chosen], self.cosine[chosen])

    @staticmethod
    def joined(parts: list[Edges]) -> Edges:
        """One after the other; at least one part."""
        return Edges(*(np.concatenate([getattr(p, c) for p in parts]) for c in ("low", "high", "cosine")))


def node_type(nodes: int) -> np.dtype:
    """int32 where it can number ``nodes``, else int64: at a hundred million nodes, arrays of ids are what fills a driver."""
    return np.dtype(np.int32 if nodes <= np.iinfo(np.int32).max else np.int64)


def edges_at_least(src: np.ndarray, dst: np.ndarray, cosine: np.ndarray, min_cosine: float) -> Edges:
    """Edges of neighbour lists with ``cosine >= min_cosine``, compared in float64; one that both ends list comes twice.

    Args:
        src: int (r,).
        dst: int (r,).
        cosine: float32 (r,).
        min_cosine: threshold, -1 to 1.
    """
    keep = cosine.astype(np.float64) >= min_cosine
    return Edges(np.minimum(src, dst)[keep], np.maximum(src, dst)[keep], cosine[keep])


def spanning_forest(edges: Edges) -> Edges:
    """The maximum spanning forest, strongest edge first.

    Args:
        edges: any order; repeated edges do no harm. Node ids are any numbers of 0 or more.

    Returns:
        At most (nodes - 1) of the edges, by cosine descending, low ascending, high ascending.
    """
    order = strongest_first(edges.low, edges.high, edges.cosine)
    nodes, low, high = numbered(edges.low, edges.high)
    return edges[order[_kruskal(nodes, order, low, high)]]


def forests(parts: Iterable[Edges], most: int) -> Iterator[Edges]:
    """Forests of a stream of edges, one where it has at most ``most`` edges; their union has the forest of the stream.

    A fold takes in at least as many new edges as the forest holds, so the work is linear in the stream. Whoever folds holds
    2 x ``most`` edges and a part, whatever the stream.

    Args:
        parts: of the stream.
        most: edges of a forest above which it is sent on and another one begun.
    """
    forest: list[Edges] = []
    waiting: list[Edges] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= max(most // 4, sum(map(len, forest))):
            forest, waiting = [spanning_forest(Edges.joined(forest + waiting))], []
            if len(forest[0]) > most:
                yield forest.pop()
    if forest or waiting:
        yield spanning_forest(Edges.joined(forest + waiting))


def merged_runs(runs: Iterable[Edges], nodes: int) -> Edges:
    """The maximum spanning forest of edges that come strongest first, in one pass.

    Args:
        runs: pieces of one sequence of edges, by cosine descending, low ascending, high ascending.
        nodes: n; node ids are 0 .. n - 1.

    Returns:
        Strongest edge first, ids of `node_type`. Memory: 4 bytes a node, 12 an edge of the result (8 and 20 with int64), a run.
    """
    kind = node_type(nodes)
    parent, held = np.arange(nodes, dtype=kind), 0
    kept = Edges(np.empty(nodes, kind), np.empty(nodes, kind), np.empty(nodes, np.float32))  # pages never written take no room
    for run in runs:
        held = _append_joining(parent, run.low, run.high, run.cosine, kept.low, kept.high, kept.cosine, held)
    return kept[:held]


@njit(cache=True, nogil=True)
def find_root(parent: np.ndarray, node: int) -> int:
    """Root of a node in a union-find array, halving the path on the way."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(cache=True, nogil=True)
def _kruskal(nodes: int, order: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether the edge at each place of ``order`` joins two trees."""
    parent = np.arange(nodes).astype(low.dtype)
    size = np.ones_like(parent)
    kept = np.zeros(len(order), np.bool_)
    for i in range(len(order)):
        a, b = find_root(parent, low[order[i]]), find_root(parent, high[order[i]])
        if a != b:
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            kept[i] = True
    return kept


@njit(cache=True, nogil=True)
def _append_joining(parent, low, high, cosine, kept_low, kept_high, kept_cosine, held):  # type: ignore[no-untyped-def]
    """Append the edges that join two trees; how many are held then. The smaller root is the root of both."""
    for i in range(len(cosine)):
        a, b = find_root(parent, low[i]), find_root(parent, high[i])
        if a != b:
            parent[max(a, b)] = min(a, b)
            kept_low[held], kept_high[held], kept_cosine[held] = low[i], high[i], cosine[i]
            held += 1
    return held
