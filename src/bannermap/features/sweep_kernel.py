"""The loops of a sweep, compiled: rows by user, and two pointers a window over each user's rows."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def grouped(users: np.ndarray, banners: np.ndarray, days: np.ndarray, counts: np.ndarray, number: int) -> tuple:
    """Rows by user, as a stable counting sort."""
    starts = np.zeros(number + 1, np.int64)
    for user in users:
        starts[user + 1] += 1
    starts = np.cumsum(starts)
    place = starts[:-1].copy()
    out_days, out_banners, out_counts = np.empty_like(days), np.empty_like(banners), np.empty_like(counts)
    for row in range(len(users)):
        target = place[users[row]]
        place[users[row]] += 1
        out_days[target], out_banners[target] = days[row], banners[row]
        for event in range(counts.shape[1]):
            out_counts[target, event] = counts[row, event]
    return starts, out_days, out_banners, out_counts


@njit(cache=True, nogil=True)
def sweep(
    starts: np.ndarray,
    days: np.ndarray,
    banners: np.ndarray,
    counts: np.ndarray,
    as_of: np.ndarray,
    assignment: np.ndarray,
    clusters: np.ndarray,
    recency: np.ndarray,
    windows: np.ndarray,
    first: int,
    out_targets: np.ndarray,
    out_users: np.ndarray,
    out_ends: np.ndarray,
    out_clusters: np.ndarray,
    out_counts: np.ndarray,
    out_ages: np.ndarray,
) -> tuple[int, int, int, int]:
    """Users from ``first`` on, for as long as there is room.

    Returns:
        The user to go on with, rows, pairs and the largest count; where not even the first user fits, the pairs that it may need.
    """
    number = clusters.max() + 1 if clusters.size else 1
    sums = np.zeros((number, len(windows), counts.shape[1]), np.int64)
    seen, known_codes = np.full(number, -1, np.int64), np.empty(number, np.int32)
    newest, longest = np.zeros((number, len(out_ages)), np.int32), len(windows) - 1
    head, tail, last = np.zeros(len(windows), np.int64), np.zeros(len(windows), np.int64), _last_of_runs(as_of, assignment)
    rows, pairs, largest, stamp = 0, 0, 0, 0
    for user in range(first, len(starts) - 1):
        mine = slice(starts[user], starts[user + 1])
        my_days, my_counts = days[mine], counts[mine]
        needed = min(len(my_days), number) * len(as_of)
        if pairs + needed > len(out_clusters):
            return user, rows, needed if user == first else pairs, largest
        codes, known = banners[mine], known_codes[:0]
        for t in range(len(as_of)):
            if t == 0 or assignment[t] != assignment[t - 1]:
                stamp += 1
                codes = clusters[assignment[t]][banners[mine]]
                low = as_of[t] - windows[-1]
                known = _clusters_between(codes, my_days, low, last[t], known_codes, seen, stamp, sums)
                for code in known:
                    newest[code] = low
                head[:], tail[:] = 0, 0
            entered, before = head[longest], pairs
            for w in range(len(windows)):
                _move(w, as_of[t] - windows[w], as_of[t], codes, my_days, my_counts, head, tail, sums)
            _note_newest(newest, codes, my_days, my_counts, entered, head[longest])
            pairs, largest = _write(known, sums, pairs, largest, out_clusters, out_counts)
            if recency[t]:
                _write_ages(out_clusters[before:pairs], newest, as_of[t], windows[longest], out_ages[:, before:pairs])
            if pairs > before:
                out_targets[rows], out_users[rows], out_ends[rows] = t, user, pairs
                rows += 1
    return len(starts) - 1, rows, pairs, largest


@njit(cache=True, nogil=True)
def _last_of_runs(as_of: np.ndarray, assignment: np.ndarray) -> np.ndarray:
    """The last day of the targets that follow one another with one assignment, for each of them."""
    last = as_of.copy()
    for t in range(len(as_of) - 2, -1, -1):
        if assignment[t] == assignment[t + 1]:
            last[t] = last[t + 1]
    return last


@njit(cache=True, nogil=True)
def _clusters_between(
    codes: np.ndarray, days: np.ndarray, low: int, high: int, known: np.ndarray, seen: np.ndarray, stamp: int, sums: np.ndarray
) -> np.ndarray:
    """Clusters of rows with low < day <= high, ascending, in ``known``; their sums are cleared."""
    number = 0
    for row in range(len(days)):
        if low < days[row] <= high and seen[codes[row]] != stamp:
            seen[codes[row]] = stamp
            known[number] = codes[row]
            sums[codes[row]] = 0
            number += 1
    known[:number].sort()
    return known[:number]


@njit(cache=True, nogil=True)
def _move(
    w: int,
    low: int,
    high: int,
    codes: np.ndarray,
    days: np.ndarray,
    counts: np.ndarray,
    head: np.ndarray,
    tail: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Move a window on to low < day <= high: rows before ``tail`` have left it, rows before ``head`` have entered."""
    row = tail[w]
    while row < head[w] and days[row] <= low:
        for event in range(counts.shape[1]):
            sums[codes[row], w, event] -= counts[row, event]
        row += 1
    while row >= head[w] and row < len(days) and days[row] <= low:
        row += 1
    tail[w], row = row, max(row, head[w])
    while row < len(days) and days[row] <= high:
        for event in range(counts.shape[1]):
            sums[codes[row], w, event] += counts[row, event]
        row += 1
    head[w] = row


@njit(cache=True, nogil=True)
def _write(
    known: np.ndarray, sums: np.ndarray, pairs: int, largest: int, out_clusters: np.ndarray, out_counts: np.ndarray
) -> tuple[int, int]:
    """Write the clusters that have an event in the longest window; the number of pairs then, and the largest count."""
    longest = sums.shape[1] - 1
    for code in known:
        alive = sums[code, longest].max()
        if alive > 0:
            largest = max(largest, alive)
            out_clusters[pairs] = code
            for w in range(sums.shape[1]):
                for event in range(sums.shape[2]):
                    out_counts[w * sums.shape[2] + event, pairs] = sums[code, w, event]
            pairs += 1
    return pairs, largest


@njit(cache=True, nogil=True)
def _note_newest(newest: np.ndarray, codes: np.ndarray, days: np.ndarray, counts: np.ndarray, first: int, end: int) -> None:
    """Take down the days of the rows that entered the longest window, by cluster and event; nothing where nobody asks."""
    for row in range(first, end):
        for event in range(newest.shape[1]):
            if counts[row, event] > 0:
                newest[codes[row], event] = days[row]


@njit(cache=True, nogil=True)
def _write_ages(clusters: np.ndarray, newest: np.ndarray, as_of: int, longest: int, out_ages: np.ndarray) -> None:
    """Days since the newest event of each written pair; a day that has left the longest window counts as none."""
    for pair in range(len(clusters)):
        for event in range(newest.shape[1]):
            out_ages[event, pair] = min(as_of - newest[clusters[pair], event], longest)
