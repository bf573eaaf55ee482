"""Neighbour lists of a graph of any size, written as Parquet in bounded memory, and a naive forest of small ones.

Nodes stand in a row, in groups of `GROUP`. Four fifths of a node's neighbours are members of its group that stand beside it,
most of them listed from both ends; a fifth is anywhere. A file holds the lists of nodes that stand together, as a task of the
search does; node ids are an affine map of the place in the row, so to a reader they are as good as hashes. The cosine is a hash
of the two ids: 0.85 to 1 inside a group, 0.75 to 0.85 across.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP = 40
FILE_ROWS = 5_000_000
MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0xBF58476D1CE4E5B9))


@dataclass(frozen=True)
class Graph:
    """A graph by its size.

    Attributes:
        nodes: n, a multiple of `GROUP`.
        edges_per_node: neighbours of each node, 5 to 40.
    """

    nodes: int
    edges_per_node: int

    def lists(self, low: int, high: int) -> pa.Table:
        """`NEIGHBOUR_ROWS` of the nodes at places low .. high - 1."""
        far = self.edges_per_node // 5
        steps, at = self._steps(self.edges_per_node - far), np.arange(low, high)[:, None]
        near = at // GROUP * GROUP + (at + steps) % GROUP
        anywhere = np.random.default_rng([self.nodes, low]).integers(0, self.nodes, (high - low, far))
        src, dst = self._ids(np.repeat(at.ravel(), self.edges_per_node)), self._ids(np.c_[near, anywhere].ravel())
        inside = np.tile(np.arange(self.edges_per_node) < len(steps), high - low)
        keep = src != dst
        return pa.table({"src": src[keep], "dst": dst[keep], "cosine": _cosines(src, dst, inside)[keep]})

    def _ids(self, place: np.ndarray) -> np.ndarray:
        factor = int(self.nodes * 0.6180339887) | 1
        while math.gcd(factor, self.nodes) > 1:
            factor += 2
        return place * factor % self.nodes

    @staticmethod
    def _steps(near: int) -> np.ndarray:
        both_ways = near * 3 // 8
        return np.r_[-both_ways:0, 1 : near - both_ways + 1]


def _cosines(src: np.ndarray, dst: np.ndarray, inside: np.ndarray) -> np.ndarray:
    mixed = np.minimum(src, dst).astype(np.uint64) * MIX[0] + np.maximum(src, dst).astype(np.uint64) * MIX[1]
    mixed = (mixed ^ (mixed >> np.uint64(29))) * MIX[2]
    share = (mixed >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
    return np.where(inside, np.float32(0.85) + np.float32(0.15) * share, np.float32(0.75) + np.float32(0.1) * share)


def write_lists(graph: Graph, folder: Path, threads: int) -> None:
    """Parquet, one file for `FILE_ROWS` rows."""
    folder.mkdir(parents=True)
    step = FILE_ROWS // graph.edges_per_node // GROUP * GROUP

    def write(low: int) -> None:
        table = graph.lists(low, min(low + step, graph.nodes))
        pq.write_table(table, folder / f"{low:012d}.parquet", use_dictionary=False, compression="snappy")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(0, graph.nodes, step)))


def naive_forest(rows: pa.Table) -> list[tuple[float, int, int]]:
    """Kruskal over a sorted set, in plain Python: (-cosine, low, high), strongest first."""
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    kept = []
    columns = zip(*(rows[c].to_pylist() for c in ("src", "dst", "cosine")), strict=True)
    for edge in sorted({(-cosine, min(src, dst), max(src, dst)) for src, dst, cosine in columns}):
        a, b = root(edge[1]), root(edge[2])
        if a != b:
            parent[a] = b
            kept.append(edge)
    return kept
