"""Two processes of `build_user_features` at once: the second run of a day ends, and the tables are those of one calm run."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from feature_kills import LAST, copied, prepared, rows_of
from processes import complete, ended_at_last, refused, start, stopped_in
from test_features_days import day

from bannermap.features.job import STAGE
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import RUNS


@pytest.mark.slow
def test_a_second_run_of_a_day_ends_with_7_while_the_first_writes_its_tables(spark, tmp_path):
    scene = prepared(spark, tmp_path, seed=4)
    calm = copied(scene, tmp_path / "calm")
    calm.rerun()
    other = tmp_path / "second" / scene.config.name
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
    assert rows_of(scene.warehouse) == rows_of(calm.warehouse)
    ended = Warehouse(spark, scene.warehouse.root).read(RUNS).where("status = 'succeeded'").select("dt").collect()
    assert sorted(r["dt"] for r in ended) == [day(LAST - 1), day(LAST)]
