"""The law by which users meet banners, against the weight of every banner for every user."""

from __future__ import annotations

import numpy as np
import pytest

from bannermap.sample.events import CURIOSITY, pick_banners

SLOTS = 60_000


def naive_chances(taste, theme, popularity):
    weights = [(taste[t] + CURIOSITY) * p for t, p in zip(theme, popularity, strict=True)]
    return np.array(weights) / sum(weights)


@pytest.mark.parametrize("seed", range(4))
def test_banners_are_met_by_taste_and_popularity(seed):
    rng = np.random.default_rng(seed)
    tastes = np.stack([np.array([0.0, 0.7, 0.3, 0.0, 0.0]), rng.dirichlet(np.full(5, 0.4))])
    theme = rng.choice([0, 1, 2, 4], size=30)  # the fourth theme has no banner today
    popularity = rng.exponential(1.0, 30)
    user = np.tile([0, 1], SLOTS // 2)
    picked = pick_banners(tastes[user], theme, popularity, rng)
    for who, taste in enumerate(tastes):
        chances = naive_chances(taste, theme, popularity)
        found = np.bincount(picked[user == who], minlength=30)
        deviation = np.sqrt(SLOTS / 2 * chances * (1 - chances))
        assert (np.abs(found - SLOTS / 2 * chances) < 4.5 * deviation + 1).all()


def test_one_banner_is_met_by_all():
    rng = np.random.default_rng(0)
    assert not pick_banners(rng.dirichlet(np.ones(3), 50), np.array([2]), np.array([0.1]), rng).any()
