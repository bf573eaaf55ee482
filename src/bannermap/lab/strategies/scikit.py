"""HDBSCAN and DBSCAN of scikit-learn, on as many rows as they bear."""

from __future__ import annotations

import numpy as np

from bannermap.lab.rules import CELLS_PER_BLOCK, NearestPicture
from bannermap.lab.strategies.interface import Fitted, Parameters, Strategy, Tools
from bannermap.lab.strategies.parameters import GroupSizes, Neighbourhood

MOST_ROWS = 20_000
"""The work grows with the square of the rows."""
MOST_DIMENSIONS = 24
"""Of HDBSCAN: 20,000 rows in 384 dimensions took 212 s, in 24 principal ones a twentieth with the same agreement."""


def fit_hdbscan(vectors: np.ndarray, parameters: Parameters, seed: int, tools: Tools) -> Fitted:
    """HDBSCAN (Campello et al. 2013), Euclidean on unit rows, which orders pairs as the cosine does.

    scikit-learn's cannot predict, and that of the package hdbscan gives many of its own rows another label. So a new vector takes
    what its most similar fitted one has, outlier or cluster, if it is as similar to that as every member of the cluster is to
    its nearest fellow.

    Args:
        vectors: float32 (n, d), unit rows.
        parameters: min_cluster_size (rows, at least 2), min_samples (rows).
        seed: nothing is drawn.
        tools: not needed.
    """
    from sklearn.cluster import HDBSCAN

    size = min(int(parameters["min_cluster_size"]), len(vectors))
    samples = min(int(parameters["min_samples"]), len(vectors))
    if size < 2:
        return _none(vectors)
    labels = HDBSCAN(min_cluster_size=size, min_samples=samples, copy=True).fit_predict(vectors.astype(np.float64))
    labels = np.maximum(labels.astype(np.int64), -1)
    return Fitted(labels, NearestPicture(vectors, labels, _reach(vectors, labels)))


def fit_dbscan(vectors: np.ndarray, parameters: Parameters, seed: int, tools: Tools) -> Fitted:
    """DBSCAN (Ester et al. 1996) with cosines.

    A row of the border lies near core rows of several clusters, and which one gets it is for the order of the rows to say. Here
    it is the one of the most similar core row, for fitted and new rows alike.

    Args:
        vectors: float32 (n, d), unit rows.
        parameters: min_cosine (of neighbours, -1 to 1), min_samples (rows within it, itself included).
        seed: nothing is drawn.
        tools: not needed.
    """
    from sklearn.cluster import DBSCAN

    least = float(parameters["min_cosine"])
    chord = float(np.sqrt(max(2.0 - 2.0 * least, 1e-12)))  # |a - b|^2 = 2 - 2 cos
    fit = DBSCAN(eps=chord, min_samples=int(parameters["min_samples"])).fit(vectors.astype(np.float64))
    core = fit.core_sample_indices_
    if not len(core):
        return _none(vectors)
    least_cosine = np.full(len(core), least, np.float32)
    rule = NearestPicture(vectors[core], fit.labels_[core].astype(np.int64), least_cosine)
    return Fitted(rule.predict(vectors), rule)


def _none(vectors: np.ndarray) -> Fitted:
    labels = np.full(len(vectors), -1, np.int64)
    return Fitted(labels, NearestPicture(vectors, labels, np.full(len(vectors), -1.0, np.float32)))


def _reach(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float32 (n,): per row, the least cosine of any row of its cluster to the most similar other row of it; -1 for outliers."""
    least = np.full(len(labels), -1.0, np.float32)
    for cluster in np.unique(labels[labels >= 0]):
        rows = np.flatnonzero(labels == cluster)
        least[rows] = min(_least_of_nearest(vectors[rows]), 1.0)
    return least


def _least_of_nearest(rows: np.ndarray) -> float:
    lowest, step = 1.0, max(1, CELLS_PER_BLOCK // len(rows))
    for low in range(0, len(rows), step):
        cosine = rows[low : low + step] @ rows.T
        cosine[np.arange(len(cosine)), np.arange(low, low + len(cosine))] = -1.0
        lowest = min(lowest, float(cosine.max(axis=1).min()))
    return lowest


STRATEGIES = (
    Strategy(
        "hdbscan",
        "Groups that stay dense over the widest range of densities. A new picture takes what the most similar fitted one has, "
        "within the reach of its cluster.",
        fit_hdbscan,
        GroupSizes,
        max_rows=MOST_ROWS,
        max_dimensions=MOST_DIMENSIONS,
        growth=2.0,
        needs="sklearn",
    ),
    Strategy(
        "dbscan",
        "Chains of pictures with many others within one cosine. A new picture joins the most similar picture of a dense place, "
        "from that cosine on.",
        fit_dbscan,
        Neighbourhood,
        max_rows=MOST_ROWS,
        growth=2.0,
        needs="sklearn",
    ),
)
