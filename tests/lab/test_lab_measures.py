"""The lab's measures against worked numbers, scikit-learn, naive loops and their extremes."""

from __future__ import annotations

import math
import time
from decimal import Decimal

import numpy as np
import pytest
from sklearn import metrics as library

from bannermap.lab import advertisers as a
from bannermap.lab.chance import adjusted_rand, against_classes
from bannermap.lab.density import density_validity
from bannermap.lab.labels import coded, outliers_alone
from bannermap.lab.separation import calinski_harabasz, davies_bouldin, distances, silhouette
from bannermap.lab.sizes import Weights, balance, composite, giant_warning, noise_penalty


def drawn(seed: int, rows: int = 90, dimensions: int = 6, clusters: int = 5):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dimensions)) * 2
    labels = rng.integers(-1, clusters, rows)
    points = np.where((labels >= 0)[:, None], centres[labels], 0) + rng.normal(size=(rows, dimensions))
    return points / np.linalg.norm(points, axis=1, keepdims=True), labels


@pytest.mark.parametrize("seed", range(12))
def test_separation_is_that_of_scikit_learn_without_the_outliers(seed):
    points, labels = drawn(seed, clusters=2 + seed)
    inside = labels >= 0
    found = silhouette(points, labels)
    assert found.samples[inside] == pytest.approx(library.silhouette_samples(points[inside], labels[inside], metric="cosine"))
    assert found.outliers == (~inside).sum() and np.isnan(found.samples[~inside]).all()
    assert davies_bouldin(points, labels) == pytest.approx(library.davies_bouldin_score(points[inside], labels[inside]))
    assert calinski_harabasz(points, labels) == pytest.approx(library.calinski_harabasz_score(points[inside], labels[inside]))


def test_silhouette_is_that_of_spark(spark):
    from pyspark.ml.evaluation import ClusteringEvaluator
    from pyspark.ml.linalg import Vectors

    points, labels = drawn(3)
    points, labels = points[labels >= 0], labels[labels >= 0]
    rows = [(Vectors.dense(p), float(c)) for p, c in zip(points.tolist(), labels, strict=True)]
    frame = spark.createDataFrame(rows, ["features", "prediction"])
    assert silhouette(points, labels).mean == pytest.approx(ClusteringEvaluator(distanceMeasure="cosine").evaluate(frame))


def test_separation_in_blocks_and_of_lengths_other_than_1(monkeypatch):
    points, labels = drawn(5, rows=300)
    whole = silhouette(points, labels).samples
    monkeypatch.setattr("bannermap.lab.separation.CELLS_PER_BLOCK", 40)
    monkeypatch.setattr("bannermap.lab.labels.ROWS_PER_BLOCK", 7)
    lengths = np.random.default_rng(0).uniform(0.1, 9, (300, 1))
    assert silhouette(points * lengths, labels).samples == pytest.approx(whole, nan_ok=True)


def test_distances_of_centres_are_those_of_differences_however_near(monkeypatch):
    rng = np.random.default_rng(4)
    far = rng.normal(size=(40, 12)) + 1000.0  # all far from the origin, beside how they lie apart
    points = np.concatenate([far, far[:9], far[:9] + 1e-9, far[:9] + 1e-3])
    exact = np.linalg.norm(points[:, None] - points[None], axis=2)
    monkeypatch.setattr("bannermap.lab.separation.CELLS_PER_BLOCK", 50)
    found = distances(points[5:30], points)
    assert found == pytest.approx(exact[5:30], rel=1e-9, abs=0.0) and ((found == 0) == (exact[5:30] == 0)).all()
    labels = np.repeat(np.arange(len(points)), 2)
    twice = np.repeat(points, 2, axis=0) + rng.normal(size=(2 * len(points), 12)) * 0.1
    assert davies_bouldin(twice, labels) == pytest.approx(library.davies_bouldin_score(twice, labels), rel=1e-6)


def test_many_clusters_are_compared_in_seconds():
    rng = np.random.default_rng(5)
    points, labels = rng.normal(size=(2400, 1024)).astype(np.float32), np.arange(2400) % 1200
    began = time.process_time()
    davies_bouldin(points, labels)
    counts, _ = a.advertiser_counts(np.arange(2400) % 900, labels)
    a.centre_heuristic(counts, np.stack([points[labels == c].mean(axis=0) for c in range(1200)]))
    assert time.process_time() - began < 5.0  # one row of centres after the other takes 10


