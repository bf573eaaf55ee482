"""How well a clustering agrees with the truth; outliers count as clusters of one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """Agreement of two partitions, each figure 1.0 when they are equal.

    Attributes:
        b_cubed_precision: mean share of an item's cluster that belongs to its class, 0 to 1.
        b_cubed_recall: mean share of an item's class that is in its cluster, 0 to 1.
        b_cubed_f1: harmonic mean of the two.
        adjusted_rand: agreement of pairs beyond chance, -1 to 1.
    """

    b_cubed_precision: float
    b_cubed_recall: float
    b_cubed_f1: float
    adjusted_rand: float


def agreement(clusters: np.ndarray, classes: np.ndarray) -> Agreement:
    """B-cubed (Bagga and Baldwin 1998) and the adjusted Rand index (Hubert and Arabie 1985), from the table of counts.

    Args:
        clusters: (n,) labels; -1 marks an outlier, which is a cluster of its own.
        classes: (n,) true labels.

    Returns:
        All figures; 1.0 for no items.
    """
    count = len(clusters)
    if not count:
        return Agreement(1.0, 1.0, 1.0, 1.0)
    _, given = np.unique(clusters, return_inverse=True)
    alone = np.asarray(clusters) == -1
    given = np.where(alone, given.max() + 1 + np.cumsum(alone), given)
    _, given = np.unique(given, return_inverse=True)
    _, true = np.unique(classes, return_inverse=True)
    both = np.unique(np.stack([given, true]), axis=1, return_counts=True)[1].astype(np.float64)
    pairs = np.unique(np.stack([given, true]), axis=1)
    sizes, class_sizes = np.bincount(given).astype(np.float64), np.bincount(true).astype(np.float64)
    precision = float((both**2 / sizes[pairs[0]]).sum() / count)
    recall = float((both**2 / class_sizes[pairs[1]]).sum() / count)
    return Agreement(precision, recall, 2 * precision * recall / (precision + recall), _adjusted_rand(both, sizes, class_sizes))


def _adjusted_rand(both: np.ndarray, sizes: np.ndarray, class_sizes: np.ndarray) -> float:
    together, by_cluster, by_class = (float((c * (c - 1) / 2).sum()) for c in (both, sizes, class_sizes))
    total = sizes.sum() * (sizes.sum() - 1) / 2
    expected = by_cluster * by_class / total if total else 0.0
    largest = (by_cluster + by_class) / 2
    return 1.0 if largest == expected else (together - expected) / (largest - expected)
