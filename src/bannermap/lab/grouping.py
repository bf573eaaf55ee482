"""What a day's clusters by a model look like: sums, cohesion, the picture nearest to all others. Numpy alone.

Vectors become whole numbers before they are added, so that sums, and what follows from them, do not depend on partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

MOST_CELLS = 1 << 23
"""Of sums that one task holds, 8 bytes each."""
SCALE = 2.0**32
"""Of a component of a unit vector as a whole number: sums of 2^30 of them stay within int64."""


@dataclass(frozen=True)
class Groups:
    """Sums over the pictures of some clusters.

    Attributes:
        labels: int64 (c,), ascending, each once.
        pictures: int64 (c,), at least 1.
        sums: int64 (c, d), of vectors times `SCALE`.
    """

    labels: np.ndarray
    pictures: np.ndarray
    sums: np.ndarray

    @property
    def cohesion(self) -> np.ndarray:
        """float64 (c,): mean cosine over all pairs of pictures, -1 to 1; 1 for a single one."""
        exact, n = self.sums / SCALE, self.pictures.astype(np.float64)
        squared = np.einsum("cd,cd->c", exact, exact)
        return np.where(n > 1, (squared - n) / np.maximum(n * (n - 1), 1.0), 1.0)

    def part(self, places: slice) -> Groups:
        """Some of the clusters."""
        return Groups(self.labels[places], self.pictures[places], self.sums[places])

    def places(self, labels: np.ndarray) -> np.ndarray:
        """int64 (n,), the place of each of some labels; all of them are here."""
        return np.searchsorted(self.labels, labels)


def groups_of(labels: np.ndarray, vectors: np.ndarray) -> Groups:
    """Sums of some pictures; outliers (below 0) are left out.

    Args:
        labels: int64 (n,).
        vectors: float32 (n, d), unit rows.
    """
    rows = np.flatnonzero(labels >= 0)
    present, place, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
    sums = np.zeros((len(present), vectors.shape[1]), np.int64)
    np.add.at(sums, place, _whole(vectors[rows]))
    return Groups(present.astype(np.int64), counts.astype(np.int64), sums)


def together(parts: Iterable[Groups]) -> Groups:
    """Sums of parts that have the same dimensions, at least one part."""
    each = list(parts)
    labels = np.concatenate([p.labels for p in each])
    present, place = np.unique(labels, return_inverse=True)
    pictures, sums = np.zeros(len(present), np.int64), np.zeros((len(present), each[0].sums.shape[1]), np.int64)
    np.add.at(pictures, place, np.concatenate([p.pictures for p in each]))
    np.add.at(sums, place, np.concatenate([p.sums for p in each]))
    return Groups(present, pictures, sums)


def folded(parts: Iterable[Groups]) -> Iterator[Groups]:
    """The same sums in few parts, of which little more than `MOST_CELLS` are held at once: a cluster may be in several.

    Args:
        parts: of the same dimensions, each small.
    """
    held: list[Groups] = []
    for part in parts:
        held.append(part)
        if sum(p.sums.size for p in held) > MOST_CELLS:
            held = [together(held)]
            if held[0].sums.size > MOST_CELLS // 2:  # many clusters: to go on would add them all up for each few pictures
                yield held.pop()
    if held:
        yield together(held)


def similarity_sums(labels: np.ndarray, vectors: np.ndarray, groups: Groups) -> np.ndarray:
    """float64 (n,): of each picture, the sum of its cosines to all others of its cluster.

    Args:
        labels: int64 (n,), of pictures that are in a cluster.
        vectors: float32 (n, d), unit rows.
        groups: of all pictures.
    """
    others = (groups.sums[groups.places(labels)] - _whole(vectors)) / SCALE
    return np.einsum("nd,nd->n", vectors.astype(np.float64), others)


def _whole(vectors: np.ndarray) -> np.ndarray:
    return np.rint(vectors.astype(np.float64) * SCALE).astype(np.int64)
