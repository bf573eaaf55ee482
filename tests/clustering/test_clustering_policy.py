"""The levels of both policies, and that what belongs to one of them leaves the other alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import KINDS, nested_groups

from bannermap.clustering import cluster_vectors
from bannermap.clustering.hierarchy import GRID_STEP, level_thresholds
from bannermap.clustering.policy import step_levels
from bannermap.platform.settings import AdaptiveSettings, ClusteringSettings

hundredths = st.integers(0, 100).map(lambda h: h / 100)


@given(hundredths, hundredths)
def test_adaptive_levels_are_all_the_hundredths_between_the_thresholds(low, high):
    low, high = sorted((low, high))
    levels = level_thresholds(ClusteringSettings(threshold_policy="adaptive", min_threshold=low, max_threshold=high))
    assert levels.dtype == np.float64
    assert levels.tolist() == [t for t in (low + j * GRID_STEP for j in range(len(levels) + 1)) if t <= high]
    assert abs(len(levels) - 1 - (Fraction(high) - Fraction(low)) / Fraction(GRID_STEP)) <= 1


def test_adaptive_levels_by_default_are_no_more_than_design_allows():
    settings = ClusteringSettings(threshold_policy="adaptive")
    levels = level_thresholds(settings)
    assert levels[0] == settings.first_threshold == settings.min_threshold
    assert len(levels) <= round((1.0 - settings.min_threshold) / GRID_STEP) + 1


@given(st.lists(st.floats(0.0, 2.0), min_size=2, max_size=2), hundredths, hundredths)
def test_steps_grow_with_looseness_and_keep_within_their_bounds(looseness, a, b):
    low, high = (max(GRID_STEP, x) for x in sorted((a, b)))
    rule = AdaptiveSettings(min_step=low, max_step=high)
    tight, loose = (step_levels(x, rule) for x in sorted(looseness))
    assert round(low / GRID_STEP) <= tight <= loose <= round(high / GRID_STEP)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_settings_of_one_policy_do_not_touch_the_other(kind):
    vectors = kind(np.random.default_rng(8), 200)
    other = AdaptiveSettings(step_per_looseness=1.0, min_step=0.01, max_step=0.2, reach_per_looseness=3.0, straggler_share=0.4)
    fixed = ClusteringSettings(min_threshold=0.9, adaptive=other)
    assert np.array_equal(cluster_vectors(vectors), cluster_vectors(vectors, fixed))
    settings = ClusteringSettings(threshold_policy="adaptive")
    moved = ClusteringSettings(threshold_policy="adaptive", initial_threshold=0.9, threshold_step=0.01)
    assert np.array_equal(cluster_vectors(vectors, settings), cluster_vectors(vectors, moved))


def test_the_policies_differ_on_groups_of_groups():
    vectors = nested_groups(np.random.default_rng(8), 300)
    adaptive = ClusteringSettings(threshold_policy="adaptive")
    assert not np.array_equal(cluster_vectors(vectors), cluster_vectors(vectors, adaptive))
