"""Names of groups from their members alone, without sorting or collecting them.

A sum of hashes modulo 2^64 does not depend on order, and sums over runs are differences of running totals: naming every group
of every level costs one pass. The two sums and the count are then hashed together with the clustering's id.
"""

from __future__ import annotations

import hashlib

import numpy as np

from bannermap.clustering.recursion import Recursion


def group_ids(recursion: Recursion, lane_a: np.ndarray, lane_b: np.ndarray, clustering_id: str) -> list[str]:
    """An id per group: equal members in equal clusterings give equal ids, in any order and partitioning.

    Args:
        recursion: the groups.
        lane_a: int64 (n,), first half of a hash of the member at each position.
        lane_b: int64 (n,), second half.
        clustering_id: the clustering in which the group is born; empty on plain files.

    Returns:
        One hexadecimal id of 32 characters per group.
    """
    lanes = [_running_total(lane) for lane in (lane_a, lane_b)]
    return [
        _group_id(clustering_id, g.nodes, [(int(t[g.high]) - int(t[g.low])) % 2**64 for t in lanes]) for g in recursion.groups
    ]


def _running_total(lane: np.ndarray) -> np.ndarray:
    """Sums before each position, modulo 2^64; uint64 (n + 1,)."""
    total = np.zeros(len(lane) + 1, np.uint64)
    np.cumsum(lane.astype(np.int64).view(np.uint64), out=total[1:])
    return total


def _group_id(clustering_id: str, nodes: int, sums: list[int]) -> str:
    text = f"{clustering_id}\n{nodes}\n{sums[0]}\n{sums[1]}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
