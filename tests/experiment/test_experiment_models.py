"""What the models make of columns that say nothing."""

from __future__ import annotations

import click_worlds as worlds
import numpy as np
import pytest

from bannermap.experiment.models import Inputs, predictions
from bannermap.platform.settings import ExperimentSettings

SETTINGS = ExperimentSettings(models=("logistic",))


@pytest.mark.parametrize("constant", [0.1, 1e-3, 12345.678, 0.0])
def test_a_feature_without_differences_in_training_changes_no_prediction(constant):
    world = worlds.drawn(3, effect=0.0)
    train, test = np.flatnonzero(world.impressions.day < 3), np.flatnonzero(world.impressions.day == 3)
    features = np.full((len(world.impressions.day), 1), constant, np.float32)
    features[test] = np.random.default_rng(0).uniform(0, 5, (len(test), 1))
    clicked, ids = world.impressions.clicked, world.impressions.ids
    found = []
    for columns in (features, features[:, :0]):
        seen = Inputs(ids, columns)
        found.append(predictions("logistic", seen.rows(train), clicked[train], seen.rows(test), SETTINGS)[0])
    assert found[0] == pytest.approx(found[1], abs=1e-6)
