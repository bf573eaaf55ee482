"""Themes against the best of all partitions and against planted groups; duplicate sets against plain search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from worlds import unit

from bannermap.clustering.duplicates import duplicate_sets
from bannermap.clustering.forest import edges_at_least, spanning_forest
from bannermap.clustering.hierarchy import build_hierarchy
from bannermap.clustering.themes import fit_themes, nearest_themes


def cost(points: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> float:
    """Weighted sum of 1 - cosine to the mean direction of each group."""
    total = 0.0
    for label in set(labels.tolist()):
        inside = labels == label
        mean = (points[inside] * weights[inside, None]).sum(axis=0)
        total += float((weights[inside] * (1.0 - points[inside] @ (mean / np.linalg.norm(mean)))).sum())
    return total


@pytest.mark.parametrize("seed", range(20))
def test_a_fit_is_near_the_best_of_all_partitions(seed):
    rng = np.random.default_rng(seed)
    points, weights = unit(rng.normal(size=(7, 3))), rng.integers(1, 9, 7).astype(float)
    fit = fit_themes(points, weights, 3)
    found = cost(points.astype(float), weights, nearest_themes(points, fit))
    best = min(cost(points.astype(float), weights, np.array(labels)) for labels in itertools.product(range(3), repeat=7))
    assert best - 1e-5 <= found <= 1.35 * best + 1e-6


@pytest.mark.parametrize("seed", range(10))
def test_planted_themes_are_found_and_stay_themselves_from_any_start(seed):
    rng = np.random.default_rng(seed)
    centres = unit(np.eye(8)[:5] + rng.normal(scale=0.02, size=(5, 8)))
    truth = rng.permutation(np.repeat(np.arange(5), 12))
    points, weights = unit(centres[truth] + rng.normal(scale=0.05, size=(60, 8))), rng.integers(1, 50, 60).astype(float)
    first = fit_themes(points, weights, 5)
    labels = nearest_themes(points, first)
    assert len({(a, b) for a, b in zip(labels.tolist(), truth.tolist(), strict=True)}) == 5
    more = unit(centres[truth] + rng.normal(scale=0.05, size=(60, 8)))
    order = rng.permutation(5)
    again = fit_themes(np.vstack([points, more]), np.tile(weights, 2), 5, start=first.centroids[order])
    assert (order[nearest_themes(points, again)] == labels).all()


def test_fewer_clusters_than_themes_and_lost_starts():
    points = unit(np.eye(4, dtype=np.float32)[[0, 0, 1]])
    weights = np.ones(3)
    assert fit_themes(points, weights, 5).centroids.shape == (2, 4)
    far = -unit(np.eye(4, dtype=np.float32)[[2, 3]])
    fit = fit_themes(points, weights, 2, start=far)
    assert sorted(nearest_themes(points, fit).tolist()) in ([0, 0, 1], [0, 1, 1])
    assert fit_themes(points, weights, 2, start=np.ones((2, 9), np.float32)).centroids.shape == (2, 4)


def test_a_vector_has_the_same_theme_in_any_batch():
    rng = np.random.default_rng(3)
    points = unit(rng.normal(size=(500, 16)))
    fit = fit_themes(points[:50], np.ones(50), 15)
    alone = np.concatenate([nearest_themes(points[i : i + 7], fit) for i in range(0, 500, 7)])
    assert (alone == nearest_themes(points, fit)).all()


@pytest.mark.parametrize("seed", range(40))
def test_duplicate_sets_are_the_components_inside_clusters(seed):
    rng = np.random.default_rng(seed)
    n, t = int(rng.integers(1, 40)), float(rng.choice([0.8, 0.9, 0.95]))
    src, dst = rng.integers(0, n, (2, 3 * n))
    keep = src != dst
    cosine = rng.choice(np.linspace(0.7, 1.0, 7), 3 * n).astype(np.float32)
    edges = edges_at_least(src[keep], dst[keep], cosine[keep], 0.75)
    hierarchy = build_hierarchy(n, spanning_forest(edges), np.array([0.75]))
    component = np.searchsorted(hierarchy.starts[0], np.arange(n), "right")
    clusters = np.where(component % 3 == 0, -1, component)  # by position; some components are outliers
    banners = rng.integers(1, 3, n)
    found = duplicate_sets(hierarchy, clusters, banners[hierarchy.order], t)
    cluster_of = dict(zip(hierarchy.order.tolist(), clusters.tolist(), strict=True))
    for node in range(n):
        reached, waiting = {node}, [node]
        while waiting:
            here = waiting.pop()
            for a, b, c in zip(edges.low, edges.high, edges.cosine, strict=True):
                other = {int(a): int(b), int(b): int(a)}.get(here)
                if other is not None and float(c) >= t and other not in reached:
                    reached.add(other)
                    waiting.append(other)
        alone = cluster_of[node] < 0 or sum(banners[m] for m in reached) < 2
        assert found[node] == (-1 if alone else min(reached))
