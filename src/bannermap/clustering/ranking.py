"""Which of scored rows are the best of their group, ties by name: the one order of every neighbour list."""

from __future__ import annotations

import numpy as np


def best_places(group: np.ndarray, cosine: np.ndarray, name: np.ndarray, k: int) -> np.ndarray:
    """int64: places of the k best rows of each group, groups ascending, cosines descending within one, equal ones by name.

    Args:
        group: int64 (r,).
        cosine: float32 (r,).
        name: int64 (r,), distinct within a group.
        k: at least 1.
    """
    order = np.lexsort((name, -cosine, group))
    return order[_rank_in_run(group[order]) < k]


def _rank_in_run(sorted_values: np.ndarray) -> np.ndarray:
    """Position of each element within its run of equal values."""
    if not len(sorted_values):
        return np.empty(0, np.int64)
    starts = np.flatnonzero(np.r_[True, sorted_values[1:] != sorted_values[:-1]])
    return np.arange(len(sorted_values)) - np.repeat(starts, np.diff(np.r_[starts, len(sorted_values)]))
