"""Metrics against scikit-learn and against loops that share no code with them; and that a resampled AUC is one of copied rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from bannermap.experiment import metrics as m
from bannermap.experiment.resampled_auc import areas_under_curve, ranked


def world(seed):
    """Impressions of a few users with many equal predictions; some users have one class only."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 120))
    users = rng.integers(0, rng.integers(1, 12), n)
    predicted = np.round(rng.random(n), int(rng.integers(1, 12)))
    clicked = rng.random(n) < np.clip(predicted + rng.normal(0, 0.2, n), 0.05, 0.95)
    clicked[:2] = [True, False]
    return users, clicked, predicted


def naive_auc(clicked, predicted):
    pairs = [
        (a, b) for a, y in zip(predicted, clicked, strict=True) if y for b, z in zip(predicted, clicked, strict=True) if not z
    ]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs) if pairs else math.nan


def naive_utility(clicked, predicted, half_life):
    """Mean over all orders that the ties allow is the mean weight of the places that tied impressions take together."""
    ranked = sorted(range(len(predicted)), key=lambda i: -predicted[i])
    total = 0.0
    for i in range(len(ranked)):
        if clicked[ranked[i]]:
            tied = [j for j in range(len(ranked)) if predicted[ranked[j]] == predicted[ranked[i]]]
            total += sum(2.0 ** (-j / (half_life - 1)) for j in tied) / len(tied)
    return total, sum(2.0 ** (-j / (half_life - 1)) for j in range(sum(clicked)))


@pytest.mark.parametrize("seed", range(60))
def test_auc_and_log_loss_are_those_of_scikit_learn(seed):
    _, clicked, predicted = world(seed)
    assert m.area_under_curve(clicked, predicted) == pytest.approx(roc_auc_score(clicked, predicted), abs=1e-9)
    inner = np.clip(predicted, 1e-9, 1 - 1e-9)
    assert m.log_losses(clicked, inner).mean() == pytest.approx(log_loss(clicked, inner), abs=1e-9)


@pytest.mark.parametrize("seed", range(60))
def test_metrics_of_users_are_those_of_loops(seed):
    users, clicked, predicted = world(seed)
    found = m.auc_by_group(users, clicked, predicted, 12)
    reached, best = m.half_life_utility(users, clicked, predicted, 12, 5.0)
    for user in range(12):
        mine = users == user
        expected = naive_auc(clicked[mine], predicted[mine])
        assert found[user] == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert (reached[user], best[user]) == pytest.approx(naive_utility(clicked[mine], predicted[mine], 5.0), abs=1e-9)
    assert (reached <= best + 1e-12).all()


@pytest.mark.parametrize("seed", range(30))
def test_relative_information_gain_and_calibration_are_those_of_loops(seed):
    _, clicked, predicted = world(seed)
    n, share = len(clicked), sum(clicked) / len(clicked)
    loss = sum(-math.log(q if y else 1 - q) for y, q in zip(clicked, np.clip(predicted, 1e-12, 1 - 1e-12), strict=True)) / n
    constant = sum(-math.log(share if y else 1 - share) for y in clicked) / n
    assert m.entropy(np.array(share)) == pytest.approx(constant, abs=1e-12)
    assert m.relative_information_gain(np.array(loss), m.entropy(np.array(share))) == pytest.approx(1 - loss / constant, abs=1e-9)
    bins = m.equal_mass_bins(predicted, 4)
    ordered = sorted(predicted)
    assert [int(b) for b in bins] == [ordered.index(q) * 4 // n for q in predicted]
    gap = sum(abs(sum(q - y for q, y, b in zip(predicted, clicked, bins, strict=True) if b == k)) for k in range(4)) / n
    gaps = np.bincount(bins, predicted - clicked, 4)
    assert m.expected_calibration_error(gaps, np.array(n)) == pytest.approx(gap, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_a_resampled_auc_is_the_auc_of_copied_rows(seed):
    users, clicked, predicted = world(seed)
    weights = np.random.default_rng(seed).integers(0, 4, (5, users.max() + 1))
    found = areas_under_curve(ranked(users, clicked, predicted), weights)
    for drawn, value in zip(weights, found, strict=True):
        copies = np.repeat(np.arange(len(clicked)), drawn[users])
        assert value == pytest.approx(naive_auc(clicked[copies], predicted[copies]), abs=1e-12, nan_ok=True)


def test_an_auc_of_no_rows_or_no_weight_is_none():
    nothing = ranked(np.zeros(0, int), np.zeros(0, bool), np.zeros(0))
    assert np.isnan(areas_under_curve(nothing, np.ones((2, 3)))).all()
    both = ranked(np.array([0, 1]), np.array([True, False]), np.array([0.2, 0.1]))
    assert areas_under_curve(both, np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 2.0]])) == pytest.approx(
        [1.0, np.nan, np.nan], nan_ok=True
    )


def test_order_of_rows_changes_nothing():
    users, clicked, predicted = world(3)
    order = np.random.default_rng(3).permutation(len(users))
    assert m.area_under_curve(clicked, predicted) == m.area_under_curve(clicked[order], predicted[order])
    one = m.half_life_utility(users, clicked, predicted, 12, 3.0)
    other = m.half_life_utility(users[order], clicked[order], predicted[order], 12, 3.0)
    assert np.allclose(one, other, rtol=0, atol=1e-12)


def test_one_class_alone_has_no_auc_and_nothing_to_gain():
    nobody = np.zeros(5, bool)
    assert math.isnan(m.area_under_curve(nobody, np.linspace(0, 1, 5)))
    assert math.isnan(m.relative_information_gain(np.array(0.1), m.entropy(np.array(0.0))))
    assert m.auc_by_group(np.zeros(0, int), nobody[:0], np.zeros(0), 2).tolist() == pytest.approx([math.nan] * 2, nan_ok=True)
