"""The nodes of some edges, numbered from 0 without a gap: a hash table with open addressing."""

from __future__ import annotations

import numpy as np
from numba import njit

FREE = -1
SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio (Knuth, volume 3, 6.4): neighbouring ids end far apart."""
HALF = np.uint64(32)


@njit(cache=True, nogil=True)
def numbered(low: np.ndarray, high: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Number the ends of edges in the order in which they are met.

    Args:
        low: int (e,), 0 or more, e below 2^30.
        high: int (e,), 0 or more.

    Returns:
        Number of distinct nodes; int32 (e,) of the low ends; int32 (e,) of the high ends.
    """
    size = 16
    while size < len(low):
        size *= 2
    table, numbers, count = np.full(size, FREE, low.dtype), np.empty(size, np.int32), 0
    ends = np.empty((2, len(low)), np.int32)
    for i in range(len(low)):
        if 2 * count + 4 > len(table):
            table, numbers = _doubled(table, numbers)
        for side in range(2):
            node = high[i] if side else low[i]
            at = _place(table, node)
            if table[at] == FREE:
                table[at], numbers[at] = node, count
                count += 1
            ends[side, i] = numbers[at]
    return count, ends[0], ends[1]


@njit(cache=True, nogil=True)
def _doubled(table: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    new_table, new_numbers = np.full(2 * len(table), FREE, table.dtype), np.empty(2 * len(table), np.int32)
    for old in range(len(table)):
        if table[old] != FREE:
            at = _place(new_table, table[old])
            new_table[at], new_numbers[at] = table[old], numbers[old]
    return new_table, new_numbers


@njit(cache=True, nogil=True)
def _place(table, node):  # type: ignore[no-untyped-def]
    """int64: where a node stands, or the free place where it would."""
    mixed = np.uint64(node) * SPREAD
    last = len(table) - 1
    at = np.int64(mixed >> HALF) & last
    while table[at] != FREE and table[at] != node:
        at = (at + 1) & last
    return at
