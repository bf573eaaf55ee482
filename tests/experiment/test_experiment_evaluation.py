"""A planted effect is found in its interval, none is claimed without one, shuffled features help only where something leaks."""

from __future__ import annotations

import math

import click_worlds as worlds
import numpy as np
import pytest

from bannermap.experiment import evaluation as v
from bannermap.experiment.export import split_for_export
from bannermap.experiment.verdict import CANNOT_TELL, HELPS
from bannermap.platform.errors import InputError
from bannermap.platform.settings import BoostingSettings, ExperimentSettings

QUICK = ExperimentSettings(
    models=("logistic",), bootstrap_replicates=200, min_slice_clicks=20, gradient_boosting=BoostingSettings(threads=1, trees=60)
)
SEEDS_WITHOUT, MOST_CLAIMS = 100, 5
SEEDS_WITH, LEAST_INSIDE = 40, 33
"""Fewer than 33 of 40 intervals at 95 % that hold what they should have a chance of 0.1 %."""


def overall(world, settings=QUICK, variants=None):
    result = v.trained(world.impressions, {v.FEATURES: world.features} if variants is None else variants, 1, settings)
    found = v.compared(world.impressions, result, settings)
    return result, found, [c for c in found if c.kind == v.ALL]


@pytest.mark.slow
def test_without_an_effect_hardly_any_seed_claims_one():
    words = [overall(worlds.drawn(seed, effect=0.0))[2][0].verdict.word for seed in range(SEEDS_WITHOUT)]
    assert words.count(HELPS) <= MOST_CLAIMS


@pytest.mark.slow
def test_a_planted_effect_is_found_within_its_interval():
    inside = 0
    for seed in range(SEEDS_WITH):
        world = worlds.drawn(seed, effect=1.2)
        result, _, (found,) = overall(world)
        assert found.verdict.word == HELPS
        predicted = result.by_model["logistic"]
        planted = worlds.expected_difference(world, result.test, predicted[v.BASELINE], predicted[v.FEATURES])
        loss = found.differences["log_loss"]
        assert planted < 0 and found.differences["auc"].low > 0 and found.differences["rig_test_prior"].low > 0
        inside += loss.low <= planted <= loss.high
    assert inside >= LEAST_INSIDE


def test_both_models_find_the_effect_and_the_same_rows_give_the_same_result():
    world = worlds.drawn(1, effect=1.5, users=500)
    settings = QUICK.model_copy(update={"models": ("logistic", "gradient_boosting")})
    runs = [overall(world, settings)[1] for _ in range(2)]
    assert [(c.model, c.verdict.word) for c in runs[0] if c.kind == v.ALL] == [("logistic", HELPS), ("gradient_boosting", HELPS)]
    assert runs[0] == runs[1] and {c.kind for c in runs[0]} == {v.ALL, "app_id"}
    whole, parts = ([c for c in runs[0] if (c.kind == v.ALL) == whole and c.model == "logistic"] for whole in (True, False))
    assert sum(c.rows for c in parts) == whole[0].rows and sum(c.clicks for c in parts) == whole[0].clicks
    mean = sum(c.variant_values["log_loss"] * c.rows for c in parts) / whole[0].rows
    assert mean == pytest.approx(whole[0].variant_values["log_loss"])


def test_shuffled_features_keep_the_day_and_help_nobody():
    world = worlds.drawn(2, effect=1.5)
    variants = v.with_placebos({v.FEATURES: world.features, v.FUTURE: world.features * 2}, world.impressions.day, QUICK.seed)
    assert set(variants) == {v.FEATURES, v.FUTURE, v.PLACEBO, v.SHUFFLED_FUTURE}
    for name, source in ((v.PLACEBO, v.FEATURES), (v.SHUFFLED_FUTURE, v.FUTURE)):
        for day in range(4):
            here = world.impressions.day == day
            assert sorted(map(tuple, variants[name][here])) == sorted(map(tuple, variants[source][here]))
        assert (variants[name] != variants[source]).any()
    _, found, whole = overall(world, variants=variants)
    words = {c.variant: c.verdict.word for c in whole}
    assert words[v.FEATURES] == words[v.FUTURE] == HELPS and not v.leaks(found)
    assert {c.variant for c in found if c.kind != v.ALL} == {v.FEATURES, v.PLACEBO, v.SHUFFLED_FUTURE}


