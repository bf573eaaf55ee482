"""What is kept of an earlier search, one entry per node: who is searched anew, and how near a new one has to be to matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEW, AGAIN, KEPT, SURPLUS = 0, 1, 2, 3
"""Kinds of nodes: a new one; a known one whose list named a picture that is gone; one whose list is kept; and one with so many
equals of smaller number that no list can ever name it: it only asks."""
GONE = -1
"""Stands in a kept list for a picture that is no longer clustered."""


@dataclass(frozen=True)
class Standing:
    """By node.

    Attributes:
        kind: int8 (n,), `NEW`, `AGAIN`, `KEPT` or `SURPLUS`.
        floor: float32 (n,), cosine of the last entry of a kept list; -inf where it has fewer than k, so that anything enters.
        floor_dst: int64 (n,), that entry's node.
    """

    kind: np.ndarray
    floor: np.ndarray
    floor_dst: np.ndarray

    @classmethod
    def nothing_kept(cls, nodes: int) -> Standing:
        """All nodes are new."""
        return cls(np.zeros(nodes, np.int8), np.full(nodes, -np.inf, np.float32), np.full(nodes, GONE, np.int64))

    @property
    def asks(self) -> np.ndarray:
        """bool (n,): is searched against all that its cells hold."""
        return self.kind != KEPT

    @property
    def keeps_any(self) -> bool:
        """Whether any list is kept."""
        return bool((self.kind == KEPT).any())

    def with_surplus(self, nodes: np.ndarray) -> Standing:
        """The same but for those nodes, int64, that are `SURPLUS`."""
        kind = self.kind.copy()
        kind[nodes] = SURPLUS
        return Standing(kind, self.floor, self.floor_dst)

    def enters(self, src: np.ndarray, dst: np.ndarray, cosine: np.ndarray) -> np.ndarray:
        """bool (r,): which rows come before the last entry of their kept list; arguments as of `neighbours.NeighbourLists`."""
        floor = self.floor[src]
        return (cosine > floor) | ((cosine == floor) & (dst < self.floor_dst[src]))


@dataclass(frozen=True)
class ListEnds:
    """Of kept lists that are not empty.

    Attributes:
        src: int64 (s,), whose list.
        entries: int64 (s,), its length.
        cosine: float32 (s,), of its last entry.
        dst: int64 (s,), node of its last entry.
        least_dst: int64 (s,), smallest node in it, so `GONE` where a picture of it is gone.
    """

    src: np.ndarray
    entries: np.ndarray
    cosine: np.ndarray
    dst: np.ndarray
    least_dst: np.ndarray


def standing_of(is_new: np.ndarray, ends: ListEnds, k: int) -> Standing:
    """What follows from the kept lists.

    Args:
        is_new: bool (n,), nodes that no search has seen; lists of others may be empty.
        ends: of the lists.
        k: length of a full list.
    """
    standing = Standing.nothing_kept(len(is_new))
    standing.kind[~is_new] = KEPT
    standing.kind[ends.src[ends.least_dst == GONE]] = AGAIN
    full = ends.entries >= k
    standing.floor[ends.src[full]] = ends.cosine[full]
    standing.floor_dst[ends.src[full]] = ends.dst[full]
    return standing
