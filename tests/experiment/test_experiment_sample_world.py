"""The sample world's clicks, whose probabilities are known: what taste plants is found in its interval, nothing without."""

from __future__ import annotations

import datetime

import click_worlds as worlds
import numpy as np
import pandas as pd
import pytest

from bannermap.experiment import cluster_features as c
from bannermap.experiment import evaluation as v
from bannermap.experiment.models import hashed
from bannermap.experiment.verdict import HELPS
from bannermap.platform.settings import ExperimentSettings
from bannermap.platform.tables import EVENT_TYPES, WINDOWS_DAYS
from bannermap.sample.events import draw_day, draw_users
from bannermap.sample.lives import draw_campaigns, draw_renditions
from bannermap.sample.logs import draw_banner_plan
from bannermap.sample.plan import THEMES, WorldSize

SIZE, DAYS = WorldSize(12, 1.0, 3.0, 1.0, 200, 5.0), 5
SETTINGS = ExperimentSettings(models=("logistic",), bootstrap_replicates=300, min_slice_clicks=10_000)
CHOICE = c.FeatureChoice(blocks=("cluster", "theme", "all"), events=("impression", "click"), windows=(7,), themes=len(THEMES))


def drawn(seed: int, taste_log_odds: float) -> worlds.ClickWorld:
    """Days of the sample world as the experiment sees them, clusters being the creative groups themselves."""
    campaigns = draw_campaigns(SIZE, DAYS, seed)
    plans = [(r, draw_banner_plan(r, repr(r).encode(), "png", DAYS, seed)) for r in draw_renditions(campaigns, SIZE, DAYS, seed)]
    creative = {b.banner_id: (r.creative.number, THEMES.index(r.creative.theme) + 1) for r, b in plans}
    users, banners = draw_users(SIZE, seed), [b for _, b in plans]
    days = [draw_day(banners, users, n, SIZE, seed, taste_log_odds) for n in range(DAYS)]
    events = pd.concat([e for e, _ in days], ignore_index=True)
    truth = pd.concat([t for _, t in days], ignore_index=True)
    shown = events[events.event_type == "impression"].reset_index(drop=True)
    first = datetime.date(1970, 1, 1)
    day = np.array([(d - first).days for d in truth.dt])
    assert (shown.user_id == truth.user_id).all() and (shown.banner_id == truth.banner_id).all()
    keys, features = sorted(set(zip(truth.user_id, day, strict=True))), histories(events, creative, first)
    number = {key: n for n, key in enumerate(keys)}
    pairs = [(number[u, d], *cluster, counts) for (u, d, cluster), counts in features.items() if (u, d) in number]
    arrays = c.Histories(*(np.array([p[i] for p in pairs]) for i in range(3)), np.array([p[3] for p in pairs]), len(keys))
    own = np.array([creative[b] for b in truth.banner_id])
    row_history = np.array([number[key] for key in zip(truth.user_id, day, strict=True)])
    made = c.cluster_features(arrays, row_history, own[:, 0], own[:, 1], CHOICE)
    ids = hashed({n: shown[n].to_numpy(object) for n in ("app_id", "placement_id", "banner_id")})
    later = day > day.min()
    user = np.unique(truth.user_id, return_inverse=True)[1]
    impressions = v.Impressions(day[later], user[later], truth.clicked.to_numpy()[later], ids[later])
    return worlds.ClickWorld(impressions, made[later], truth.click_probability.to_numpy()[later])


def histories(events: pd.DataFrame, creative: dict, first: datetime.date) -> dict:
    """(user, day of impression, (cluster, slot)) -> counts (windows, events), of the days before it."""
    found: dict = {}
    at = events.assign(day=[(d - first).days for d in events.event_ts.dt.date])
    last = at.day.max()
    for (user, banner, day, kind), n in at.groupby(["user_id", "banner_id", "day", "event_type"]).size().items():
        for later in range(day + 1, last + 1):
            counts = found.setdefault((user, later, creative[banner]), np.zeros((len(WINDOWS_DAYS), len(EVENT_TYPES)), int))
            counts[[w >= later - day for w in WINDOWS_DAYS], EVENT_TYPES.index(kind)] += n
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("taste_log_odds", "helps"), [(6.0, True), (0.0, False)])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_taste_plants_is_found_within_its_interval(seed, taste_log_odds, helps):
    world = drawn(seed, taste_log_odds)
    result = v.trained(world.impressions, {v.FEATURES: world.features}, 2, SETTINGS)
    found = v.compared(world.impressions, result, SETTINGS)[0]
    predicted = result.by_model["logistic"]
    planted = worlds.expected_difference(world, result.test, predicted[v.BASELINE], predicted[v.FEATURES])
    loss = found.differences["log_loss"]
    assert (found.verdict.word == HELPS) == helps
    assert abs(planted - loss.value) < 3.3 * loss.standard_error  # 1 of 1000
    assert planted < 0 or not helps
