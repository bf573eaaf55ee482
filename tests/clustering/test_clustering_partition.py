"""The partition in one process against the oracle that searches again inside every component."""

from __future__ import annotations

import numpy as np
import pytest
from naive_recursion import NaiveRecursion
from worlds import KINDS, giant_with_stragglers, nested_groups, noise, unit

from bannermap.clustering import cluster_vectors
from bannermap.platform.errors import InputError
from bannermap.platform.settings import AdaptiveSettings, ClusteringSettings

SIZES = (2, 17, 60, 150, 300, 90, 240, 150, 60, 90, 200)
SHORT_STEPS = AdaptiveSettings(step_per_looseness=0.1, min_step=0.01, max_step=0.1, reach_per_looseness=0.2)
LONG_STEPS = AdaptiveSettings(step_per_looseness=0.7, min_step=0.01, max_step=0.3, straggler_share=0.3, reach_per_looseness=2.0)
VARIANTS = (
    {},
    {"split_search": "first"},
    {"k_neighbors": 3, "min_group_size": 3},
    {"initial_threshold": 0.5, "threshold_step": 0.02, "accept_cohesion": 0.99, "max_depth": 30, "k_neighbors": 5},
    {"initial_threshold": -0.9, "threshold_step": 0.2, "min_split_improvement": 0.0, "k_neighbors": 2},
    {"block_rows": 16, "k_neighbors": 7, "max_depth": 2},
    {"max_depth": 0},
    {"threshold_policy": "adaptive"},
    {"threshold_policy": "adaptive", "split_search": "first", "min_group_size": 3, "k_neighbors": 6},
    {"threshold_policy": "adaptive", "min_threshold": 0.05, "accept_cohesion": 0.99, "adaptive": SHORT_STEPS},
    {"threshold_policy": "adaptive", "min_threshold": 0.3, "min_split_improvement": 0.0, "max_depth": 2, "adaptive": LONG_STEPS},
)


def forty_groups_and_a_straggler() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = np.eye(40) + 2.0 / np.sqrt(40)
    rows = np.repeat(unit(centres), 25, axis=0) + 0.01 * rng.normal(size=(1000, 40))
    straggler = unit(unit(centres[:1]) + 1.2 * unit(rng.normal(size=(1, 40))))
    return unit(np.r_[rows, straggler])


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize("variant", range(len(VARIANTS)))
def test_partition_equals_searching_again_in_every_component(kind, variant):
    rng = np.random.default_rng([variant, KINDS.index(kind)])
    vectors = kind(rng, SIZES[variant])
    settings = ClusteringSettings(**VARIANTS[variant])
    expected = NaiveRecursion(vectors, settings).labels()
    assert np.array_equal(cluster_vectors(vectors, settings), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_partition_of_large_worlds(kind):
    rng = np.random.default_rng(99)
    vectors = kind(rng, 2000 if kind is nested_groups else 1000)
    assert np.array_equal(cluster_vectors(vectors), NaiveRecursion(vectors, ClusteringSettings()).labels())


@pytest.mark.parametrize("policy", ["fixed", "adaptive"])
def test_worlds_reach_every_outcome(policy):
    """The oracle test would prove little if all its worlds were accepted at once or fell to dust."""
    outcomes = set()
    for kind in KINDS:
        oracle = NaiveRecursion(kind(np.random.default_rng(5), 150), ClusteringSettings(threshold_policy=policy))
        labels = oracle.labels()
        outcomes |= {"outliers"} if (labels < 0).any() else set()
        outcomes |= {"several"} if labels.max() > 0 else set()
        outcomes |= {"cut twice"} if any(len(p) > 2 for p in oracle.path.values()) else set()
        outcomes |= {"fell out"} if any(labels[m] < 0 for m in oracle.path) else set()
    assert outcomes == {"outliers", "several", "cut twice", "fell out"}


@pytest.mark.parametrize("policy", ["fixed", "adaptive"])
@pytest.mark.parametrize("block_rows", [2, 31, 4096])
def test_labels_do_not_depend_on_row_order_or_blocks(block_rows, policy):
    rng = np.random.default_rng(3)
    vectors, ids = nested_groups(rng, 400), np.array([f"{x:08x}" for x in rng.permutation(10**6)[:400]])
    expected = cluster_vectors(vectors, ClusteringSettings(threshold_policy=policy), ids)
    shuffle = rng.permutation(len(ids))
    settings = ClusteringSettings(threshold_policy=policy, block_rows=block_rows)
    assert np.array_equal(cluster_vectors(vectors[shuffle], settings, ids[shuffle]), expected[shuffle])


def test_a_straggler_does_not_hide_forty_clean_groups():
    """The reason for looking ahead: the first cut only peels the straggler off."""
    vectors = forty_groups_and_a_straggler()
    rules = [{"split_search": "first"}, {}, {"threshold_policy": "adaptive"}]
    found = []
    for rule in rules:
        s = ClusteringSettings(initial_threshold=0.6, k_neighbors=30, **rule)
        labels = cluster_vectors(vectors, s)
        assert np.array_equal(labels, NaiveRecursion(vectors, s).labels())
        found.append(labels.max() + 1)
    assert found[0] < found[1] == found[2] == 40


def test_empty_single_and_identical_vectors():
    assert cluster_vectors(np.empty((0, 4), np.float32)).tolist() == []
    assert cluster_vectors(unit([[1, 2]])).tolist() == [-1]
    assert cluster_vectors(np.repeat(unit([[1, 2, 3]]), 200, axis=0)).tolist() == [0] * 200


def test_vectors_that_are_not_numbers_are_refused_with_the_row():
    vectors = noise(np.random.default_rng(0), 10)
    vectors[7, 1] = np.nan
    with pytest.raises(InputError, match="first in row 7"):
        cluster_vectors(vectors)
    with pytest.raises(InputError, match="distinct"):
        cluster_vectors(noise(np.random.default_rng(0), 3), ids=[1, 1, 2])
    with pytest.raises(InputError, match="matrix"):
        cluster_vectors(np.ones(3))


def test_giant_component_is_cut_like_any_other():
    vectors = giant_with_stragglers(np.random.default_rng(1), 500)
    labels = cluster_vectors(vectors, ClusteringSettings(initial_threshold=0.5))
    assert np.array_equal(labels, NaiveRecursion(vectors, ClusteringSettings(initial_threshold=0.5)).labels())
