"""A day of features by processes that are killed at random points, or that meet: what an undisturbed run leaves."""

from __future__ import annotations

import os
import random
import shutil
import signal

import pytest
from feature_kills import LAST, Scene, copied, killed_somewhere, prepared, rows_of
from processes import complete, ended_at_last, refused, start, stopped_in
from test_features_days import day

from bannermap.features.job import STAGE
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import RUNS

KILLS = 5


@pytest.fixture(scope="module")
def before(spark, tmp_path_factory) -> Scene:
    """To be copied."""
    return prepared(spark, tmp_path_factory.mktemp("before"), seed=4)


@pytest.fixture(scope="module")
def expected(before, tmp_path_factory) -> dict[str, list[str]]:
    """What an undisturbed run leaves."""
    calm = copied(before, tmp_path_factory.mktemp("calm"))
    calm.rerun()
    return rows_of(calm.warehouse)


@pytest.mark.slow
def test_five_kills_at_random_points_lose_and_repeat_nothing(before, expected, tmp_path):
    rough, rng = copied(before, tmp_path), random.Random(4)
    killed = [killed_somewhere(rough, rng) for _ in range(KILLS)]
    assert any(killed)
    for _ in range(2):
        rough.rerun()
        assert rows_of(rough.warehouse) == expected
    assert not list((tmp_path / "warehouse/_staging").glob("build_user_features/*")), "nothing is left aside"


@pytest.mark.slow
def test_a_second_run_of_a_day_ends_with_7_while_the_first_writes_its_tables(before, expected, spark, tmp_path):
    scene, other = copied(before, tmp_path / "first"), tmp_path / "second" / before.config.name
    other.parent.mkdir()
    shutil.copy(scene.config, other)
    first = start(STAGE.name, scene.config, day(LAST))
    with ended_at_last(first):
        assert stopped_in(first, "write user_banner_days")
        second = start(STAGE.name, other, day(LAST))
        with ended_at_last(second):
            told = refused(second, other)
        assert f"Another run is at work: {STAGE.name} of {day(LAST)} on" in told and f"process {first.pid} " in told
        os.killpg(first.pid, signal.SIGCONT)
        complete(first, scene.config)
    assert rows_of(scene.warehouse) == expected
    ended = Warehouse(spark, scene.warehouse.root).read(RUNS).where("status = 'succeeded'").select("dt").collect()
    assert sorted(r["dt"] for r in ended) == [day(LAST - 1), day(LAST)]
