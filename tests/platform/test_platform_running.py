"""What is left of a run that was killed, and that nothing is left of one that ended."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bannermap.platform.claims import process_of
from bannermap.platform.cli import Stage, run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.running import FOLDER, RunningRun, forget_running, note_running, running_runs
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import RUNS

DAY, NEXT = datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)
BEGAN = datetime.datetime(2026, 1, 2, 2, 10, tzinfo=datetime.UTC)


def names(warehouse) -> list[str]:
    return sorted(p.name for p in (Path(warehouse.root) / FOLDER).iterdir())


def test_a_run_is_noted_with_its_phase_while_it_runs_and_gone_when_it_ends(warehouse, base_settings):
    seen = []

    def work(context):
        seen.extend(running_runs(warehouse.spark, warehouse.root))
        with context.phase("half way"):
            seen.extend(running_runs(warehouse.spark, warehouse.root))
            if context.dt == NEXT:
                raise InputError("no such day")

    run = run_stage(Stage("job", work), warehouse, base_settings, DAY)
    assert [(r.run_id, r.job, r.dt, r.started_at) for r in seen] == [(run.run_id, "job", DAY, run.started_at)] * 2
    assert [r.phase for r in seen] == [None, "half way"] and all(r.alive for r in seen)
    with pytest.raises(InputError):
        run_stage(Stage("job", work), warehouse, base_settings, NEXT)
    assert running_runs(warehouse.spark, warehouse.root) == [] and names(warehouse) == []
    assert {r.failed_phase for r in warehouse.read(RUNS).collect()} == {None, "half way"}


def test_a_failure_that_a_stage_bore_is_not_the_one_it_failed_of(warehouse, base_settings):
    def work(context):
        with contextlib.suppress(KeyError), context.phase("borne"):
            raise KeyError
        with context.phase("outer"), context.phase("inner"):
            raise InputError("no such day")

    with pytest.raises(InputError):
        run_stage(Stage("job", work), warehouse, base_settings, DAY)
    assert [r.failed_phase for r in warehouse.read(RUNS).collect()] == ["inner"]


def test_a_run_that_ended_takes_the_killed_ones_of_its_job_and_day_with_it(spark, warehouse):
    runs = [RunningRun(name, job, dt, BEGAN) for name, job, dt in (("a", "j", DAY), ("b", "j", NEXT), ("c", "jj", DAY))]
    for run in runs:
        note_running(spark, warehouse.root, run)
    forget_running(spark, warehouse.root, "j", DAY)
    assert [r.run_id for r in running_runs(spark, warehouse.root)] == ["b", "c"]


def test_notes_that_were_cut_off_are_passed_over(spark, warehouse):
    note_running(spark, warehouse.root, RunningRun("a", "j", DAY, BEGAN, "p"))
    for name, text in (("b.json", ""), ("c.json", '{"run_id": "c"'), ("d.json", "[]"), ("e.json", '{"dt": 3}')):
        (Path(warehouse.root) / FOLDER / name).write_text(text)
    (found,) = running_runs(spark, warehouse.root)
    assert (found.run_id, found.phase, found.pid, found.alive) == ("a", "p", os.getpid(), True)


def test_who_is_alive(spark, warehouse):
    note_running(spark, warehouse.root, RunningRun("a", "j", DAY, BEGAN))
    (here,) = running_runs(spark, warehouse.root)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    process = process_of(ended.pid)
    ended.wait()
    assert here.alive is True and replace(here, pid=ended.pid, process=process).alive is False
    assert replace(here, process=f"{os.getpid()}:1").alive is False  # another process had the number then
    assert replace(here, machine="a container of the same name").alive is None


def test_notes_of_older_code_are_judged_by_host_and_number_alone(spark, warehouse):
    note = {"run_id": "a", "job": "j", "dt": DAY.isoformat(), "started_at": BEGAN.isoformat(), "phase": None}
    (Path(warehouse.root) / FOLDER).mkdir(parents=True)
    (Path(warehouse.root) / FOLDER / "a.json").write_text(json.dumps({**note, "host": socket.gethostname(), "pid": os.getpid()}))
    (here,) = running_runs(spark, warehouse.root)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert here.alive is True and replace(here, pid=ended.pid).alive is False and replace(here, host="other").alive is None


def test_a_dry_run_notes_nothing(spark, tmp_path, base_settings):
    dry = Warehouse(spark, str(tmp_path / "w"), read_only=True)
    run_stage(Stage("job", lambda context: None), dry, base_settings, DAY)
    assert not (tmp_path / "w").exists()


def test_a_run_that_could_not_be_recorded_does_not_begin(spark, warehouse, base_settings):
    warehouse.append(RUNS, spark.createDataFrame([], RUNS.schema))
    spark.sql(f"ALTER TABLE delta.`{warehouse.path(RUNS)}` SET TBLPROPERTIES ('bannermap.schema_version' = '99')")
    with pytest.raises(InputError, match="newer bannermap"):
        run_stage(Stage("job", pytest.fail), Warehouse(spark, warehouse.root), base_settings, DAY)
