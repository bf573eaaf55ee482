"""All components at all thresholds as runs of one order of the nodes.

Merging the forest's edges from the strongest down, and writing the two merged groups side by side each time, gives an order in
which every component of every threshold is a run. The cosine that closed each gap says where the runs end: two arrays of n
replace a tree of components (the order of a single-linkage dendrogram's leaves; Gower and Ross 1969).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from bannermap.clustering.forest import Edges, find_root, node_type
from bannermap.platform.settings import ClusteringSettings

GRID_STEP = 0.01
"""Cosine between two levels of the adaptive policy: with levels in common, groups of all step widths share one pass of sums."""
GRID_LEVELS = 100
"""Steps of the adaptive grid from 0 to 1, the widest that settings allow."""


@dataclass(frozen=True)
class Hierarchy:
    """Nodes in an order in which components are runs.

    Attributes:
        order: int64 (n,), node at each position.
        gap: float32 (n,), cosine that joins a position to the one before; -inf where nothing does.
        thresholds: float64 (levels,), ascending; level j cuts at ``thresholds[j]``.
        runs: per level, int64 (components + 1,), positions at which its components start, and n.
    """

    order: np.ndarray
    gap: np.ndarray
    thresholds: np.ndarray
    runs: tuple[np.ndarray, ...]

    @property
    def starts(self) -> tuple[np.ndarray, ...]:
        """Per level, int64 (components,), positions at which its components start."""
        return tuple(bounds[:-1] for bounds in self.runs)

    def bounds(self, level: int) -> np.ndarray:
        """int64 (components + 1,): starts of a level's components, and n; one array for all, since forty levels are large."""
        return self.runs[level]

    def position(self) -> np.ndarray:
        """int64 (n,): position of each node."""
        position = np.empty(len(self.order), np.int64)
        position[self.order] = np.arange(len(self.order))
        return position


@dataclass(frozen=True)
class LevelFigures:
    """The components of one level.

    Attributes:
        bounds: int64 (c + 1,), positions where they start, and n.
        banners: int64 (c,).
        cohesion: float64 (c,), -1 to 1; only right where ``banners`` reaches min_group_size, nothing else is asked.
    """

    bounds: np.ndarray
    banners: np.ndarray
    cohesion: np.ndarray

    def inside(self, low: int, high: int) -> slice:
        """Components that make up the run ``low .. high``."""
        first, last = np.searchsorted(self.bounds, (low, high))
        return slice(int(first), int(last))


def level_thresholds(settings: ClusteringSettings) -> np.ndarray:
    """All cosines that the policy can cut at, as far as they are at most max_threshold; float64, never accumulated.

    fixed: t_j = initial_threshold + j * threshold_step for j = 0 .. max_depth. adaptive: t_j = min_threshold + j * GRID_STEP.
    """
    fixed = settings.threshold_policy == "fixed"
    step, last = (settings.threshold_step, settings.max_depth) if fixed else (GRID_STEP, GRID_LEVELS)
    steps = settings.first_threshold + np.arange(last + 1, dtype=np.float64) * step
    return steps[steps <= settings.max_threshold]


def build_hierarchy(nodes: int, forest: Edges, thresholds: np.ndarray) -> Hierarchy:
    """Order the nodes so that components are runs.

    Args:
        nodes: n; node ids are 0 .. n - 1.
        forest: maximum spanning forest, strongest edge first.
        thresholds: float64 (levels,), ascending.

    Returns:
        The hierarchy; on the way to it 20 bytes a node beside the forest.
    """
    order, gap = _leaf_order(np.arange(nodes, dtype=node_type(nodes)), forest.low, forest.high, forest.cosine)
    runs = tuple(np.append(np.flatnonzero(gap < t), nodes) for t in thresholds)  # in float64, as a float64 scalar asks
    return Hierarchy(order.astype(np.int64), gap, thresholds, runs)


@njit(cache=True, nogil=True)
def _leaf_order(parent: np.ndarray, low: np.ndarray, high: np.ndarray, cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Concatenate lists of nodes; a group's root is its smallest node, which also heads its list."""
    following, tail = np.full_like(parent, -1), parent.copy()
    joined_by = np.full(len(parent), -np.inf, np.float32)
    for i in range(len(cosine)):
        a, b = find_root(parent, low[i]), find_root(parent, high[i])
        first, second = min(a, b), max(a, b)
        parent[second] = first
        following[tail[first]] = second
        joined_by[second] = cosine[i]
        tail[first] = tail[second]
    return _walked(parent, following, joined_by, tail)


@njit(cache=True, nogil=True)
def _walked(parent: np.ndarray, following: np.ndarray, joined_by: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lists of all roots one after the other, written to ``order``, whose content is no longer needed."""
    gap, at = np.empty_like(joined_by), 0
    for root in range(len(parent)):
        if parent[root] == root:
            node = root
            while node != -1:
                order[at], gap[at] = node, joined_by[node]
                at += 1
                node = following[node]
    return order, gap
