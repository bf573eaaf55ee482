"""The whole clustering in one process, for notebooks and tests: the same pure functions that the Spark job runs."""

from __future__ import annotations

import numpy as np

from bannermap.clustering.cohesion import fixed_point_scale, squared_norms, to_fixed_point
from bannermap.clustering.forest import edges_at_least, spanning_forest
from bannermap.clustering.hierarchy import Hierarchy, build_hierarchy, level_thresholds
from bannermap.clustering.neighbours import NeighbourLists, best_of, make_block, search_block
from bannermap.clustering.recursion import Recursion, level_figures, refine_all
from bannermap.clustering.reduction import REDUCTION_ROWS, Reduction, worthwhile_reduction
from bannermap.platform.errors import InputError
from bannermap.platform.settings import ClusteringSettings

REDUCED_FROM_ROWS = 4096
"""Rows below which learning directions takes longer than it saves."""


def cluster_vectors(
    vectors: np.ndarray, settings: ClusteringSettings | None = None, ids: np.ndarray | list | None = None
) -> np.ndarray:
    """Partition unit vectors by the rule of `recursion`; the same partition as the Spark job.

    Args:
        vectors: (n, d), converted to float32 and used as they are; each row is one node and counts as one banner.
        settings: thresholds; the defaults without.
        ids: n distinct values in sort order of which ties are broken; row numbers without.

    Returns:
        int64 (n,): cluster of each row, numbered by each cluster's smallest id; -1 for outliers.

    Raises:
        InputError: not a matrix, not finite, or ids that are not n distinct values.
    """
    return cluster_with_thresholds(vectors, settings, ids)[0]


def cluster_with_thresholds(
    vectors: np.ndarray, settings: ClusteringSettings | None = None, ids: np.ndarray | list | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`cluster_vectors`, and what each cluster asks of a picture that comes later.

    Args:
        vectors, settings, ids: as of `cluster_vectors`.

    Returns:
        int64 (n,), labels; float64 (clusters,), by label, cosine of the cut that made the cluster: see `assigning`.
    """
    settings = settings or ClusteringSettings()
    matrix = checked_vectors(vectors)
    rank = _ranks(ids, len(matrix))
    if not len(matrix):
        return np.empty(0, np.int64), np.empty(0)
    by_id = np.empty_like(matrix)
    by_id[rank] = matrix
    hierarchy = _hierarchy(by_id, settings)
    figures = level_figures(hierarchy, np.ones(len(by_id), np.int64), _level_norms(by_id, hierarchy))
    recursion = refine_all(figures, len(by_id), settings)
    labels, groups = _labels(recursion, hierarchy)
    levels = np.array([recursion.groups[g].level for g in groups], np.int64)
    return labels[rank], level_thresholds(settings)[levels]


def checked_vectors(vectors: np.ndarray) -> np.ndarray:
    """The vectors as a contiguous float32 matrix; an InputError where they are none or not finite."""
    matrix = np.ascontiguousarray(vectors, np.float32)
    if matrix.ndim != 2:
        raise InputError(f"vectors must be a matrix (n, d), got shape {matrix.shape}. Stack one vector per row.")
    broken = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(broken):
        raise InputError(
            f"{len(broken)} of {len(matrix)} vectors hold NaN or infinity, the first in row {broken[0]}. Drop those rows."
        )
    return matrix


def all_neighbours(vectors: np.ndarray, settings: ClusteringSettings) -> NeighbourLists:
    """Exact top-k lists of all rows against all rows, one block of candidates at a time.

    Args:
        vectors: float32 (n, d); row numbers are node ids.
        settings: ``k_neighbors`` and ``block_rows``.
    """
    ids, k, step = np.arange(len(vectors)), settings.k_neighbors, settings.block_rows
    reduction = _reduction(vectors, settings)
    best = NeighbourLists.none()
    for low in range(0, len(vectors), step):
        block = make_block(vectors[low : low + step], ids[low : low + step], reduction)
        best = best_of([best, search_block(vectors, ids, block, k)], k)
    return best


def _reduction(vectors: np.ndarray, settings: ClusteringSettings) -> Reduction | None:
    if len(vectors) < REDUCED_FROM_ROWS or not settings.reduced_dimensions:
        return None
    return worthwhile_reduction(vectors[:: -(-len(vectors) // REDUCTION_ROWS)], settings.reduced_dimensions)


def _hierarchy(vectors: np.ndarray, settings: ClusteringSettings) -> Hierarchy:
    lists = all_neighbours(vectors, settings)
    edges = edges_at_least(lists.src, lists.dst, lists.cosine, settings.first_threshold)
    return build_hierarchy(len(vectors), spanning_forest(edges), level_thresholds(settings))


def _level_norms(vectors: np.ndarray, hierarchy: Hierarchy) -> list[np.ndarray]:
    """|sum x|^2 of every component: sums at the finest level, every coarser level adds them up."""
    scale = fixed_point_scale(len(vectors), float(np.abs(vectors).max(initial=0.0)))
    sums = to_fixed_point(vectors[hierarchy.order], scale)
    positions, norms = np.arange(len(vectors)), []
    for starts in reversed(hierarchy.starts):
        sums = np.add.reduceat(sums, np.searchsorted(positions, starts), axis=0)
        positions = starts
        norms.append(squared_norms(sums, scale))
    return norms[::-1]


def _labels(recursion: Recursion, hierarchy: Hierarchy) -> tuple[np.ndarray, np.ndarray]:
    """int64 (n,) labels by id; int64 (clusters,), the group behind each label."""
    accepted = np.array([g.accepted for g in recursion.groups] + [False])
    group = np.where(accepted[recursion.group_of], recursion.group_of, -1)[hierarchy.position()]
    clustered = np.flatnonzero(group >= 0)
    found, first, label = np.unique(group[clustered], return_index=True, return_inverse=True)
    labels = np.full(len(group), -1, np.int64)
    labels[clustered] = np.argsort(np.argsort(first))[label]
    return labels, found[np.argsort(first)]


def _ranks(ids: np.ndarray | list | None, rows: int) -> np.ndarray:
    if ids is None:
        return np.arange(rows)
    given = np.asarray(ids)
    if given.shape != (rows,) or len(np.unique(given)) != rows:
        raise InputError(
            f"ids must be {rows} distinct values, one per vector, got {len(np.unique(given))} of shape {given.shape}."
        )
    return np.argsort(np.argsort(given))
