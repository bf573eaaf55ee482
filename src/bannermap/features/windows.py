"""Forms of windowed counts for models in numpy: dense for a fixed number of clusters, fixed-length lists."""

from __future__ import annotations

import numpy as np


def dense_counts(offsets: np.ndarray, slots: np.ndarray, counts: np.ndarray, clusters: int, absent: float = 0) -> np.ndarray:
    """Counts, or other values, with one place for each of a fixed number of clusters.

    Args:
        offsets: int (users + 1,), where each user's pairs begin.
        slots: int (pairs,), place of the pair's cluster, 0 to ``clusters`` - 1; -1 for a cluster without a place.
        counts: (pairs, windows, events), or any shape that begins with pairs.
        clusters: number of places.
        absent: value of a place whose cluster the user has not.

    Returns:
        (users, windows, events, clusters), of the type of ``counts``.
    """
    dense = np.full((len(offsets) - 1, *counts.shape[1:], clusters), absent, counts.dtype)
    user_of_pair = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    placed = slots >= 0
    dense[user_of_pair[placed], ..., slots[placed]] = counts[placed]
    return dense


def fixed_length_lists(dense: np.ndarray) -> np.ndarray:
    """One vector per user and window: all requests, then impressions, then clicks, each with clusters ascending.

    Args:
        dense: int (users, windows, events, clusters).

    Returns:
        float32 (users, windows, events * clusters).
    """
    return dense.reshape(*dense.shape[:2], -1).astype(np.float32)
