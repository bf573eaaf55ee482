"""Parameters worth trying follow the rows as a strategy sees them: in its components, its buckets and its sample."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from lab_worlds import pictures, planted, tools

from bannermap.lab import ranges
from bannermap.lab.chance import adjusted_rand
from bannermap.lab.fitting import Configuration, Prepared, fit, prepared
from bannermap.lab.ranges import MODES, QUANTILES, cluster_counts, configurations, near_cosines
from bannermap.lab.strategies import STRATEGIES
from bannermap.platform.settings import LabSettings

BY_COSINE = {"dbscan": "min_cosine", "recursive": "initial_threshold"}


def naive_near(vectors: np.ndarray, bucket: np.ndarray, values: int) -> list[float]:
    """Row by row: the fourth greatest cosine to the others of the bucket."""
    units = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    fourth = []
    for i, unit in enumerate(units):
        others = [j for j in np.flatnonzero(bucket == bucket[i]) if j != i]
        if len(others) >= 4:
            fourth.append(sorted((float(unit @ units[j]) for j in others), reverse=True)[3])
    if not fourth:
        return [0.5]
    lacking = [1.0 - c for c in np.quantile(fourth, QUANTILES[:values])]
    rounded = [1.0 - (round(x, 1 - math.floor(math.log10(x))) if x > 1e-12 else 0.0) for x in lacking]
    return list(dict.fromkeys(round(min(max(c, 0.01), 0.9999), 6) for c in rounded))


def tried(strategy: str, given: list[Configuration]) -> list[float]:
    """Cosines among the parameters of a strategy."""
    key = BY_COSINE[strategy]
    return [c.parameters[key] for c in given if c.strategy == strategy and key in c.parameters]


def test_numbers_of_clusters_and_turns():
    assert sorted(cluster_counts(20_000, 6)) == [4, 12, 36, 110, 331, 1000]
    assert cluster_counts(20_000, 3)[0] == 63 and cluster_counts(5, 6) == [4] and max(cluster_counts(9999, 5, 64)) == 64
    vectors, _ = planted(2)
    found = configurations(vectors, LabSettings(pca_variance=0.9))
    assert [c.strategy for c in found[:8]] == list(LabSettings().strategies)  # in turns
    assert all(c.preparation.kept == 0.9 for c in found) and len({c.name for c in found}) == len(found)
    given = configurations(vectors, LabSettings(cluster_counts=(5, 10, 15), strategies=("kmeans",)))
    assert [c.parameters for c in given] == [{"clusters": k} for k in (5, 10, 15)]


@pytest.mark.parametrize("seed", range(8))
def test_cosines_are_of_the_fourth_nearest_in_the_bucket_among_fitted_rows(seed):
    rng = np.random.default_rng(seed)
    rows, buckets = int(rng.integers(3, 90)), int(rng.integers(1, 9))
    seen = (rng.normal(size=(rows, 5)) + rng.normal(size=5)).astype(np.float32)
    bucket = rng.integers(0, buckets, rows)
    drawn = np.sort(rng.choice(rows, int(rng.integers(2, rows + 1)), replace=False))
    for values in (1, 3, 6):
        got = near_cosines(Prepared(seen, bucket, drawn, None, None), values, seed)
        assert got == pytest.approx(naive_near(seen[drawn], bucket[drawn], values))


@pytest.mark.parametrize("seed", range(3))
def test_cosines_are_taken_in_the_components_and_buckets_of_the_fit(seed):
    found = pictures(seed, 200)
    wide, square = (found.widths == 728) & (found.heights == 90), found.heights == 250
    found = found.of(np.flatnonzero(wide | (square & (found.widths == 300))))
    shape = (found.heights == 90).astype(int)
    axes = np.linalg.svd(found.vectors.astype(float), full_matrices=False)[2][:3].T
    settings = LabSettings(strategies=("recursive", "dbscan"), pca_dimensions=3, bucketing="aspect")
    given = configurations(found.vectors, settings, found.sizes)
    for name in BY_COSINE:
        assert tried(name, given) == pytest.approx(naive_near(found.vectors @ axes, shape, MODES["balanced"].others))


@pytest.mark.parametrize(("bucketing", "most_of_raw"), [("none", 0.2), ("cell", 0.4)])
def test_the_range_holds_values_that_separate_planted_groups_also_in_few_components(bucketing, most_of_raw):
    rng = np.random.default_rng(0)
    centres, truth = rng.normal(size=(20, 256)), rng.integers(0, 20, 600)
    vectors = (centres[truth] + 0.8 * rng.normal(size=(600, 256))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    strategies = ("dbscan", "recursive")
    settings = LabSettings(strategies=strategies, pca_dimensions=6, bucketing=bucketing, cells=3)
    given, raw = (configurations(vectors, s) for s in (settings, LabSettings(strategies=strategies)))

    def best(strategy: str, cosines: list[float]) -> float:
        made = (Configuration(strategy, {"min_samples": 5, "min_cosine": c}, given[0].preparation) for c in cosines)
        if strategy == "recursive":
            made = (Configuration(strategy, {"initial_threshold": c}, given[0].preparation) for c in cosines)
        return max(adjusted_rand(fit(vectors, c, settings.seed, tools()).labels, truth.astype(str)) for c in made)

    for name in BY_COSINE:
        assert best(name, tried(name, given)) > 0.8
    assert best("dbscan", tried("dbscan", raw)) < most_of_raw, "cosines of all dimensions would not do"


def test_strategies_that_see_the_same_share_a_look_at_it(monkeypatch):
    vectors, _ = planted(4, 400)
    looked = []

    def counted(rows, configuration, seed, sizes=None):
        looked.append(configuration.strategy)
        return prepared(rows, configuration, seed, sizes)

    monkeypatch.setattr(ranges, "prepared", counted)
    configurations(vectors, LabSettings())
    configurations(vectors, LabSettings(strategies=("hdbscan", "pic")))
    assert looked == ["recursive"]
    narrow = {**STRATEGIES, "dbscan": replace(STRATEGIES["dbscan"], max_dimensions=4)}
    monkeypatch.setattr(ranges, "STRATEGIES", narrow)
    monkeypatch.setattr("bannermap.lab.fitting.STRATEGIES", narrow)
    given = configurations(vectors, LabSettings(strategies=("recursive", "dbscan")))
    assert looked == ["recursive"] * 2 + ["dbscan"] and min(tried("dbscan", given)) > max(tried("recursive", given))
