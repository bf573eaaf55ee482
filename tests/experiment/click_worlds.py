"""Logs drawn in numpy: users with tastes for clusters, clicks by a logistic law in which the user's past counts, or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.experiment.evaluation import Impressions
from bannermap.experiment.models import hashed


@dataclass(frozen=True)
class ClickWorld:
    """Impressions, the features of each row, and the probability that its click was drawn with."""

    impressions: Impressions
    features: np.ndarray
    probability: np.ndarray


def drawn(seed: int, effect: float, users: int = 300, per_day: int = 3, days: int = 4, base: float = -2.0) -> ClickWorld:
    """Users meet banners of clusters; what they did in the banner's cluster before is the feature, and moves the log-odds.

    Args:
        seed: of everything.
        effect: log-odds per unit of ln(1 + earlier clicks in the cluster), planted; 0 for none.
        users: how many.
        per_day: impressions of a user and day.
        days: of log; the last is for the test.
        base: log-odds of a click.
    """
    rng = np.random.default_rng([seed, 77])
    clusters, apps = 6, 3
    taste = rng.dirichlet(np.full(clusters, 0.5), users)
    past = rng.poisson(8 * taste)
    app_effect = rng.normal(0, 0.3, apps)
    n = users * per_day * days
    user = np.tile(np.repeat(np.arange(users), per_day), days)
    day = np.repeat(np.arange(days), users * per_day)
    cluster, app = rng.integers(0, clusters, n), rng.integers(0, apps, n)
    own = np.log1p(past[user, cluster])
    probability = 1 / (1 + np.exp(-(base + app_effect[app] + effect * (own - own.mean()))))
    clicked = rng.random(n) < probability
    names = np.array([f"app{a}" for a in range(apps)], object)[app]
    ids = hashed({"app_id": names, "cluster_of_banner": cluster})
    features = np.column_stack([own, np.log1p(past.sum(axis=1))[user]]).astype(np.float32)
    return ClickWorld(Impressions(day, user, clicked, ids, {"app_id": names}), features, probability)


def expected_difference(world: ClickWorld, rows: np.ndarray, baseline: np.ndarray, variant: np.ndarray) -> float:
    """The planted difference of log loss between two predictions: its mean under the probabilities that drew the clicks."""
    p = world.probability[rows]
    losses = [-(p * np.log(q) + (1 - p) * np.log1p(-q)) for q in (baseline, variant)]
    return float((losses[1] - losses[0]).mean())
