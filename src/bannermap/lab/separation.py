"""How far clusters lie apart: silhouette, Davies-Bouldin, Calinski-Harabasz, exact over all rows that are in a cluster.

None of them forms a pair of rows: the mean distance of a row to a cluster follows from the cluster's sum, and so do dispersions.
Outliers are left out of all three; how many there were is said by whoever asks, since leaving out more flatters each of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.lab.labels import Coded, cluster_sums, coded

CELLS_PER_BLOCK = 1 << 22
"""Rows x clusters whose similarities are held at once, 8 bytes each."""
NEAR = 1e-6
"""Of a squared distance to the squares it is the difference of: below, half of its digits or more would be lost."""


@dataclass(frozen=True)
class Silhouette:
    """Silhouettes of one clustering.

    Attributes:
        samples: float64 (n,), -1 to 1; nan for an outlier, and for all where there are fewer than two clusters.
        outliers: rows that were left out.
    """

    samples: np.ndarray
    outliers: int

    @property
    def mean(self) -> float:
        """Mean over the rows that are in a cluster, -1 to 1; nan where it is not defined."""
        inside = self.samples[~np.isnan(self.samples)]
        return float(inside.mean()) if len(inside) else float("nan")


def silhouette(vectors: np.ndarray, labels: np.ndarray) -> Silhouette:
    """Cosine silhouette of every row (Rousseeuw 1987): (b - a) / max(a, b).

    a is the mean cosine distance to the other rows of the own cluster, b the smallest mean one to the rows of another
    cluster. For unit x the sum of 1 - cos over a cluster is n - x . (sum of the cluster), so n rows in k clusters cost n k d
    products. A cluster of one row has silhouette 0, as in scikit-learn and Spark.

    Args:
        vectors: (n, d), of any length but 0; they are made unit length in float64.
        labels: int (n,).
    """
    samples = silhouettes_of(vectors, labels, np.arange(len(labels)))
    return Silhouette(samples, int((np.asarray(labels) < 0).sum()))


def silhouettes_of(vectors: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What `silhouette` gives some rows, among all of them: m rows in k clusters of n rows cost n d + m k d products.

    Args:
        vectors: (n, d), of any length but 0.
        labels: int (n,).
        rows: int64 (m,), those that are asked for.

    Returns:
        float64 (m,), -1 to 1; nan for an outlier, and for all where there are fewer than two clusters.
    """
    found, samples = coded(labels), np.full(len(rows), np.nan)
    if found.clusters < 2:
        return samples
    code = np.full(len(labels), -1, np.int64)
    code[found.rows] = found.codes
    units = unit_rows(vectors)
    sums = cluster_sums(units, found)
    inside, step = np.flatnonzero(code[rows] >= 0), max(1, CELLS_PER_BLOCK // max(found.clusters, vectors.shape[1]))
    for low in range(0, len(inside), step):
        part = inside[low : low + step]
        own = rows[part]
        samples[part] = _silhouettes(units[own].astype(np.float64), code[own], sums, found.sizes)
    return samples


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """float32 rows of length 1, or float64 as given; a row of zeros stays one."""
    rows = np.asarray(vectors)
    rows = rows if rows.dtype == np.float64 else rows.astype(np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def davies_bouldin(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Mean over clusters of the worst (s_i + s_j) / d_ij (Davies and Bouldin 1979); 0 or more, lower is better.

    s is the mean Euclidean distance of a cluster's rows to its centre, d the distance of two centres. Two centres in one place
    count as nothing, as in scikit-learn. nan with fewer than two clusters.

    Args:
        vectors: (n, d).
        labels: int (n,).
    """
    found = coded(labels)
    if found.clusters < 2:
        return float("nan")
    centres = cluster_sums(vectors, found) / found.sizes[:, None]
    spread = np.bincount(found.codes, _distances_to_own(vectors, found, centres)) / found.sizes
    if np.allclose(spread, 0.0):
        return 0.0
    worst, step = np.zeros(found.clusters), max(1, CELLS_PER_BLOCK // found.clusters)
    for low in range(0, found.clusters, step):
        block = slice(low, low + step)
        apart = distances(centres[block], centres)
        apart[apart == 0] = np.inf
        worst[block] = ((spread[block, None] + spread) / apart).max(axis=1)
    return float(worst.mean())


def distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float64 (m, k): Euclidean distances of rows, by products; the few pairs for which these would round are subtracted.

    Args:
        some: float64 (m, d).
        others: float64 (k, d).
    """
    middle = others.mean(axis=0)
    one, other = some - middle, others - middle
    scale = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)
    squared = scale - 2.0 * (one @ other.T)
    rows, columns = np.nonzero(squared <= NEAR * scale)
    step = max(1, CELLS_PER_BLOCK // max(1, others.shape[1]))
    for low in range(0, len(rows), step):
        i, j = rows[low : low + step], columns[low : low + step]
        squared[i, j] = ((some[i] - others[j]) ** 2).sum(axis=1)
    return np.sqrt(squared)


def calinski_harabasz(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Dispersion between clusters over dispersion within, each per degree of freedom (1974); 0 or more, higher is better.

    inf where rows do not differ within clusters; nan with fewer than two clusters, or as many as rows.

    Args:
        vectors: (n, d), Euclidean.
        labels: int (n,).
    """
    found = coded(labels)
    rows, k = len(found.rows), found.clusters
    if k < 2 or k >= rows:
        return float("nan")
    sums = cluster_sums(vectors, found)
    centres = sums / found.sizes[:, None]
    between = float((found.sizes * ((centres - sums.sum(axis=0) / rows) ** 2).sum(axis=1)).sum())
    within = float((_distances_to_own(vectors, found, centres) ** 2).sum())
    return between * (rows - k) / (within * (k - 1)) if within > 0 else float("inf")


def _silhouettes(rows: np.ndarray, own: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Of unit rows, by their own clusters' codes."""
    place = np.arange(len(rows))
    distance = sizes - rows @ sums.T  # summed over each cluster
    own_size = sizes[own]
    itself = 1.0 - (rows * rows).sum(axis=1)  # 0 but for rounding, and 1 for a row of zeros
    a = np.maximum(distance[place, own] - itself, 0.0) / np.maximum(own_size - 1, 1)
    distance /= sizes
    distance[place, own] = np.inf
    b = np.maximum(distance.min(axis=1), 0.0)
    larger = np.maximum(a, b)
    return np.where((own_size > 1) & (larger > 0), (b - a) / np.where(larger > 0, larger, 1.0), 0.0)


def _distances_to_own(vectors: np.ndarray, found: Coded, centres: np.ndarray) -> np.ndarray:
    result = np.empty(len(found.rows))
    step = max(1, CELLS_PER_BLOCK // max(1, vectors.shape[1]))
    for low in range(0, len(result), step):
        part = slice(low, low + step)
        result[part] = np.linalg.norm(vectors[found.rows[part]].astype(np.float64) - centres[found.codes[part]], axis=1)
    return result
