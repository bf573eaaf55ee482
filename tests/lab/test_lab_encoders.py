"""Which of several encoders is taken, and when none can be."""

from __future__ import annotations

import random

import pytest
from lab_worlds import pictures, tools

from bannermap.lab.comparing import compare
from bannermap.lab.encoders import ACROSS_ENCODERS, best_encoder
from bannermap.platform.settings import LabSettings


@pytest.mark.parametrize("seed", range(20))
def test_the_first_measure_that_all_encoders_have_decides(seed):
    rng = random.Random(seed)
    names = [f"e{n}" for n in range(rng.randint(2, 4))]
    figures = {n: {m: rng.random() for m in (*ACROSS_ENCODERS, "silhouette") if rng.random() < 0.8} for n in names}
    shared = [m for m in ACROSS_ENCODERS if all(m in f for f in figures.values())]
    found = best_encoder(figures, 0.01)
    if not shared:
        assert found.encoder_id is None and "lab.pairs" in found.reason
    else:
        assert figures[found.encoder_id][shared[0]] == max(f[shared[0]] for f in figures.values())
        assert shared[0] in found.reason


def test_a_small_difference_is_said_to_be_a_tie_and_scores_decide_nothing():
    near = {"a": {"pairs_right": 0.800, "silhouette": 0.1}, "b": {"pairs_right": 0.805, "silhouette": 0.9}}
    assert best_encoder(near, 0.01).encoder_id == "b" and "tie" in best_encoder(near, 0.01).reason
    assert "tie" not in best_encoder(near, 0.001).reason
    assert best_encoder({n: {"silhouette": f["silhouette"]} for n, f in near.items()}, 0.01).encoder_id is None
    assert best_encoder({"a": {}}, 0.01).encoder_id == "a"
    assert best_encoder({"a": {"pairs_right": float("nan")}, "b": {"pairs_right": 0.5}}, 0.01).encoder_id is None


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_a_recommendation_says_where_one_cluster_holds_too_much(share):
    settings = LabSettings(mode="fast", strategies=("recursive",), max_cluster_share=share, test_share=0.0, budget_s=1e6)
    found = compare("e", pictures(8, 300, spread=0.1), None, settings, tools(), 1.0, lambda text: None)
    assert found.outcome.recommendation.chosen
    assert ("one cluster holds" in found.outcome.recommendation.reason) == (share < 1.0)
