"""What sizes alone say: balance, noise, a giant cluster; and the composite that weighs them with the silhouette.

The composite is a rule of thumb, and labels drawn at random can win it: where true sizes are skewed, equal random groups have the
better balance. So it ranks only what passed the gates, see `gates`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.lab.labels import coded


@dataclass(frozen=True)
class Weights:
    """Of the composite; they add up to 1."""

    silhouette: float = 0.3
    balance: float = 0.4
    noise: float = 0.3


def balance(sizes: np.ndarray) -> np.ndarray:
    """Normalised entropy of cluster sizes: -sum p ln p / ln k, with p a cluster's share of the clustered rows.

    1 where all are equal, 0 where there is one cluster or none, near 0 where one has nearly everything.

    Args:
        sizes: int or float (..., k), 0 or more; empty clusters count for k, they are a choice of the clustering, too.

    Returns:
        float64 (...,), 0 to 1.
    """
    counts = np.asarray(sizes, np.float64)
    if counts.shape[-1] < 2:
        return np.zeros(counts.shape[:-1])
    total = counts.sum(axis=-1, keepdims=True)
    share = counts / np.where(total > 0, total, 1.0)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=-1)
    return entropy / np.log(counts.shape[-1])


def noise_penalty(outliers: np.ndarray | float, rows: np.ndarray | float) -> np.ndarray:
    """1 - share of rows that are in no cluster, 0 to 1: the more outliers, the less.

    Args:
        outliers: rows in no cluster.
        rows: all rows; without any the penalty is full, 0.
    """
    total = np.asarray(rows, np.float64)
    return np.where(total > 0, 1.0 - np.asarray(outliers, np.float64) / np.where(total > 0, total, 1.0), 0.0)


def composite(
    silhouette: np.ndarray | float, balanced: np.ndarray | float, kept: np.ndarray | float, weights: Weights
) -> np.ndarray:
    """weights . (silhouette, balance, noise penalty); at most 1, and nan where the silhouette is not defined.

    Args:
        silhouette: mean, -1 to 1.
        balanced: see `balance`.
        kept: see `noise_penalty`.
        weights: of the three.
    """
    parts = np.asarray(silhouette) * weights.silhouette, np.asarray(balanced) * weights.balance, np.asarray(kept) * weights.noise
    return parts[0] + parts[1] + parts[2]


def largest_share(labels: np.ndarray) -> float:
    """Share of all rows, outliers too, that the largest cluster holds, 0 to 1."""
    sizes = coded(labels).sizes
    return float(sizes.max() / len(labels)) if len(sizes) else 0.0


def giant_warning(labels: np.ndarray, max_share: float) -> str | None:
    """A sentence where one cluster has more than a share of all rows; None where none has.

    Args:
        labels: int (n,).
        max_share: 0 to 1.
    """
    share = largest_share(labels)
    if share <= max_share:
        return None
    return (
        f"one cluster holds {share:.0%} of all banners, more than lab.max_cluster_share {max_share:.0%}: it says little of them"
    )