def test_separation_on_extremes():
    points, _ = drawn(1, rows=4)
    assert math.isnan(silhouette(points, np.zeros(4, int)).mean)  # one cluster
    assert math.isnan(silhouette(points, np.full(4, -1)).mean)  # none
    assert silhouette(points, np.arange(4)).samples.tolist() == [0.0] * 4  # each alone
    assert math.isnan(davies_bouldin(points, np.zeros(4, int))) and math.isnan(calinski_harabasz(points, np.arange(4)))
    twice = np.repeat(np.eye(4), 5, axis=0)
    tight = np.repeat(np.arange(4), 5)
    assert silhouette(twice, tight).mean == 1.0 and davies_bouldin(twice, tight) == 0.0
    assert calinski_harabasz(twice, tight) == math.inf
    assert silhouette(np.ones((6, 3)), np.array([0, 1] * 3)).samples == pytest.approx(np.zeros(6), abs=1e-12)  # all in one place
    empty = silhouette(np.empty((0, 3)), np.empty(0, int))
    assert math.isnan(empty.mean) and empty.outliers == 0


def naive_density_validity(points: np.ndarray, labels: np.ndarray) -> float:
    """The definition, word by word; Kruskal where the module has Prim, powers of 28 digits where it has logarithms."""
    d = points.shape[1]

    def far(i, j):
        return math.dist(points[i], points[j])

    groups = [g for g in ([i for i in range(len(labels)) if labels[i] == c] for c in set(labels) - {-1}) if len(g) > 1]
    core, inner, sparse = {}, [], []
    for g in groups:
        for i in g:
            others = [Decimal(far(i, j)) for j in g if j != i]
            mean = sum(1 / r**d for r in others) / len(others) if all(others) else Decimal("inf")
            core[i] = float((-mean.ln() / d).exp()) if mean.is_finite() else 0.0
        edges = sorted((max(core[i], core[j], far(i, j)), far(i, j), i, j) for i in g for j in g if i < j)
        root, degree, tree = {i: i for i in g}, dict.fromkeys(g, 0), []
        for length, _, i, j in edges:
            if root[i] != root[j]:
                old, new = root[i], root[j]
                root = {k: new if r == old else r for k, r in root.items()}
                degree[i] += 1
                degree[j] += 1
                tree.append((length, i, j))
        inside = [i for i in g if degree[i] > 1]
        between = [length for length, i, j in tree if degree[i] > 1 and degree[j] > 1]
        inner.append(inside or g)
        sparse.append(max(between or [length for length, _, _ in tree]))
    worth = 0.0
    for x, g in enumerate(groups):
        apart = min(max(core[i], core[j], far(i, j)) for y in range(len(groups)) if y != x for i in inner[x] for j in inner[y])
        worth += len(g) / len(labels) * (apart - sparse[x]) / max(apart, sparse[x])
    return worth


@pytest.mark.parametrize("seed", range(8))
def test_density_validity_is_its_definition(seed):
    points, labels = drawn(seed, rows=40, dimensions=2 + seed, clusters=2 + seed % 4)
    assert density_validity(points, labels) == pytest.approx(naive_density_validity(points, labels))
    other = np.random.default_rng(seed).permutation(40)
    assert density_validity(points[other], labels[other]) == pytest.approx(density_validity(points, labels))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(4))
def test_density_validity_of_rows_that_are_equal_or_nearly_so_is_its_definition(seed):
    rng = np.random.default_rng(seed)
    centres, labels = rng.normal(size=(3, 384)), np.repeat(np.arange(3), 8)
    points = centres[labels] + rng.choice([1e-5, 1e-3, 0.1], 24)[:, None] * rng.normal(size=(24, 384))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points[[1, 9]] = points[[0, 8]]  # beside others that are near: (1 / distance)^384 of these is in no double
    assert density_validity(points, labels) == pytest.approx(naive_density_validity(points, labels))


def test_density_validity_on_extremes():
    rng = np.random.default_rng(2)
    angle = rng.uniform(0, 2 * np.pi, 300)
    rings = np.stack([np.cos(angle), np.sin(angle)], 1) * np.repeat([1.0, 4.0], 150)[:, None]
    by_ring, by_side = np.repeat([0, 1], 150), (rings[:, 0] > 0).astype(int)
    assert density_validity(rings, by_ring) > 0.5 > 0 > density_validity(rings, by_side)  # where silhouette prefers the sides
    assert silhouette(rings, by_side).mean > silhouette(rings, by_ring).mean
    assert math.isnan(density_validity(rings, np.zeros(300, int)))
    equal = np.repeat(np.eye(2), 5, axis=0)
    assert density_validity(equal, np.repeat([0, 1], 5)) == 1.0  # nothing apart within, all between
    wide = rng.normal(size=(60, 384))
    assert -1.0 <= density_validity(wide, rng.integers(0, 3, 60)) <= 1.0  # (1 / distance)^384 is in no double


