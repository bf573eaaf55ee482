"""The recursive clustering of this package, as one strategy among others."""

from __future__ import annotations

import numpy as np

from bannermap.lab.rules import NearestPicture
from bannermap.lab.strategies.interface import Fitted, Parameters, Strategy, Tools
from bannermap.lab.strategies.parameters import settings_with
from bannermap.platform.settings import ClusteringSettings


def fit_recursive(vectors: np.ndarray, parameters: Parameters, seed: int, tools: Tools) -> Fitted:
    """Cuts of the neighbour graph, fixed or adaptive.

    Args:
        vectors: float32 (n, d), unit rows.
        parameters: keys of `ClusteringSettings`, over those that are configured.
        seed: nothing is drawn.
        tools: has the clustering.
    """
    labels, thresholds = tools.cluster(vectors, settings_with(parameters, tools.clustering))
    inside = np.flatnonzero(labels >= 0)
    if not len(inside):  # nothing to resemble: whoever comes joins nothing, either
        return Fitted(labels, NearestPicture(vectors[:1], np.full(1, -1), np.full(1, -1.0, np.float32)))
    least = thresholds[labels[inside]].astype(np.float32)
    return Fitted(labels, NearestPicture(vectors[inside], labels[inside], least))


STRATEGIES = (
    Strategy(
        "recursive",
        "Components of the neighbour graph, cut again while that makes them tighter. A new picture joins the cluster of the most "
        "similar clustered one, from the cosine of the cut that made it on.",
        fit_recursive,
        ClusteringSettings,
        growth=2.0,
        by_clustering=True,
    ),
)
