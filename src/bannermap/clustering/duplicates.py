"""Sets of nearly equal pictures, read off the hierarchy: components at a cosine, inside clusters, are runs of its order."""

from __future__ import annotations

import numpy as np

from bannermap.clustering.hierarchy import Hierarchy

ALONE = -1


def duplicate_sets(hierarchy: Hierarchy, clusters: np.ndarray, banners: np.ndarray, min_cosine: float) -> np.ndarray:
    """The set of each picture: pictures joined by edges of at least ``min_cosine`` within one cluster.

    Args:
        hierarchy: order of the nodes and the cosines of its gaps.
        clusters: int (n,), cluster at each position, -1 for outliers.
        banners: int64 (n,), banners of the node at each position; two banners of one picture are a set too.
        min_cosine: -1 to 1.

    Returns:
        int64 (n,) by node: the set's smallest node; -1 for what is nobody's duplicate.
    """
    nodes = len(hierarchy.order)
    if not nodes:
        return np.empty(0, np.int64)
    apart = hierarchy.gap.astype(np.float64) < min_cosine
    apart[0] = True
    apart[1:] |= (clusters[1:] != clusters[:-1]) | (clusters[1:] < 0)
    starts = np.flatnonzero(apart)
    several = (np.add.reduceat(banners, starts) > 1) & (clusters[starts] >= 0)
    smallest = np.where(several, np.minimum.reduceat(hierarchy.order, starts), ALONE)
    result = np.empty(nodes, np.int64)
    result[hierarchy.order] = np.repeat(smallest, np.diff(np.append(starts, nodes)))
    return result
