"""A range of days by ``airflow backfill create``, with a scheduler that runs them."""

from __future__ import annotations

import datetime
import itertools
import os
from pathlib import Path

import pytest
from airflow_services import Airflow, by_hand, installed, needs_airflow, served, tiny_world
from processes import checksums
from repository import ROOT

from bannermap.platform.status import CHAIN
from bannermap.sample.world import days_of

BEGINS, ENDS, FAILS = "begins", "ends", "fails"
STUB = f"""#!/bin/sh
day=$(printf '%s\\n' "$@" | tail -n 1)
echo "{BEGINS} $day $*" >> {{folder}}/log
sleep 1
if [ -e {{folder}}/fails-$day ]; then echo "{FAILS} $day $*" >> {{folder}}/log; exit 3; fi
echo "{ENDS} $day $*" >> {{folder}}/log
"""


def backfilled(airflow: Airflow, days: list[datetime.date], *options: str, limit_s: float = 600) -> list[tuple]:
    """Type, day and state of all runs, after a scheduler has done a backfill of the days and closed it."""
    end = f"{days[-1]}T23:59"
    airflow.run("dags", "unpause", "banner_features")
    line = ["backfill", "create", "--dag-id", "banner_features", "--from-date", str(days[0]), "--to-date", end]
    airflow.run(*line, "--max-active-runs", "1", *options)
    with served(airflow):
        airflow.wait_while("select id from backfill where completed_at is null", limit_s)
        return airflow.asked("select run_type, substr(data_interval_start, 1, 10), state from dag_run order by logical_date")


def submitted(folder: Path) -> list[tuple[str, str, str]]:
    """What stubs tell since the last time: what happened, day and job."""
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    (folder / "log").unlink()
    return [(what, day, next(word for word in words if word in CHAIN)) for what, day, *words in lines]


def in_order(days: list[datetime.date]) -> list[tuple[str, str, str]]:
    """Every job of every day, each of which ends before the next begins."""
    return [(what, str(day), job) for day, job in itertools.product(days, CHAIN) for what in (BEGINS, ENDS)]


@needs_airflow
@pytest.mark.slow
def test_days_come_in_order_whatever_fails_and_none_of_the_schedule_beside_them(tmp_path):
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "spark-submit.sh").write_text(STUB.format(folder=stub))
    (stub / "spark-submit.sh").chmod(0o755)
    now = datetime.datetime.now(datetime.UTC)
    hour = (now.hour + 12) % 24  # no day of the schedule ends while the test runs
    newest = (now - datetime.timedelta(days=1, hours=hour)).date()
    days = [newest - datetime.timedelta(days=ago) for ago in (2, 1, 0)]
    states = [("backfill", str(day), "success") for day in days]
    airflow = installed(tmp_path / "af", BANNERMAP_HOME=str(stub), BANNERMAP_HOUR=str(hour))
    airflow.run("dags", "reserialize")
    assert backfilled(airflow, days) == states, "the newest day of the schedule is in the backfill, and comes last"
    assert submitted(stub) == in_order(days)

    (stub / f"fails-{days[1]}").touch()
    found = backfilled(airflow, days, "--reprocess-behavior", "completed")
    assert found == [states[0], ("backfill", str(days[1]), "failed"), states[2]], "a day that fails does not hold up the next"
    fails = [(what, str(days[1]), "dedupe_banners") for what in (BEGINS, FAILS)]
    assert submitted(stub) == [*in_order(days[:1]), *fails, *in_order(days[2:])], "bad input is not tried again"

    (stub / f"fails-{days[1]}").unlink()
    assert backfilled(airflow, days, "--reprocess-behavior", "failed") == states
    assert submitted(stub) == in_order(days[1:2])


@needs_airflow
@pytest.mark.slow
def test_a_backfill_leaves_the_tables_of_days_run_by_hand(tmp_path, spark):
    many = int(os.environ.get("BANNERMAP_AIRFLOW_DAYS", "2"))
    sample, config = tiny_world(tmp_path, many)
    days = days_of(sample)
    airflow = installed(tmp_path / "af", BANNERMAP_CONFIG=str(config), PYTHONPATH=f"{ROOT}/src")
    airflow.run("dags", "reserialize")
    runs = backfilled(airflow, days, limit_s=1200.0 * many)
    done = [(day, state) for kind, day, state in runs if kind == "backfill"]
    assert done == [(str(day), "success") for day in days], airflow.logs()
    by_hand(spark, sample, tmp_path / "hand")
    assert checksums(spark, tmp_path / "airflow") == checksums(spark, tmp_path / "hand")
