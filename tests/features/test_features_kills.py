"""A day of features, killed at random points and run again twice, leaves what an undisturbed run leaves."""

from __future__ import annotations

import random

import pytest
from feature_kills import copied, killed_somewhere, prepared, rows_of

KILLS = 5


@pytest.mark.slow
def test_five_kills_at_random_points_lose_and_repeat_nothing(spark, tmp_path):
    rough, rng = prepared(spark, tmp_path, seed=4), random.Random(4)
    calm = copied(rough, tmp_path / "calm")
    calm.rerun()
    expected = rows_of(calm.warehouse)
    killed = [killed_somewhere(rough, rng) for _ in range(KILLS)]
    assert any(killed)
    for _ in range(2):
        rough.rerun()
        assert rows_of(rough.warehouse) == expected
    assert not list((tmp_path / "scene/warehouse/_staging").glob("build_user_features/*")), "nothing is left aside"
