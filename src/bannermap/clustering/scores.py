"""Exact scores: float64 inner products of float32 vectors, added in one fixed order.

A BLAS product moves in its last bits with the shape of the batch. These loops do not: a pair has one score, whichever task,
batch or side asks for it, so ties stay ties and a result never depends on the partitioning.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def inner_product(a: np.ndarray, b: np.ndarray) -> float:
    """Inner product of two vectors of one length in float64; four interleaved sums, always in this order."""
    s0 = s1 = s2 = s3 = 0.0
    whole = a.shape[0] // 4 * 4
    for i in range(0, whole, 4):
        s0 += np.float64(a[i]) * np.float64(b[i])
        s1 += np.float64(a[i + 1]) * np.float64(b[i + 1])
        s2 += np.float64(a[i + 2]) * np.float64(b[i + 2])
        s3 += np.float64(a[i + 3]) * np.float64(b[i + 3])
    for i in range(whole, a.shape[0]):
        s0 += np.float64(a[i]) * np.float64(b[i])
    return (s0 + s1) + (s2 + s3)


@njit(cache=True, nogil=True)
def pair_cosines(left: np.ndarray, right: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Cosines of pairs of unit vectors, the one definition that every step scores with.

    Args:
        left: float32 (m, d), unit rows.
        right: float32 (n, d), unit rows.
        rows: int64 (p,), rows of ``left``.
        columns: int64 (p,), rows of ``right``.

    Returns:
        float32 (p,): inner products in float64, rounded to float32.
    """
    result = np.empty(rows.shape[0], np.float32)
    for i in range(rows.shape[0]):
        result[i] = inner_product(left[rows[i]], right[columns[i]])
    return result
