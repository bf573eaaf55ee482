"""The order of edges: cosine descending, then the smaller id, then the larger, both ascending.

A cosine and a row number fit in 64 bits, which numpy sorts many times faster than rows of three columns; what is left are runs of
equal cosines, short ones as a rule.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SIGN = np.uint32(1 << 31)
ROW_BITS = np.uint64(32)
SHORT = 32
"""Length of a run up to which it is sorted in place; insertion is quadratic."""
ROW_MASK = np.uint64((1 << 32) - 1)


def strongest_first(low: np.ndarray, high: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """Row numbers in the order of edges.

    Args:
        low: int (e,), e below 2^32.
        high: int (e,).
        cosine: float32 (e,), no NaN.

    Returns:
        uint32 (e,).
    """
    key = _descending(cosine).astype(np.uint64)
    key <<= ROW_BITS
    key |= np.arange(len(key), dtype=np.uint64)
    key.sort()
    order = (key & ROW_MASK).astype(np.uint32)
    long = _sort_short_ties(key, order, low, high)
    if long.any():
        rows = order[long]
        order[long] = rows[np.lexsort((high[rows], low[rows], key[long] >> ROW_BITS))]
    return order


def _descending(cosine: np.ndarray) -> np.ndarray:
    """uint32 that ascend as float32 descend: the bits of a positive number ascend with it, those of a negative one descend."""
    bits = (cosine + np.float32(0.0)).view(np.uint32)  # -0.0 + 0.0 is 0.0: equal numbers get equal bits
    return np.where(bits >= SIGN, bits, bits ^ (SIGN - np.uint32(1)))


@njit(cache=True, nogil=True)
def places_of(
    low: np.ndarray,
    high: np.ndarray,
    cosine: np.ndarray,
    bounds_low: np.ndarray,
    bounds_high: np.ndarray,
    bounds_cosine: np.ndarray,
) -> np.ndarray:
    """int64 (b,): for each bound, the first place in a sequence of edges, strongest first, that does not come before it."""
    places = np.empty(len(bounds_cosine), np.int64)
    for i in range(len(places)):
        begin, end = 0, len(cosine)
        while begin < end:
            at = (begin + end) // 2
            if cosine[at] > bounds_cosine[i] or (
                cosine[at] == bounds_cosine[i] and _before(low[at], high[at], bounds_low[i], bounds_high[i])
            ):
                begin = at + 1
            else:
                end = at
        places[i] = begin
    return places


@njit(cache=True, nogil=True)
def _before(low: int, high: int, other_low: int, other_high: int) -> bool:
    return low < other_low or (low == other_low and high < other_high)


@njit(cache=True, nogil=True)
def _sort_short_ties(key: np.ndarray, order: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """bool (e,): members of runs of equal cosines that are too long for this sort and left as they are."""
    long, start = np.zeros(len(key), np.bool_), 0
    for i in range(1, len(key) + 1):
        if i == len(key) or key[i] >> ROW_BITS != key[start] >> ROW_BITS:
            if i - start > SHORT:
                long[start:i] = True
            else:
                _insertion_sort(order[start:i], low, high)
            start = i
    return long


@njit(cache=True, nogil=True)
def _insertion_sort(rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    for i in range(1, len(rows)):
        row, at = rows[i], i
        while at > 0 and _before(low[row], high[row], low[rows[at - 1]], high[rows[at - 1]]):
            rows[at] = rows[at - 1]
            at -= 1
        rows[at] = row
