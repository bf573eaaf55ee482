"""A fixed number of themes over the clusters: spherical k-means on their centroids, weighted by size.

Themes are numbers 0 .. k - 1 here; which of them carries on which of yesterday's is decided by `identity`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SEED = 20
RESTARTS = 4
MAX_ITERATIONS = 100
REFIT_GAIN = 0.1
"""Share by which a fit from nothing must beat the one that starts from yesterday's themes. Less would trade the meaning of every
dense feature for a slightly better picture; never refitting would keep a poor first day for ever."""


@dataclass(frozen=True)
class ThemeFit:
    """Themes of one k.

    Attributes:
        k: number asked for.
        centroids: float32 (themes, d), unit length; at most k, fewer where there are fewer different clusters.
    """

    k: int
    centroids: np.ndarray


def fit_themes(centroids: np.ndarray, weights: np.ndarray, k: int, start: np.ndarray | None = None) -> ThemeFit:
    """Fit k themes: from the given start if there is one, from nothing if that is better by `REFIT_GAIN`.

    Minimises the weighted sum of (1 - cosine to the nearest theme), as Dhillon and Modha 2001; starts from nothing are drawn
    by k-means++ (Arthur and Vassilvitskii 2007) with a fixed seed.

    Args:
        centroids: float32 (c, d), unit length (or zero), in a fixed order.
        weights: float64 (c,), above 0.
        k: themes asked for, at least 1.
        start: float32 (s, d), themes of the clustering before; surplus or missing ones are dropped or drawn.

    Returns:
        The fit; the same for the same input.
    """
    points = centroids.astype(np.float64)
    k_here = min(k, len(np.unique(centroids, axis=0)))
    fresh = [_lloyd(points, weights, _plus_plus(points, weights, k_here, SEED + r)) for r in range(RESTARTS)]
    cost, best = min(fresh, key=lambda fit: fit[0])
    if start is not None and len(start) and start.shape[1] == points.shape[1]:
        warm_cost, warm = _lloyd(points, weights, _completed(points, weights, start.astype(np.float64), k_here))
        if warm_cost <= cost / (1.0 - REFIT_GAIN):
            best = warm
    return ThemeFit(k, best.astype(np.float32))


def nearest_themes(vectors: np.ndarray, fit: ThemeFit) -> np.ndarray:
    """The nearest theme of each vector by cosine, the smaller number on a tie; int32 (n,).

    Args:
        vectors: float32 (n, d).
        fit: the themes.
    """
    # einsum, not matmul: its sums run in a fixed order, so a vector gets the same theme in a batch of any size
    scores = np.einsum("nd,kd->nk", vectors.astype(np.float64), fit.centroids.astype(np.float64))
    return scores.argmax(axis=1).astype(np.int32)


def _lloyd(points: np.ndarray, weights: np.ndarray, centres: np.ndarray) -> tuple[float, np.ndarray]:
    """Cost and centres once assignments stand still; a theme that lost all its clusters takes the worst placed one."""
    nearest = np.full(len(points), -1)
    for _ in range(MAX_ITERATIONS):
        scores = points @ centres.T
        moved = scores.argmax(axis=1)
        if (moved == nearest).all():
            break
        nearest = moved
        centres = _means(points, weights, nearest, centres)
    return float((weights * (1.0 - (points @ centres.T).max(axis=1))).sum()), centres


def _means(points: np.ndarray, weights: np.ndarray, nearest: np.ndarray, centres: np.ndarray) -> np.ndarray:
    sums = np.zeros_like(centres)
    np.add.at(sums, nearest, points * weights[:, None])
    lost = np.bincount(nearest, minlength=len(centres)) == 0
    if lost.any():
        distance = weights * (1.0 - np.einsum("nd,nd->n", points, centres[nearest]))
        sums[lost] = points[np.argsort(-distance, kind="stable")[: lost.sum()]]
    return _unit(sums)


def _plus_plus(points: np.ndarray, weights: np.ndarray, k: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    first = points[rng.choice(len(points), p=weights / weights.sum())]
    return _drawn(points, weights, first[None, :], k, rng)


def _completed(points: np.ndarray, weights: np.ndarray, start: np.ndarray, k: int) -> np.ndarray:
    return _drawn(points, weights, start[:k], k, np.random.default_rng(SEED))


def _drawn(points: np.ndarray, weights: np.ndarray, centres: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """More centres, each drawn by its weighted distance to those there are, until there are k."""
    while len(centres) < k:
        distance = weights * np.maximum(1.0 - (points @ _unit(centres).T).max(axis=1), 0.0)
        total = distance.sum()
        share = distance / total if total > 0 else weights / weights.sum()
        centres = np.vstack([centres, points[rng.choice(len(points), p=share)]])
    return _unit(centres)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