def test_balance_and_composite():
    assert balance(np.array([5, 5, 5, 5])) == pytest.approx(1.0)
    assert balance(np.array([1, 3])) == pytest.approx(0.8112781244591328)  # the entropy of 1/4, in bits
    assert balance(np.array([9999, 1])) < 0.002 and balance(np.array([7])) == 0.0 and balance(np.array([], int)) == 0.0
    assert balance(np.array([[1, 1], [2, 0]])).tolist() == [1.0, 0.0]
    assert noise_penalty(1, 4) == 0.75 and noise_penalty(0, 0) == 0.0
    assert composite(0.5, 0.25, 1.0, Weights()) == pytest.approx(0.3 * 0.5 + 0.4 * 0.25 + 0.3)
    assert math.isnan(composite(float("nan"), 1.0, 1.0, Weights()))


def test_a_giant_cluster_is_told_of():
    labels = np.array([0] * 82 + list(range(1, 9)) * 2 + [-1, -1])
    assert "82%" in str(giant_warning(labels, 0.5)) and giant_warning(labels, 0.82) is None
    assert giant_warning(np.full(3, -1), 0.5) is None


NYKAA, AJIO, ONE_MG = (2, 3, 0), (2, 0, 1), (0, 1, 1)


def test_advertisers_worked_numbers():
    counts = np.array([NYKAA, AJIO, ONE_MG])
    n = counts.sum(axis=1)
    assert a.recall(counts) == pytest.approx([3 / 5, 2 / 3, 1 / 2])
    assert a.aggregate(a.recall(counts), n) == pytest.approx(6 / 10)
    assert a.sum_heuristic(counts)[0] == pytest.approx(3 / 15)
    assert a.aggregate(a.sum_heuristic(counts), n) == pytest.approx(1 / 4)
    assert a.product_heuristic(counts)[0] == pytest.approx(3 / 15)
    more = np.array([(2, 3, 1), AJIO, ONE_MG])
    assert a.recall(more)[0] == pytest.approx(3 / 6) and a.aggregate(a.recall(more), more.sum(axis=1)) == pytest.approx(6 / 11)
    assert a.sum_heuristic(more)[0] == pytest.approx(3 / 24) and a.product_heuristic(more)[0] == pytest.approx(3 / 36)
    centres = np.array([(1, 8), (4, 4), (-2, 12)])
    assert a.centre_heuristic(counts, centres)[0] == pytest.approx((5 * 3 / 5 + 10 * 1 / 5) / 2)


def test_advertisers_two_clusterings():
    one = np.array([(10, 2, 2, 2, 2, 2), (5, 1, 1, 1, 0, 0), (12, 3, 3, 3, 3, 0)])
    two = np.array([(8, 4, 4, 4, 0, 0), (3, 3, 2, 0, 0, 0), (9, 6, 6, 3, 0, 0)])
    got = [[a.aggregate(f(c), c.sum(axis=1)) for f in (a.recall, a.sum_heuristic, a.product_heuristic)] for c in (one, two)]
    assert one.sum() == two.sum() == 52
    assert got[0] == pytest.approx([27 / 52, 0.0593, 0.0137], abs=5e-5)
    assert got[1] == pytest.approx([20 / 52, 0.0323, 0.0069], abs=5e-5)


@pytest.mark.parametrize("seed", range(6))
def test_advertisers_are_their_definitions(seed):
    rng = np.random.default_rng(seed)
    points, labels = drawn(seed, rows=70, clusters=4)
    who = rng.choice(["a", "b", "c", "d", "e"], 70)
    counts, totals = a.advertiser_counts(who, labels)
    centres = np.array([points[labels == c].mean(axis=0) for c in range(4)])
    apart = []
    for number, name in enumerate(sorted(set(who))):
        row = [int(((who == name) & (labels == c)).sum()) for c in range(4)]
        assert counts[number].tolist() == row and totals[number] == (who == name).sum()
        peak = row.index(max(row))
        others = [c for c in range(4) if c != peak]
        n = totals[number]
        assert a.recall(counts, totals)[number] == pytest.approx(row[peak] / n)
        assert a.sum_heuristic(counts, totals)[number] == pytest.approx(row[peak] / (1 + sum(row[c] for c in others)) / n)
        product = math.prod(row[c] + 1 for c in others)
        assert a.product_heuristic(counts, totals)[number] == pytest.approx(row[peak] / product / n)
        terms = [math.dist(centres[peak], centres[c]) * (row[c] + 1) / n for c in others]
        assert a.centre_heuristic(counts, centres, totals)[number] == pytest.approx(sum(terms) / 3)
        apart += [math.dist(points[i], centres[peak]) for i in range(70) if who[i] == name and labels[i] != peak]
    assert a.peak_distance(points, who, labels, centres) == pytest.approx(sum(apart) / len(apart))


