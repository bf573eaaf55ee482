"""The picture of a cluster that is nearest to all others, and how near the others are to it."""

from __future__ import annotations

import numpy as np
from numba import njit

from bannermap.clustering.cohesion import to_fixed_point
from bannermap.clustering.scores import inner_product, pair_cosines


def sums_to_others(vectors: np.ndarray, total: np.ndarray, scale: float) -> np.ndarray:
    """For members of a cluster, the sum of their cosines to all other members.

    Args:
        vectors: float32 (m, d), some or all members.
        total: int64 (d,), fixed-point sum over all members.
        scale: see `cohesion.fixed_point_scale`.

    Returns:
        float64 (m,): x . (S - x), so that two members of a pair tie exactly.
    """
    others = (total[None, :] - to_fixed_point(vectors, scale)).astype(np.float64) / scale
    return _row_products(vectors, others)


def best_member(scores: np.ndarray, nodes: np.ndarray) -> int:
    """Row of the medoid: the greatest score, the smallest node among equals."""
    return int(np.lexsort((nodes, -scores))[0])


def similarities(vectors: np.ndarray, medoid: np.ndarray) -> np.ndarray:
    """Cosine of each member to the medoid.

    Args:
        vectors: float32 (m, d).
        medoid: float32 (d,).

    Returns:
        float32 (m,).
    """
    rows = np.arange(len(vectors))
    return pair_cosines(vectors, np.ascontiguousarray(medoid)[None, :], rows, np.zeros_like(rows))


@njit(cache=True, nogil=True)
def _row_products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    result = np.empty(left.shape[0], np.float64)
    for i in range(left.shape[0]):
        result[i] = inner_product(left[i], right[i])
    return result
