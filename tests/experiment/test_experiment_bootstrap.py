"""The bootstrap against one that copies rows, and against the known error of a mean; the verdict's words and numbers of rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_experiment_metrics import world

from bannermap.experiment import bootstrap as b
from bannermap.experiment import metrics as m
from bannermap.experiment.verdict import CANNOT_TELL, HELPS, HURTS, judged, rows_needed

SCORING = b.Scoring(train_click_rate=0.3, half_life=4.0, bins=3, replicates=25, seed=5)


def plain(users, clicked, predicted, bins_of_all):
    """All metrics of rows, from the metrics' own functions on copied rows; a user drawn twice is two users."""
    n, loss = len(users), m.log_losses(clicked, predicted).mean()
    names, codes = np.unique(users, return_inverse=True)
    own, rows = m.auc_by_group(codes, clicked, predicted, len(names)), np.bincount(codes)
    known = ~np.isnan(own)
    reached, best = m.half_life_utility(codes, clicked, predicted, len(names), SCORING.half_life)
    gaps = [sum((predicted - clicked)[bins_of_all == k]) for k in range(SCORING.bins)]
    gain = [1 - loss / m.log_losses(clicked, np.full(n, p)).mean() if 0 < p < 1 else math.nan for p in (0.3, clicked.mean())]
    return {
        "log_loss": loss,
        "rig_train_prior": gain[0],
        "rig_test_prior": gain[1],
        "auc": m.area_under_curve(clicked, predicted),
        "grouped_auc": (own * rows)[known].sum() / rows[known].sum() if known.any() else math.nan,
        "calibration": predicted.sum() / clicked.sum() if clicked.any() else math.nan,
        "expected_calibration_error": sum(map(abs, gaps)) / n,
        "rank_score": reached.sum() / best.sum() if best.any() else math.nan,
    }


@pytest.mark.parametrize("seed", range(12))
def test_every_metric_and_resample_is_that_of_copied_rows(seed, monkeypatch):
    users, clicked, predicted = world(seed)
    users = users * 7 + 3
    monkeypatch.setattr(b, "CELLS_PER_CHUNK", 4 * len(np.unique(users)))
    found = b.scored(users, clicked, {"one": predicted, "two": np.sqrt(predicted)}, SCORING)
    names, codes = np.unique(users, return_inverse=True)
    draws = np.concatenate(list(b._weights(len(names), SCORING)))[1:].astype(int)
    assert len(draws) == SCORING.replicates and (draws.sum(axis=1) == len(names)).all()
    for name, q in (("one", predicted), ("two", np.sqrt(predicted))):
        bins = m.equal_mass_bins(q, SCORING.bins)
        expected = plain(users, clicked, q, bins)
        assert {k: v.value for k, v in found[name].items()} == pytest.approx(expected, abs=1e-9, nan_ok=True)
        for number, drawn in enumerate(draws):
            copies = np.concatenate([np.flatnonzero(codes == u) for u in range(len(names)) for _ in range(drawn[u])])
            who = np.concatenate([np.full((codes == u).sum(), u * 1000 + c) for u in range(len(names)) for c in range(drawn[u])])
            expected = plain(who, clicked[copies], q[copies], bins[copies])
            got = {k: v.replicates[number] for k, v in found[name].items()}
            assert got == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_the_standard_error_of_a_mean_is_the_known_one():
    rng = np.random.default_rng(0)
    users, clicked = np.repeat(np.arange(400), 3), rng.random(1200) < 0.3
    one, two = rng.uniform(0.1, 0.9, 1200), rng.uniform(0.1, 0.9, 1200)
    found = b.scored(users, clicked, {"one": one, "two": two}, b.Scoring(0.3, replicates=4000))
    loss = b.difference(found["two"]["log_loss"], found["one"]["log_loss"])
    by_user = (m.log_losses(clicked, two) - m.log_losses(clicked, one)).reshape(400, 3).mean(axis=1)
    assert loss.value == pytest.approx(by_user.mean())
    assert loss.standard_error == pytest.approx(by_user.std() / 20, rel=0.05)
    assert (loss.low, loss.high) == pytest.approx(
        (loss.value - 1.96 * loss.standard_error, loss.value + 1.96 * loss.standard_error), abs=0.1 * loss.standard_error * 2
    )


def test_words_follow_the_interval_and_the_number_of_comparisons():
    def word(value, error, comparisons=1):
        loss = b.Difference(value, value - 1.96 * error, value + 1.96 * error, error)
        return judged(loss, 1000, 300, 0.2, 0.01, comparisons).word

    assert (word(-0.03, 0.01), word(0.03, 0.01), word(-0.01, 0.01)) == (HELPS, HURTS, CANNOT_TELL)
    assert word(-0.03, 0.01, comparisons=50) == CANNOT_TELL
    assert word(0.0, 0.0) == word(math.nan, math.nan) == CANNOT_TELL


@pytest.mark.parametrize("users", [1, 2, 3, 9])
def test_of_a_few_users_nothing_can_be_said(users):
    rng = np.random.default_rng(users)
    who, clicked = np.repeat(np.arange(users), 200), rng.random(200 * users) < 0.3
    one, two = np.full(200 * users, 0.3), np.full(200 * users, 0.31)
    found = b.scored(who, clicked, {"one": one, "two": two}, b.Scoring(0.3, replicates=200))
    verdict = judged(b.difference(found["two"]["log_loss"], found["one"]["log_loss"]), len(who), users, 0.6, 0.01)
    assert verdict.word == CANNOT_TELL and math.isnan(verdict.p_value)
    assert verdict.rows_for_observed == verdict.rows_for_smallest == math.inf


@pytest.mark.parametrize(("value", "error"), [(0.0, 0.0), (-0.03, 0.0), (-0.03, math.nan)])
def test_without_a_standard_error_nothing_can_be_said(value, error):
    verdict = judged(b.Difference(value, value, value, error), 1000, 300, 0.2, 0.01)
    assert verdict.word == CANNOT_TELL and math.isnan(verdict.p_value) and verdict.rows_for_observed == math.inf


def test_rows_needed_show_the_difference_as_often_as_promised():
    rng = np.random.default_rng(1)
    mean, deviation, seen = 0.05, 1.0, 500
    rows = int(rows_needed(seen, deviation / math.sqrt(seen), mean))
    assert rows == pytest.approx((2.8016 * deviation / mean) ** 2, rel=0.001)
    draws = rng.normal(mean, deviation, (2000, rows))
    shown = np.abs(draws.mean(axis=1)) > 1.96 * deviation / math.sqrt(rows)
    assert 0.77 < shown.mean() < 0.83
    assert rows_needed(10, 0.1, 0.0) == math.inf
