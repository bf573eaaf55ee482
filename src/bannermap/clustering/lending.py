"""What jobs hand from this stage to others, which know it by its functions only."""

from __future__ import annotations

import numpy as np

from bannermap.clustering.in_process import all_neighbours, cluster_with_thresholds
from bannermap.clustering.job import seen_pictures
from bannermap.clustering.themes import fit_themes
from bannermap.platform.settings import ClusteringSettings

__all__ = ["cluster_with_thresholds", "neighbour_ends", "seen_pictures", "theme_centroids"]


def neighbour_ends(vectors: np.ndarray, settings: ClusteringSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact nearest neighbours of every row: int64 src and dst, float32 cosine, k of each row.

    Args:
        vectors: float32 (n, d), unit rows.
        settings: ``k_neighbors`` and ``block_rows``.
    """
    lists = all_neighbours(vectors, settings)
    return lists.src, lists.dst, lists.cosine


def theme_centroids(centroids: np.ndarray, weights: np.ndarray, themes: int) -> np.ndarray:
    """The themes that `cluster_banners` would make of such clusters: float32 (themes or fewer, d), unit length.

    Args:
        centroids: float32 (c, d), unit length, at least one.
        weights: float64 (c,), above 0.
        themes: asked for.
    """
    return fit_themes(centroids, weights, themes).centroids