def test_features_that_tell_the_day_raise_the_alarm_and_say_where():
    """On every other day clicks are many, and the features carry their day's own click rate, whoever's they are."""
    rng = np.random.default_rng(3)
    day = np.repeat(np.arange(8), 900)
    rate = np.where(day % 2, 0.5, 0.05)
    clicked = rng.random(len(day)) < rate
    impressions = v.Impressions(
        day, rng.integers(0, 400, len(day)), clicked, np.zeros((len(day), 1), np.uint64), {"app_id": np.full(len(day), "a")}
    )
    leaking = (rate[:, None] + rng.normal(0, 0.02, (len(day), 1))).astype(np.float32)
    variants = v.with_placebos({v.FEATURES: leaking}, day, 7)
    result = v.trained(impressions, variants, 2, QUICK)
    alarms = v.leaks(v.compared(impressions, result, QUICK))
    assert ("day", "1970-01-08") in {(c.kind, c.value) for c in alarms} and {c.variant for c in alarms} == {v.PLACEBO}


@pytest.mark.parametrize("who", ["train", "test"])
def test_rows_without_a_click_are_refused(who):
    world = worlds.drawn(4, effect=0.0).impressions
    nobody = (world.day < 3) if who == "train" else (world.day == 3)
    with pytest.raises(InputError, match="clicks"):
        v.trained(v.Impressions(world.day, world.user, world.clicked & ~nobody, world.ids), {}, 1, QUICK)


@pytest.mark.parametrize(("who", "first", "last"), [("training", 0, 2), ("test", 3, 3)])
def test_rows_that_could_have_no_features_are_refused(who, first, last):
    world = worlds.drawn(4, effect=0.0)
    late = np.where(((world.impressions.day >= first) & (world.impressions.day <= last))[:, None], 0.0, world.features)
    with pytest.raises(InputError, match=f"{who} impressions could have had any feature.*later --date"):
        v.trained(world.impressions, {v.FEATURES: late.astype(np.float32)}, 1, QUICK)


def test_slices_with_too_few_clicks_are_left_out_and_counted():
    world = worlds.drawn(5, effect=0.0).impressions
    names = np.where(np.arange(len(world.day)) % 50 == 0, "rare", world.slices["app_id"]).astype(object)
    sliced = v.Impressions(world.day, world.user, world.clicked, world.ids, {"app_id": names})
    result = v.trained(sliced, {}, 2, QUICK)
    kinds = {(s.kind, s.value) for s in v.judged_slices(sliced, result.test, QUICK)}
    assert ("app_id", "rare") not in kinds and {("app_id", "app0"), (v.ALL, v.ALL), ("day", "1970-01-04")} <= kinds
    found = v.compared(sliced, v.trained(sliced, {v.FEATURES: names[:, None] == "rare"}, 2, QUICK), QUICK)
    assert v.slices_left_out(sliced, result.test, found) == {"day": 0, "app_id": 1}
    assert all(math.isfinite(c.differences["auc"].standard_error) for c in found)


@pytest.mark.parametrize(("users", "judged"), [(1, False), (3, False), (29, False), (30, True)])
def test_slices_of_few_users_are_left_out_and_raise_no_alarm(users, judged):
    """Of one user every resample is the same, and any difference at all would look certain."""
    world = worlds.drawn(6, effect=1.5, users=400)
    many = np.isin(world.impressions.user, np.arange(users))
    rows = np.concatenate([np.arange(len(many)), *[np.flatnonzero(many)] * (60 // users)])
    own = np.where(many[rows], "few", "many").astype(object)
    parts = (world.impressions.day, world.impressions.user, world.impressions.clicked, world.impressions.ids)
    sliced = v.Impressions(*(part[rows] for part in parts), {"app_id": own})
    settings = QUICK.model_copy(update={"min_slice_clicks": 1})
    variants = v.with_placebos({v.FEATURES: world.features[rows]}, sliced.day, 7)
    result = v.trained(sliced, variants, 1, settings)
    found = v.compared(sliced, result, settings)
    assert ("few" in {c.value for c in found}) == judged and "many" in {c.value for c in found}
    assert v.slices_left_out(sliced, result.test, found) == {"app_id": 0 if judged else 1}
    assert not v.leaks(found)


def test_a_log_of_one_user_raises_no_alarm():
    rng = np.random.default_rng(1)
    day, clicked = np.repeat(np.arange(4), 200), rng.random(800) < 0.3
    alone = v.Impressions(day, np.zeros(800, np.int64), clicked, np.zeros((800, 1), np.uint64))
    variants = {v.FEATURES: clicked[:, None].astype(np.float32), v.PLACEBO: clicked[:, None].astype(np.float32)}
    found = v.compared(alone, v.trained(alone, variants, 1, QUICK), QUICK)
    assert {c.verdict.word for c in found} == {CANNOT_TELL} and not v.leaks(found)


def test_the_days_to_predict_are_those_of_the_calendar():
    day = np.array([20, 20, 21, 24, 24])
    assert v.in_test_days(day, 3).tolist() == [False, False, False, True, True]
    assert split_for_export(day, 3).tolist() == [0, 0, 1, 2, 2]
    assert split_for_export(day, 4).tolist() == [0, 0, 2, 2, 2]  # one training day: it is for validation, too
