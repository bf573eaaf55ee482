"""Planted groups on the unit sphere, and what strategies work with."""

from __future__ import annotations

import numpy as np

from bannermap.clustering.in_process import all_neighbours, cluster_with_thresholds
from bannermap.lab.data import Pictures
from bannermap.lab.strategies import Tools
from bannermap.platform.settings import ClusteringSettings


def planted(seed: int, rows: int = 300, groups: int = 6, zipf: float = 0.0, noise: float = 0.0, spread: float = 0.4):
    """Unit vectors float32 (rows, 24) and their groups, -1 for noise; sizes fall as rank^-zipf."""
    centres, rng = np.random.default_rng([seed, groups]).normal(size=(groups, 24)), np.random.default_rng([seed, rows])
    share = np.arange(1, groups + 1, dtype=float) ** -zipf
    truth = rng.choice(groups, rows, p=share / share.sum())
    truth[rng.random(rows) < noise] = -1
    away = rng.normal(size=(rows, 24))
    points = np.where((truth >= 0)[:, None], centres[truth] + spread * away, away)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), truth


def pictures(seed: int, rows: int = 300, **world) -> Pictures:
    """A planted set as pictures of five days; each picture of noise is a class of its own."""
    vectors, truth = planted(seed, rows, **world)
    rng = np.random.default_rng(seed)
    return Pictures(
        np.array([f"{i:05d}" for i in range(rows)], object),
        vectors,
        np.array([f"shop {g}" for g in truth], object),
        np.sort(rng.integers(20000, 20005, rows)),
        rng.choice([728, 300, 160], rows),
        rng.choice([90, 250, 600], rows),
        np.array([f"{g}" if g >= 0 else f"noise {i}" for i, g in enumerate(truth)], object),
    )


def neighbours(vectors, settings):
    lists = all_neighbours(vectors, settings)
    return lists.src, lists.dst, lists.cosine


def tools(spark=None) -> Tools:
    return Tools(cluster_with_thresholds, neighbours, ClusteringSettings(), spark)