def test_advertisers_on_extremes():
    one = np.array([[4], [2]])
    assert a.recall(one).tolist() == [1.0, 1.0] and a.centre_heuristic(one, np.zeros((1, 2))).tolist() == [0.0, 0.0]
    none, totals = a.advertiser_counts(np.array(["x", "x"]), np.array([-1, -1]))
    assert a.recall(none, totals).tolist() == [0.0] and math.isnan(a.aggregate(np.empty(0), np.empty(0)))
    assert a.product_heuristic(np.full((1, 3000), 9)).tolist() == [0.0]  # 10^2999 is in no double
    assert a.peak_distance(np.eye(2), np.array(["x", "y"]), np.array([0, 1]), np.eye(2)) == 0.0


def simple_and_corrected(who: np.ndarray, labels: np.ndarray, vectors: np.ndarray) -> dict[str, float]:
    """Every measure of agreement with classes, of labels 0 to k - 1."""
    counts, totals = a.advertiser_counts(who, labels)
    centres = np.stack([vectors[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
    simple = {m.__name__: m(counts, totals) for m in (a.recall, a.sum_heuristic, a.product_heuristic)}
    simple["centre_heuristic"] = a.centre_heuristic(counts, centres, totals)
    result = {name: a.aggregate(values, totals) for name, values in simple.items()}
    return result | {"peak_distance": a.peak_distance(vectors, who, labels, centres)} | vars(against_classes(labels, who))


@pytest.mark.parametrize("seed", range(3))
def test_on_random_labels_every_simple_measure_prefers_few_or_many_and_corrected_ones_neither(seed):
    rng = np.random.default_rng(seed)
    who, vectors = rng.integers(0, 12, 3000), rng.normal(size=(3000, 24))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    few, some, many = (simple_and_corrected(who, rng.integers(0, k, 3000), vectors) for k in (2, 20, 200))
    for name in ("recall", "sum_heuristic"):  # of random labels the fewer win
        assert few[name] > some[name] > many[name], name
    for name in ("homogeneity", "completeness", "v_measure"):  # the more
        assert few[name] < some[name] < many[name], name
    assert few["product_heuristic"] > 100 * some["product_heuristic"] >= 0.0
    assert few["peak_distance"] < some["peak_distance"] < many["peak_distance"], "a distance: the fewer win"
    assert few["centre_heuristic"] > some["centre_heuristic"] > many["centre_heuristic"], "a distance: the more win"
    for found in (few, some, many):
        assert abs(found["ami"]) < 0.02 and abs(found["ari"]) < 0.02


@pytest.mark.parametrize("seed", range(6))
def test_agreement_is_that_of_scikit_learn_with_each_outlier_alone(seed):
    rng = np.random.default_rng(seed)
    labels, classes = rng.integers(-1, 4, 80), rng.choice(["x", "y", "z"], 80)
    alone = [f"{c}" if c >= 0 else f"outlier {i}" for i, c in enumerate(labels)]
    got = against_classes(labels, classes)
    assert got.ami == pytest.approx(library.adjusted_mutual_info_score(classes, alone))
    assert got.ari == pytest.approx(library.adjusted_rand_score(classes, alone))
    expected = library.homogeneity_completeness_v_measure(classes, alone)
    assert (got.homogeneity, got.completeness, got.v_measure) == pytest.approx(expected)


def test_agreement_on_extremes():
    same = against_classes(np.array([3, 3, 0]), np.array(["b", "b", "a"]))
    assert (same.ami, same.ari, same.v_measure) == pytest.approx((1.0, 1.0, 1.0))
    assert adjusted_rand(np.array([-1, -1, 0]), np.array([0, 1, 2])) == 1.0  # outliers are alone, on either side
    assert adjusted_rand(np.array([0, 1, 2]), np.array([-1, -1, 0])) == 1.0


def test_labels_as_numbers():
    found = coded(np.array([7, -1, 3, 7, -5]))
    assert (found.rows.tolist(), found.codes.tolist(), found.sizes.tolist()) == ([0, 2, 3], [1, 0, 1], [1, 2])
    assert outliers_alone(np.array([2, -1, 0, -3])).tolist() == [2, 3, 0, 4]
