"""Maximum spanning forests: the forest of a union is the forest of the union of the forests, so partitions merge in any order.

Edges are compared by cosine, then the smaller id, then the larger. No two edges are equal under that order, so the forest is
unique and the same whatever the partitioning (Kruskal 1956; Boruvka's cut property).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True)
class Edges:
    """Edges of an undirected graph.

    Attributes:
        low: int64 (e,), the smaller node id.
        high: int64 (e,), the larger node id.
        cosine: float32 (e,).
    """

    low: np.ndarray
    high: np.ndarray
    cosine: np.ndarray


def edges_at_least(src: np.ndarray, dst: np.ndarray, cosine: np.ndarray, min_cosine: float) -> Edges:
    """Edges of neighbour lists with ``cosine >= min_cosine``, compared in float64; one that both ends list comes twice.

    Args:
        src: int64 (r,).
        dst: int64 (r,).
        cosine: float32 (r,).
        min_cosine: threshold, -1 to 1.
    """
    keep = cosine.astype(np.float64) >= min_cosine
    return Edges(np.minimum(src, dst)[keep], np.maximum(src, dst)[keep], cosine[keep])


def spanning_forest(edges: Edges) -> Edges:
    """The maximum spanning forest, strongest edge first.

    Args:
        edges: any order; repeated edges do no harm.

    Returns:
        At most (nodes - 1) of the edges, by cosine descending, low ascending, high ascending.
    """
    order = np.lexsort((edges.high, edges.low, -edges.cosine))
    nodes, ends = np.unique(np.concatenate([edges.low[order], edges.high[order]]), return_inverse=True)
    kept = order[_kruskal(len(nodes), *np.split(ends.astype(np.int64), 2))]
    return Edges(edges.low[kept], edges.high[kept], edges.cosine[kept])


@njit(cache=True, nogil=True)
def find_root(parent: np.ndarray, node: int) -> int:
    """Root of a node in a union-find array, halving the path on the way."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(cache=True, nogil=True)
def _kruskal(nodes: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    parent = np.arange(nodes)
    size = np.ones(nodes, np.int64)
    kept = np.zeros(low.shape[0], np.bool_)
    for i in range(low.shape[0]):
        a, b = find_root(parent, low[i]), find_root(parent, high[i])
        if a != b:
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            kept[i] = True
    return kept
