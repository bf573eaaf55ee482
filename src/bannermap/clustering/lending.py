"""What jobs hand from this stage to others, which know it by its functions only."""

from __future__ import annotations

import numpy as np

from bannermap.clustering.in_process import all_neighbours, cluster_with_thresholds
from bannermap.clustering.job import seen_pictures
from bannermap.platform.settings import ClusteringSettings

__all__ = ["cluster_with_thresholds", "neighbour_ends", "seen_pictures"]


def neighbour_ends(vectors: np.ndarray, settings: ClusteringSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact nearest neighbours of every row: int64 src and dst, float32 cosine, k of each row.

    Args:
        vectors: float32 (n, d), unit rows.
        settings: ``k_neighbors`` and ``block_rows``.
    """
    lists = all_neighbours(vectors, settings)
    return lists.src, lists.dst, lists.cosine
