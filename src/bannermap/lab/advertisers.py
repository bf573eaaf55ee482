"""Advertisers as pseudo-labels: banners of one advertiser should mostly lie in one cluster.

From a table of counts c, advertisers by clusters, with n_a an advertiser's banners, m_a its largest count (its peak):

- recall: m_a / n_a. Higher is better. One cluster of everything has 1.
- sum heuristic: m_a / (1 + sum of its other counts) / n_a. Higher is better.
- product heuristic: m_a / (product over the other clusters of count + 1) / n_a. Higher is better.
- centre heuristic: mean over the other clusters of distance (peak's centre to theirs) x (count + 1) / n_a. Lower is better.
- peak distance: mean distance of the banners outside their advertiser's peak to that peak's centre. Lower is better.

The aggregate of the first three is the sum over advertisers of value x n_a, over all banners. All five move with the number of
clusters whatever the clusters are: few clusters win recall, on random labels too. `chance` has those that do not.
"""

from __future__ import annotations

import numpy as np

from bannermap.lab.labels import coded
from bannermap.lab.separation import CELLS_PER_BLOCK, distances


def advertiser_counts(advertisers: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The table of counts.

    Args:
        advertisers: (n,), any values; equal values are one advertiser.
        labels: int (n,).

    Returns:
        int64 (advertisers, clusters), in the order of both values; int64 (advertisers,), all banners, those in no cluster too.
    """
    _, who = np.unique(np.asarray(advertisers), return_inverse=True)
    found = coded(labels)
    table = np.zeros((int(who.max(initial=-1)) + 1, found.clusters), np.int64)
    np.add.at(table, (who[found.rows], found.codes), 1)
    return table, np.bincount(who, minlength=len(table))


def recall(counts: np.ndarray, totals: np.ndarray | None = None) -> np.ndarray:
    """m_a / n_a of each advertiser.

    Args:
        counts: int (advertisers, clusters).
        totals: int (advertisers,), n_a; the rows' sums without. Each at least 1.

    Returns:
        float64 (advertisers,), 0 to 1.
    """
    return _peaks(counts) / _totals(counts, totals)


def sum_heuristic(counts: np.ndarray, totals: np.ndarray | None = None) -> np.ndarray:
    """m_a / (1 + sum of the other counts) / n_a; arguments and result as `recall`."""
    peak = _peaks(counts)
    return peak / (1.0 + np.asarray(counts).sum(axis=1) - peak) / _totals(counts, totals)


def product_heuristic(counts: np.ndarray, totals: np.ndarray | None = None) -> np.ndarray:
    """m_a / prod over the other clusters of (count + 1) / n_a; arguments and result as `recall`.

    In logarithms, since a product over a thousand clusters is more than a double holds: it ends as 0 there.
    """
    peak = _peaks(counts)
    others = np.log1p(np.asarray(counts, np.float64)).sum(axis=1) - np.log1p(peak)
    return peak * np.exp(-others) / _totals(counts, totals)


def centre_heuristic(counts: np.ndarray, centres: np.ndarray, totals: np.ndarray | None = None) -> np.ndarray:
    """Mean over the other clusters of dist(peak's centre, centre) (count + 1) / n_a.

    Args:
        counts: int (advertisers, clusters).
        centres: (clusters, d), Euclidean.
        totals: see `recall`.

    Returns:
        float64 (advertisers,), 0 or more; 0 with one cluster. Of equal peaks the first counts.
    """
    table, points = np.asarray(counts, np.float64), np.asarray(centres, np.float64)
    n = _totals(counts, totals)
    if table.shape[1] < 2:
        return np.zeros(len(table))
    result, peaks = np.empty(len(table)), table.argmax(axis=1)
    order, step = np.argsort(peaks, kind="stable"), max(1, CELLS_PER_BLOCK // table.shape[1])
    for low in range(0, len(order), step):
        rows = order[low : low + step]
        known, place = np.unique(peaks[rows], return_inverse=True)
        apart = distances(points[known], points)[place]  # 0 for the peak itself, so it adds nothing
        result[rows] = (apart * (table[rows] + 1.0)).sum(axis=1) / n[rows] / (table.shape[1] - 1)
    return result


def peak_distance(vectors: np.ndarray, advertisers: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> float:
    """Mean Euclidean distance of the banners outside their advertiser's peak cluster to that cluster's centre.

    Args:
        vectors: (n, d).
        advertisers: (n,).
        labels: int (n,); outliers are outside every cluster and count.
        centres: (clusters, d), in the order of the labels.

    Returns:
        0 or more; 0 where no banner lies outside, nan where no banner is in a cluster.
    """
    table, _ = advertiser_counts(advertisers, labels)
    found = coded(labels)
    if not found.clusters:
        return float("nan")
    _, who = np.unique(np.asarray(advertisers), return_inverse=True)
    own = np.full(len(who), -1, np.int64)
    own[found.rows] = found.codes
    clustered = table.sum(axis=1) > 0  # an advertiser whose banners are all outliers has no peak
    peak = table.argmax(axis=1)[who]
    outside = np.flatnonzero((own != peak) & clustered[who])
    apart = np.asarray(vectors, np.float64)[outside] - np.asarray(centres, np.float64)[peak[outside]]
    return float(np.linalg.norm(apart, axis=1).mean()) if len(outside) else 0.0


def aggregate(values: np.ndarray, totals: np.ndarray) -> float:
    """Sum over advertisers of value x n_a, over all banners; nan without banners.

    Args:
        values: float (advertisers,).
        totals: int (advertisers,), n_a.
    """
    n = np.asarray(totals, np.float64)
    return float((np.asarray(values) * n).sum() / n.sum()) if n.sum() > 0 else float("nan")


def _peaks(counts: np.ndarray) -> np.ndarray:
    table = np.asarray(counts, np.float64)
    return table.max(axis=1) if table.shape[1] else np.zeros(len(table))


def _totals(counts: np.ndarray, totals: np.ndarray | None) -> np.ndarray:
    return np.asarray(counts, np.float64).sum(axis=1) if totals is None else np.asarray(totals, np.float64)
