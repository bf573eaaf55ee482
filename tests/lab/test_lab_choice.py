"""Gates and the recommendation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bannermap.lab.gates import against_permuted, bootstrap_stability
from bannermap.lab.recommending import Scored, bootstrap_scores, recommended, score
from bannermap.lab.separation import silhouette
from bannermap.lab.sizes import Weights, balance, composite, noise_penalty

EQUAL, COMPOSITE = Weights(), "composite"


def groups(seed: int, sizes: list[int], spread: float = 0.2, dimensions: int = 16):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    points = rng.normal(size=(len(sizes), dimensions))[truth] + spread * rng.normal(size=(len(truth), dimensions))
    return points / np.linalg.norm(points, axis=1, keepdims=True), truth


@pytest.mark.parametrize("seed", range(10))
def test_the_truth_clears_permuted_labels_and_random_ones_do_not(seed):
    points, truth = groups(seed, [120, 30, 8, 4])
    chance = np.random.default_rng(seed).integers(0, 2, len(truth))
    for labels, passes in ((truth, True), (chance, False)):
        found = against_permuted(points, labels, silhouette(points, labels).mean, 20, seed)
        assert found.cleared(3.0) == passes
    undefined = against_permuted(points, np.zeros(len(truth), int), float("nan"), 5, 0)
    assert math.isnan(undefined.deviations) and not undefined.cleared(0.0)


def test_permuted_labels_leave_outliers_where_they_are():
    points, truth = groups(1, [30, 30])
    labels = np.where(np.arange(60) % 3 == 0, -1, truth)
    drawn = against_permuted(points, labels, 1.0, 8, 3).permuted
    assert drawn == pytest.approx(against_permuted(points[labels >= 0], labels[labels >= 0], 1.0, 8, 3).permuted)


def test_stability_is_1_for_what_rows_decide_and_0_for_a_draw():
    _, truth = groups(2, [50, 20, 10])
    sampled = []

    def by_rows(rows, seed):
        sampled.append(rows)
        return truth[rows]

    assert bootstrap_stability(by_rows, truth, 6, 1).tolist() == [1.0] * 6
    assert all((np.diff(rows) > 0).all() and 0.5 < len(rows) / 80 < 0.75 for rows in sampled)
    chance = bootstrap_stability(lambda rows, seed: np.random.default_rng(seed).integers(0, 3, len(rows)), truth, 20, 1)
    assert abs(chance.mean()) < 0.05


def scored(points, **labels):
    return [Scored(name, found, silhouette(points, found).samples) for name, found in labels.items()]


@pytest.mark.parametrize("by", ["composite", "silhouette", "stable_silhouette"])
def test_bootstrap_scores_are_those_of_the_drawn_rows(by):
    points, truth = groups(3, [20, 10, 10])
    labels = np.where(np.arange(40) == 7, -1, truth)
    found = silhouette(points, labels).samples
    candidate = Scored("one", labels, found, np.array([0.5, 0.5]))

    def expected(rows):
        sizes = np.array([(labels[rows] == c).sum() for c in range(3)])
        mean = np.nanmean(found[rows])
        over_all = np.nan_to_num(found[rows]).mean() * 0.5
        both = composite(mean, balance(sizes), noise_penalty((labels[rows] < 0).sum(), 40), EQUAL)
        return {"composite": float(both), "silhouette": mean, "stable_silhouette": over_all}[by]

    got = bootstrap_scores([candidate], by, EQUAL, 5, 9)
    for number in range(5):
        assert got[0, number] == pytest.approx(expected(np.random.default_rng([9, number]).integers(0, 40, 40)))
    assert score(candidate, by, EQUAL) == pytest.approx(expected(np.arange(40)))
    one = Scored("one cluster", np.zeros(40, int), np.full(40, np.nan))
    assert math.isnan(score(one, by, EQUAL)) and np.isnan(bootstrap_scores([one], by, EQUAL, 2, 0)).all()


def test_stability_is_drawn_too():
    points, truth = groups(3, [20, 10, 10])
    found = silhouette(points, truth).samples
    wild, steady = (Scored("x", truth, np.ones_like(found), np.array(s)) for s in ([0.0, 1.0], [0.5, 0.5]))
    drawn = bootstrap_scores([wild, steady], "stable_silhouette", EQUAL, 60, 1)
    assert set(drawn[0].tolist()) == {0.0, 0.5, 1.0} and set(drawn[1].tolist()) == {0.5}


def test_the_recommendation_names_a_winner_and_says_ties():
    points, truth = groups(4, [60, 60, 60], spread=0.5)
    rng = np.random.default_rng(0)
    nearly = truth.copy()
    nearly[:1] = 2
    poor = np.where(rng.random(180) < 0.4, rng.integers(0, 3, 180), truth)
    candidates = scored(points, nearly=nearly, poor=poor, truth=truth)
    scores = {c.name: score(c, COMPOSITE, EQUAL) for c in candidates}
    found = recommended(candidates, scores, bootstrap_scores(candidates, COMPOSITE, EQUAL, 200, 5), 0.02)
    assert found.chosen == "truth" and {c.name: c.tied for c in found.comparisons} == {"nearly": True, "poor": False}
    assert "nearly" in found.reason and "tie" in found.reason and "poor" not in found.reason
    poorer = found.comparisons[-1]
    assert poorer.low < poorer.difference < poorer.high and poorer.low > 0
    clear = [candidates[1], candidates[2]]
    alone = recommended(clear, scores, bootstrap_scores(clear, COMPOSITE, EQUAL, 200, 5), 0.02)
    assert alone.chosen == "truth" and "resampling the banners explains" in alone.reason


def test_the_recommendation_without_a_choice():
    points, truth = groups(5, [10, 10])
    only = scored(points, only=truth)
    assert recommended(only, {"only": 1.0}, bootstrap_scores(only, COMPOSITE, EQUAL, 10, 0), 0.01).chosen == "only"
    none = recommended([], {}, np.empty((0, 10)), 0.01)
    assert none.chosen is None and "passed the gates" in none.reason
    same = scored(points, b=truth, a=truth)
    tied = recommended(same, {"a": 0.5, "b": 0.5}, bootstrap_scores(same, COMPOSITE, EQUAL, 10, 0), 0.0)
    assert tied.chosen == "a" and tied.comparisons[0].tied  # equal is a tie, whatever would matter
