"""Which parameters are worth trying: by the number of rows, and by how near they lie to each other where a strategy sees them.

That is in the principal components and the buckets that it is fitted on: the fewer the dimensions, the greater is the cosine of
rows that belong together, and of those that do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from bannermap.lab.fitting import Configuration, Preparation, Prepared, prepared
from bannermap.lab.models import Sizes
from bannermap.lab.separation import unit_rows
from bannermap.lab.strategies import STRATEGIES
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
LEAST_COSINE, MOST_COSINE = 0.01, 0.9999
"""Of those that are tried; above, rows that differ by rounding alone would be told apart."""
BY_COSINE = ("recursive", "dbscan")
"""Strategies that take such a cosine."""
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


def configurations(vectors: np.ndarray, settings: LabSettings, sizes: Sizes | None = None) -> list[Configuration]:
    """What to try, the strategies taking turns, so that a budget that runs out costs parameters rather than strategies.

    Args:
        vectors: float32 (n, d), unit rows.
        settings: of the lab.
        sizes: of the pictures, for buckets by aspect.
    """
    mode = MODES[settings.mode]
    kept = settings.pca_dimensions if settings.pca_dimensions is not None else settings.pca_variance
    before = Preparation(kept, settings.bucketing, settings.cells)
    near = _near_of_each(vectors, settings, before, sizes)
    each = [_parameters(name, len(vectors), near.get(name, []), settings, mode) for name in settings.strategies]
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


def near_cosines(before: Prepared, values: int, seed: int) -> list[float]:
    """Quantiles of rows' cosine to their fourth nearest, each once, the median first.

    What a cosine lacks to 1 is rounded to two digits: in few dimensions all of them are near 1, and far apart nevertheless.

    Args:
        before: rows that the strategy fits; the nearest are of the same bucket. Where no bucket has five, the result is 0.5.
        values: how many, at most.
        seed: of the rows that are looked at.

    Returns:
        from `LEAST_COSINE` to `MOST_COSINE`.
    """
    fourth = _fourth_cosines(unit_rows(before.seen[before.drawn]), before.bucket[before.drawn], seed)
    if not len(fourth):
        return [0.5]
    lacking = [float(f"{1.0 - c:.2g}") for c in np.quantile(fourth.astype(np.float64), QUANTILES[:values])]
    return list(dict.fromkeys(min(max(round(1.0 - x, 6), LEAST_COSINE), MOST_COSINE) for x in lacking))


def _fourth_cosines(units: np.ndarray, bucket: np.ndarray, seed: int) -> np.ndarray:
    """float (p,), of at most `PROBED_ROWS` drawn rows; of those only that have a fourth nearest in their bucket.

    Args:
        units: float32 (n, m), unit rows.
        bucket: int64 (n,).
        seed: of the draw.
    """
    drawn = np.random.default_rng(seed).choice(len(units), min(PROBED_ROWS, len(units)), replace=False)
    rows = drawn[np.bincount(bucket)[bucket[drawn]] > NEIGHBOUR]
    result = [np.empty(0, np.float32)]
    for low in range(0, len(rows), 256):
        part = rows[low : low + 256]
        cosines = np.where(bucket[part, None] == bucket, units[part] @ units.T, -np.inf)
        result.append(np.partition(cosines, -NEIGHBOUR - 1, axis=1)[:, -NEIGHBOUR - 1])  # a row is its own nearest
    return np.concatenate(result)


def _near_of_each(vectors: np.ndarray, settings: LabSettings, before: Preparation, sizes: Sizes | None) -> dict[str, list[float]]:
    """Strategy -> cosines to try; taken once for strategies that see the same."""
    known: dict[tuple[bool, int | None, int], list[float]] = {}
    result: dict[str, list[float]] = {}
    for name in (n for n in settings.strategies if n in BY_COSINE):
        strategy = STRATEGIES[name]
        sees = (strategy.unit, strategy.max_dimensions, min(len(vectors), strategy.max_rows or len(vectors)))
        if sees not in known:
            rows = prepared(vectors, Configuration(name, {}, before), settings.seed, sizes)
            known[sees] = near_cosines(rows, MODES[settings.mode].others, settings.seed)
        result[name] = known[sees]
    return result


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
