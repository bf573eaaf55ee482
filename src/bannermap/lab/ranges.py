"""Which parameters are worth trying, by the number of rows, their dimensions and how near they lie to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from bannermap.lab.fitting import Configuration, Preparation
from bannermap.lab.separation import unit_rows
from bannermap.platform.settings import LabSettings

LEAST_CLUSTERS, MOST_CLUSTERS = 4, 1000
ROWS_PER_CLUSTER = 8
"""Rows that a cluster should have on average, at least."""
MOST_PARTS = 64
"""Clusters of gmm and lda, whose parts are large and slow: one has a covariance, one a word list."""
PROBED_ROWS = 2000
"""Rows whose neighbours tell how near rows lie."""
NEIGHBOUR = 4
"""Whose cosine is looked at; DBSCAN's authors take the fourth."""
QUANTILES = (0.5, 0.25, 0.75, 0.1, 0.9, 0.05)
"""Of those cosines, the first to be tried first."""
GROUP_SIZES = (5, 15, 3, 30, 50, 100)
"""Least rows of a group of HDBSCAN, the first to be tried first."""


@dataclass(frozen=True)
class Mode:
    """How much is tried.

    Attributes:
        counts: numbers of clusters.
        others: settings of each other strategy.
        budget_s: seconds, unless another budget is configured.
        stability: bootstrap samples behind a stability.
        rungs: sizes of samples that are fitted before all rows.
    """

    counts: int
    others: int
    budget_s: float
    stability: int
    rungs: int


COMPREHENSIVE = Mode(12, 6, 7200.0, 10, 2)
MODES = {
    "fast": Mode(3, 1, 120.0, 3, 1),
    "balanced": Mode(6, 3, 900.0, 5, 1),
    "comprehensive": COMPREHENSIVE,
    "gpu": COMPREHENSIVE,  # the same, with k-means on a GPU
}


def configurations(vectors: np.ndarray, settings: LabSettings) -> list[Configuration]:
    """What to try, the strategies taking turns, so that a budget that runs out costs parameters rather than strategies.

    Args:
        vectors: float32 (n, d), unit rows.
        settings: of the lab.
    """
    mode = MODES[settings.mode]
    kept = settings.pca_dimensions if settings.pca_dimensions is not None else settings.pca_variance
    before = Preparation(kept, settings.bucketing, settings.cells)
    near = near_cosines(vectors, mode.others, settings.seed)
    each = [_parameters(name, len(vectors), near, settings, mode) for name in settings.strategies]
    turns = zip_longest(*([Configuration(n, p, before) for p in own] for n, own in zip(settings.strategies, each, strict=True)))
    return [c for turn in turns for c in turn if c is not None]


def cluster_counts(rows: int, values: int, most: int = MOST_CLUSTERS) -> list[int]:
    """Numbers of clusters in equal ratios, from the middle outwards.

    Args:
        rows: of the data.
        values: how many.
        most: the largest.
    """
    highest = max(LEAST_CLUSTERS, min(most, rows // ROWS_PER_CLUSTER))
    grid = sorted({max(2, round(k)) for k in np.geomspace(min(LEAST_CLUSTERS, highest), highest, values)})
    middle = (len(grid) - 1) / 2
    return sorted(grid, key=lambda k: (abs(grid.index(k) - middle), k))


def near_cosines(vectors: np.ndarray, values: int, seed: int) -> list[float]:
    """Quantiles of rows' cosine to their fourth nearest, rounded to 0.01, each once; from the middle outwards.

    Args:
        vectors: float32 (n, d), unit rows.
        values: how many, at most.
        seed: of the rows that are looked at.
    """
    if len(vectors) <= NEIGHBOUR:
        return [0.5]
    rows = np.random.default_rng(seed).choice(len(vectors), min(PROBED_ROWS, len(vectors)), replace=False)
    units = unit_rows(np.asarray(vectors, np.float32))
    fourth = []
    for low in range(0, len(rows), 256):
        cosines = units[rows[low : low + 256]] @ units.T
        fourth.append(np.partition(cosines, -NEIGHBOUR - 1, axis=1)[:, -NEIGHBOUR - 1])  # a row is its own nearest
    found = np.round(np.clip(np.quantile(np.concatenate(fourth), QUANTILES[:values]), 0.01, 0.99), 2)
    return list(dict.fromkeys(float(c) for c in found))


def _parameters(name: str, rows: int, near: Sequence[float], settings: LabSettings, mode: Mode) -> list[dict[str, Any]]:
    if name == "recursive":
        own = [{"threshold_policy": "fixed"}, {"threshold_policy": "adaptive"}]
        return own + [{"threshold_policy": "fixed", "initial_threshold": c} for c in near]
    if name == "hdbscan":
        return [{"min_cluster_size": size, "min_samples": min(size, 5)} for size in GROUP_SIZES[: mode.others]]
    if name == "dbscan":
        return [{"min_cosine": c, "min_samples": NEIGHBOUR + 1} for c in near]
    most = MOST_PARTS if name in ("gmm", "lda") else MOST_CLUSTERS
    counts = list(settings.cluster_counts) or cluster_counts(rows, mode.counts, most)
    return [{"clusters": k} for k in counts]
