"""Labels as the lab has them: int (n,), any numbers from 0 on for clusters, below 0 for outliers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROWS_PER_BLOCK = 16384
"""Rows that are held in double precision at once."""


@dataclass(frozen=True)
class Coded:
    """The rows that are in a cluster.

    Attributes:
        rows: int64 (m,), their places among all rows, ascending.
        codes: int64 (m,), 0 .. clusters - 1, in the order of the labels.
        sizes: int64 (clusters,), each at least 1.
    """

    rows: np.ndarray
    codes: np.ndarray
    sizes: np.ndarray

    @property
    def clusters(self) -> int:
        """How many there are."""
        return len(self.sizes)


def coded(labels: np.ndarray) -> Coded:
    """Clusters as numbers without gaps, outliers left out.

    Args:
        labels: int (n,).
    """
    given = np.asarray(labels)
    rows = np.flatnonzero(given >= 0)
    _, codes, sizes = np.unique(given[rows], return_inverse=True, return_counts=True)
    return Coded(rows, codes.astype(np.int64), sizes.astype(np.int64))


def outliers_alone(labels: np.ndarray) -> np.ndarray:
    """int64 (n,): the same partition with each outlier as a cluster of its own, for measures that know no outliers."""
    given = np.asarray(labels, np.int64)
    alone = given < 0
    return np.where(alone, given.max(initial=0) + np.cumsum(alone), given)


def cluster_sums(vectors: np.ndarray, found: Coded) -> np.ndarray:
    """float64 (clusters, d): sum of each cluster's rows, in blocks of rows and always in the same order.

    Args:
        vectors: (n, d), all rows.
        found: clusters.
    """
    sums = np.zeros((found.clusters, vectors.shape[1]))
    for low in range(0, len(found.rows), ROWS_PER_BLOCK):
        codes = found.codes[low : low + ROWS_PER_BLOCK]
        order = np.argsort(codes, kind="stable")
        present, starts = np.unique(codes[order], return_index=True)
        rows = vectors[found.rows[low : low + ROWS_PER_BLOCK][order]].astype(np.float64)
        sums[present] += np.add.reduceat(rows, starts, axis=0)
    return sums
