"""Two processes of one job at once on one warehouse: of a day one wins, two days both end well, and the tables are those of calm
runs. That runs overlap is made certain by stopping one of them in the middle."""

from __future__ import annotations

import datetime
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import checksums, complete, ended_at_last, overlay, refused, said, start, stopped_in
from repository import ROOT

from bannermap.platform.cli import run_stage
from bannermap.platform.config import load_settings
from bannermap.platform.running import running_runs
from bannermap.platform.settings import SampleSettings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import RUNS
from bannermap.registry.job import PHASES, STAGE
from bannermap.sample.world import FIRST_DAY, write_world

JOB = STAGE.name
FIRST, SECOND = FIRST_DAY, FIRST_DAY + datetime.timedelta(days=1)
BEGINNING, MIDDLE = PHASES[0], "merge into banners"
"""Of the job: before it writes anything, and when it has written the day and not what follows from it."""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("at-once") / "world"
    write_world(SampleSettings(size="tiny", days=2, seed=3, out=str(out)))
    return out


@pytest.fixture(scope="module")
def calm(world, spark, tmp_path_factory) -> list[dict[str, str]]:
    """Checksums after the first day, and after both, one after the other."""
    home = tmp_path_factory.mktemp("calm")
    settings = load_settings(ROOT / "conf/base.yaml", [overlay(world, home)])
    found = []
    for day in (FIRST, SECOND):
        run_stage(STAGE, Warehouse(spark, settings.paths.warehouse), settings, day)
        found.append(checksums(spark, home))
    return found


@pytest.fixture
def configs(world, tmp_path) -> list[Path]:
    """Of two processes, on one warehouse in the first one's folder."""
    return [overlay(world, tmp_path / name, warehouse=f"{tmp_path}/one/warehouse") for name in ("one", "two")]


def recorded(spark, home: Path) -> list[tuple]:
    warehouse = Warehouse(spark, f"{home}/warehouse")
    return sorted((r["job"], r["dt"], r["status"]) for r in warehouse.read_or_empty(RUNS).collect())


@pytest.mark.slow
def test_a_second_run_of_a_day_ends_with_7_and_leaves_no_trace_while_the_first_is_writing(world, calm, configs, spark, tmp_path):
    home = tmp_path / "one"
    first = start(JOB, configs[0], FIRST)
    with ended_at_last(first):
        assert stopped_in(first, MIDDLE)
        before = checksums(spark, home)
        assert "banner_days" in before and "registry_days" not in before
        second = start(JOB, configs[1], FIRST)
        with ended_at_last(second):
            told = refused(second, configs[1])
        assert f"Another run is at work: {JOB} of {FIRST} on {socket.gethostname()}, process {first.pid} " in told
        assert "Nothing was written" in told
        assert checksums(spark, home) == before and recorded(spark, home) == []
        assert [run.pid for run in running_runs(spark, f"{home}/warehouse")] == [first.pid]
        os.killpg(first.pid, signal.SIGCONT)
        complete(first, configs[0])
    assert checksums(spark, home) == calm[0]
    assert recorded(spark, home) == [(JOB, FIRST, "succeeded")] and running_runs(spark, f"{home}/warehouse") == []


@pytest.mark.slow
def test_of_two_that_start_together_one_writes_the_day(world, calm, configs, spark, tmp_path):
    both = [start(JOB, config, FIRST) for config in configs]
    with ended_at_last(*both):
        with ThreadPoolExecutor(2) as pool:
            reached = list(pool.map(lambda process: stopped_in(process, BEGINNING), both))
        assert sorted(reached) == [False, True], "one went to work, and was stopped there until the other had ended"
        winner, loser = (reached.index(won) for won in (True, False))
        assert f"process {both[winner].pid} " in refused(both[loser], configs[loser])
        os.killpg(both[winner].pid, signal.SIGCONT)
        complete(both[winner], configs[winner])
    assert checksums(spark, tmp_path / "one") == calm[0]
    assert recorded(spark, tmp_path / "one") == [(JOB, FIRST, "succeeded")]


@pytest.mark.slow
def test_two_days_at_once_give_the_tables_of_one_after_the_other(world, calm, configs, spark, tmp_path):
    """The first is stopped when it has read the days that there are: a second that went on beside it would be overlooked."""
    first = start(JOB, configs[0], FIRST)
    with ended_at_last(first):
        assert stopped_in(first, MIDDLE)
        second = start(JOB, configs[1], SECOND)
        with ended_at_last(second):
            said(second, f"waiting for {JOB} of {FIRST}")
            os.killpg(first.pid, signal.SIGCONT)
            complete(first, configs[0])
            complete(second, configs[1])
    assert checksums(spark, tmp_path / "one") == calm[1]
    assert recorded(spark, tmp_path / "one") == [(JOB, FIRST, "succeeded"), (JOB, SECOND, "succeeded")]
