"""Cohesion from sums that do not depend on order: vectors become whole numbers, and whole numbers add exactly."""

from __future__ import annotations

import math

import numpy as np


def fixed_point_scale(nodes: int, largest: float) -> float:
    """The largest power of two with which no sum of ``nodes`` components can leave int64.

    Args:
        nodes: number of vectors, at least 1.
        largest: greatest absolute component.

    Returns:
        A power of two; a component's error is at most half of its inverse.
    """
    return 2.0 ** (61 - math.ceil(math.log2(max(nodes * max(largest, 2.0**-60), 1.0))))


def to_fixed_point(vectors: np.ndarray, scale: float) -> np.ndarray:
    """Components times ``scale``, rounded to whole numbers.

    Args:
        vectors: float32 (n, d).
        scale: see `fixed_point_scale`.

    Returns:
        int64 (n, d).
    """
    return np.rint(vectors.astype(np.float64) * scale).astype(np.int64)


def squared_norms(sums: np.ndarray, scale: float) -> np.ndarray:
    """|sum x|^2 of each row of fixed-point sums; float64 (c,)."""
    exact = sums.astype(np.float64) / scale
    return np.einsum("cd,cd->c", exact, exact)


def unit_centroid(total: np.ndarray, scale: float) -> np.ndarray:
    """Direction of a fixed-point sum; float32 (d,), unit length, or zero for a sum of zero."""
    exact = total.astype(np.float64) / scale
    length = float(np.sqrt(np.einsum("d,d->", exact, exact)))
    return (exact / (length or 1.0)).astype(np.float32)


def mean_pairwise_cosine(count: np.ndarray, squared_norm: np.ndarray) -> np.ndarray:
    """Cohesion of groups of unit vectors from their sums alone.

    For unit x_i, |sum x|^2 = n + 2 * (sum over pairs of cos), so no pair is ever formed.

    Args:
        count: int64 (c,), nodes of each group, at least 1.
        squared_norm: float64 (c,), |sum x|^2.

    Returns:
        float64 (c,), -1 to 1; 1.0 for a group of one.
    """
    pairs = count.astype(np.float64) * (count - 1)
    return np.where(pairs > 0, (squared_norm - count) / np.maximum(pairs, 1.0), 1.0)
