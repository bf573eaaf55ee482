"""Windows over partials in numpy: counts per user and cluster, the dense form for a fixed number of them, fixed-length lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.platform.tables import EVENT_TYPES, WINDOWS_DAYS


@dataclass(frozen=True)
class WindowedCounts:
    """Counts of (user, cluster) pairs; the pairs of a user lie together, clusters ascending.

    Attributes:
        user_rows: int64 (users,), first input row of each user.
        pair_rows: int64 (pairs,), first input row of each pair.
        offsets: int32 (users + 1,), where each user's pairs begin, and the number of pairs.
        counts: int64 (pairs, windows, events), windows as in `WINDOWS_DAYS`, events as in `EVENT_TYPES`.
    """

    user_rows: np.ndarray
    pair_rows: np.ndarray
    offsets: np.ndarray
    counts: np.ndarray


def windowed_counts(users: np.ndarray, clusters: np.ndarray, age_days: np.ndarray, counts: np.ndarray) -> WindowedCounts:
    """All windows of all users in one pass.

    A partial of age a (0 on the as-of day) lies in the window of w days exactly when a < w.

    Args:
        users: int (n,), codes; equal users lie together.
        clusters: int (n,), codes; equal clusters of a user lie together.
        age_days: int (n,), days before the as-of day, 0 or more.
        counts: int (n, events), partials.
    """
    new_user, new_pair = _changes(users), _changes(users) | _changes(clusters)
    user_rows, pair_rows = np.flatnonzero(new_user), np.flatnonzero(new_pair)
    summed = np.zeros((len(pair_rows), len(WINDOWS_DAYS), len(EVENT_TYPES)), np.int64)
    if len(users):
        for number, window_days in enumerate(WINDOWS_DAYS):
            inside = np.where((age_days < window_days)[:, None], counts, 0).astype(np.int64)
            summed[:, number] = np.add.reduceat(inside, pair_rows, axis=0)
    offsets = np.append(np.searchsorted(pair_rows, user_rows), len(pair_rows)).astype(np.int32)
    return WindowedCounts(user_rows, pair_rows, offsets, summed)


def dense_counts(offsets: np.ndarray, slots: np.ndarray, counts: np.ndarray, clusters: int) -> np.ndarray:
    """Counts with one place for each of a fixed number of clusters; absent clusters are 0.

    Args:
        offsets: int (users + 1,), where each user's pairs begin.
        slots: int (pairs,), place of the pair's cluster, 0 to ``clusters`` - 1; -1 for a cluster without a place.
        counts: int (pairs, windows, events).
        clusters: number of places.

    Returns:
        int64 (users, windows, events, clusters).
    """
    dense = np.zeros((len(offsets) - 1, *counts.shape[1:], clusters), np.int64)
    user_of_pair = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    placed = slots >= 0
    dense[user_of_pair[placed], :, :, slots[placed]] = counts[placed]
    return dense


def fixed_length_lists(dense: np.ndarray) -> np.ndarray:
    """One vector per user and window: all requests, then impressions, then clicks, each with clusters ascending.

    Args:
        dense: int (users, windows, events, clusters).

    Returns:
        float32 (users, windows, events * clusters).
    """
    return dense.reshape(*dense.shape[:2], -1).astype(np.float32)


def _changes(codes: np.ndarray) -> np.ndarray:
    """bool (n,): true where a value differs from the one before it, and at the start."""
    changed = np.ones(len(codes), bool)
    changed[1:] = codes[1:] != codes[:-1]
    return changed
