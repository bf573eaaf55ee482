"""`status` over real tables, logs and notes of runs; it writes nothing and works where there is nothing."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import daily_pipeline
import pytest
import status
from repository import ROOT

from bannermap.platform.cli import Stage, run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.files import read_text, write_text
from bannermap.platform.running import RunningRun, note_running
from bannermap.platform.settings import ClaimSettings
from bannermap.platform.status import CHAIN, State
from bannermap.platform.status_facts import ended_runs
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import CLUSTERINGS, EVENT_LOG_DAYS

DAY = datetime.date(2026, 1, 1)


def stage(job, rows=1, error=None, metrics=None):
    def work(context):
        with context.phase("only"):
            context.run.metrics.update(metrics or {})
            context.run.rows_in = context.run.rows_out = rows
            context.run.rejected.update({"odd": 2})
            if error:
                raise InputError(error)

    return Stage(job, work)


@pytest.fixture
def home(warehouse, base_settings, tmp_path):
    """Settings and an empty warehouse with logs of a day."""
    places = {name: str(tmp_path / name) for name in ("banner_log", "event_log")}
    for root in places.values():
        folder = Path(root) / f"dt={DAY}"
        folder.mkdir(parents=True)
        (folder / "part.parquet").write_bytes(b"not read")
    places["warehouse"] = warehouse.root
    return base_settings.model_copy(update={"paths": base_settings.paths.model_copy(update=places)}), warehouse


def files(root) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in Path(root).rglob("*")}


def states(settings, warehouse) -> dict[str, State]:
    view = status.overview(Warehouse(warehouse.spark, warehouse.root, read_only=True), settings, 14)
    assert {c.dt for c in view.cells} == {DAY}
    return {c.job: c.state for c in view.cells}


def test_the_jobs_are_those_of_the_chain():
    assert [s.name for s in daily_pipeline.STAGES] == list(CHAIN)


def test_a_warehouse_is_followed_from_missing_to_well_to_stale(home, spark):
    settings, warehouse = home
    assert set(states(settings, warehouse).values()) == {State.MISSING}
    for job in CHAIN:
        run_stage(stage(job), warehouse, settings, DAY)
    before = files(warehouse.root)
    assert status.overview(warehouse, settings, 14).well
    assert files(warehouse.root) == before
    for sequence, state in ((1, "stale"), (2, "current"), (3, "stale")):
        row = dict.fromkeys(CLUSTERINGS.columns) | {
            "clustering_id": str(sequence),
            "dt": DAY,
            "sequence": sequence,
            "state": state,
        }
        warehouse.merge(CLUSTERINGS, spark.createDataFrame([tuple(row.values())], CLUSTERINGS.schema))
        found = State.STALE if state == "stale" else State.OK
        assert states(settings, warehouse) == dict.fromkeys(CHAIN, State.OK) | {"cluster_banners": found}
    half = dict.fromkeys(EVENT_LOG_DAYS.columns) | {"dt": DAY, "complete": False}
    warehouse.merge(EVENT_LOG_DAYS, spark.createDataFrame([tuple(half.values())], EVENT_LOG_DAYS.schema))
    run_stage(stage("dedupe_banners", rows=2), warehouse, settings, DAY)
    with pytest.raises(InputError):
        run_stage(stage("embed_banners", error="no disk"), warehouse, settings, DAY)
    note_running(spark, warehouse.root, RunningRun("r", "build_report", DAY, datetime.datetime.now(datetime.UTC), "p"))
    assert states(settings, warehouse) == {
        "dedupe_banners": State.OK,
        "embed_banners": State.FAILED,
        "cluster_banners": State.STALE,
        "build_user_features": State.STALE,
        "analyse_clusters": State.STALE,
        "build_report": State.RUNNING,
    }
    text = status.as_text(status.overview(warehouse, settings, 14))
    assert "InputError: no disk (in phase 'only')" in text and "dedupe_banners odd: 2" in text


def test_a_log_that_was_delivered_anew_makes_its_day_stale(home):
    settings, warehouse = home
    run_stage(stage("dedupe_banners"), warehouse, settings, DAY)
    assert states(settings, warehouse)["dedupe_banners"] == State.OK
    later = datetime.datetime.now().timestamp() + 3600
    os.utime(Path(settings.paths.banner_log) / f"dt={DAY}" / "part.parquet", (later, later))
    assert states(settings, warehouse)["dedupe_banners"] == State.STALE


def test_a_table_that_cannot_be_read_is_a_sentence_and_the_rest_is_shown(home, spark):
    settings, warehouse = home
    run_stage(stage("dedupe_banners"), warehouse, settings, DAY)
    warehouse.merge(CLUSTERINGS, spark.createDataFrame([], CLUSTERINGS.schema))
    spark.sql(f"ALTER TABLE delta.`{warehouse.path(CLUSTERINGS)}` SET TBLPROPERTIES ('bannermap.schema_version' = '9')")
    view = status.overview(Warehouse(spark, warehouse.root), settings, 14)
    assert not view.well and "newer bannermap" in view.problems[0] and len(view.cells) == len(CHAIN)


@pytest.mark.parametrize("rows", [1, 0])
def test_a_run_that_differs_from_the_one_before_it_by_memory_and_time_alone_changed_nothing(home, rows):
    settings, warehouse = home
    metrics = {"pictures": 3.0, "peak_memory_mb first": 900.5, "fetch_task_s": 7.5, "gate before users": 2.0}
    for job in list(CHAIN)[:3]:
        run_stage(stage(job, metrics=metrics), warehouse, settings, DAY)
    found = ended_runs(warehouse)
    assert [r.metrics for r in found] == [{"pictures": 3.0}] * 3
    again = {"pictures": 3.0 * rows, "peak_memory_mb first": 901.5, "fetch_task_s": 0.5 * rows, "days_corrected": 1.0}
    for job in list(CHAIN)[:2]:
        run_stage(stage(job, rows, metrics=again), warehouse, settings, DAY)
    assert [states(settings, warehouse)[job] for job in list(CHAIN)[:3]] == [State.OK] * 3
    run_stage(stage("dedupe_banners", metrics={**again, "pictures": 4.0}), warehouse, settings, DAY)
    assert states(settings, warehouse)["embed_banners"] == State.STALE


def note_elsewhere(warehouse, job) -> Path:
    """What a run on another machine leaves of itself; the file of its claim."""
    note = {"run_id": job, "job": job, "dt": str(DAY), "started_at": "2026-01-02T02:00:00+00:00", "phase": "p"}
    note |= {"host": socket.gethostname(), "pid": 1, "machine": "elsewhere", "process": "1:1"}
    claim = Path(warehouse.root) / f"_claims/{DAY}_{job}/000000012.json"
    for file, content in ((Path(warehouse.root) / f"_running/{job}.json", note), (claim, {"beat": 0, "machine": "elsewhere"})):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return claim


@contextlib.contextmanager
def beating(file):
    ended = threading.Event()

    def beat():
        for number in itertools.count(1):
            file.with_suffix(".new").write_text(json.dumps({"beat": number, "machine": "elsewhere"}))
            file.with_suffix(".new").replace(file)
            if ended.wait(0.05):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_run_on_another_machine_is_told_from_a_killed_one_by_the_beat_of_its_claim(home):
    settings, warehouse = home
    calm, quick = (ClaimSettings(heartbeat_s=s, expire_s=6 * s) for s in (3600.0, 0.5))
    alive = note_elsewhere(warehouse, "dedupe_banners")
    with beating(alive):
        found = states(settings.model_copy(update={"claims": calm}), warehouse)  # ends with the first sign of life
        assert found["dedupe_banners"] == State.RUNNING
        note_elsewhere(warehouse, "embed_banners")
        note_elsewhere(warehouse, "cluster_banners").unlink()
        found = states(settings.model_copy(update={"claims": quick}), warehouse)
    assert list(found.values())[:3] == [State.RUNNING, State.UNFINISHED, State.UNFINISHED]


@pytest.mark.parametrize("asked", ["dedupe_banners", f"dedupe_banners/{DAY}"])
def test_one_run_on_another_machine_is_told_as_in_the_overview(home, capsys, asked):
    _, warehouse = home
    alive = note_elsewhere(warehouse, "dedupe_banners")
    with beating(alive):
        assert status.show_run(warehouse, asked, 3600.0, True) == 0  # ends with the first sign of life
    assert json.loads(capsys.readouterr().out)["status"] == "running"
    assert status.show_run(warehouse, asked, 0.2, False) == 1
    assert f"dedupe_banners {DAY}: never ended\n" in capsys.readouterr().out


def test_only_runs_of_other_machines_are_waited_for(home, spark):
    settings, warehouse = home
    calm = settings.model_copy(update={"claims": ClaimSettings(heartbeat_s=3600.0, expire_s=36000.0)})
    note_running(spark, warehouse.root, RunningRun("r", "build_report", DAY, datetime.datetime.now(datetime.UTC), "p"))
    path = f"{warehouse.root}/_running/{DAY}_build_report_r.json"
    assert states(calm, warehouse)["build_report"] == State.RUNNING
    write_text(spark, path, json.dumps({**json.loads(read_text(spark, path)), "process": f"{os.getpid()}:1"}))
    assert states(calm, warehouse)["build_report"] == State.UNFINISHED


@pytest.mark.slow
def test_the_command_on_an_empty_place_says_so_in_json_and_makes_nothing(tmp_path):
    paths = [w for name in ("warehouse", "banner_log", "event_log") for w in ("--set", f"paths.{name}={tmp_path}/none/{name}")]
    extra = ["--set", "spark.extra={spark.ui.enabled: 'false', spark.driver.memory: 1g}", "--set", "spark.master=local[1]"]
    line = [sys.executable, str(ROOT / "jobs/status.py"), "--json", *paths, *extra]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "BANNERMAP_HOME": str(ROOT)})
    assert done.returncode == 1, done.stderr[-4000:]
    assert json.loads(done.stdout) == {"warehouse": f"{tmp_path}/none/warehouse", "well": False, "days": {}, "problems": []}
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("days", ["0", "-1", "all"])
def test_a_number_of_days_that_cannot_be_is_refused(days):
    parser = status.argparse.ArgumentParser()
    status.add_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--days", days])


def test_one_run_is_shown_whole_and_leaves_metrics_for_monitoring(home, capsys, spark):
    settings, warehouse = home
    folder = Path(warehouse.root).parent / "metrics"
    watched = settings.model_copy(update={"monitoring": settings.monitoring.model_copy(update={"metrics_folder": str(folder)})})
    done = run_stage(stage("dedupe_banners", rows=7), warehouse, watched, DAY)
    with pytest.raises(InputError):
        run_stage(stage("dedupe_banners", error="no disk"), warehouse, watched, DAY)
    assert [p.name for p in folder.iterdir()] == ["bannermap_dedupe_banners.prom"]
    assert 'bannermap_run_succeeded{job="dedupe_banners"} 0.0' in (folder / "bannermap_dedupe_banners.prom").read_text()
    (folder / "bannermap_embed_banners.prom").mkdir()  # cannot be replaced: the run succeeds all the same
    run_stage(stage("embed_banners"), warehouse, watched, DAY)
    capsys.readouterr()

    assert status.show_run(warehouse, done.run_id[:12], 0.5, False) == 0
    text = capsys.readouterr().out
    assert "dedupe_banners 2026-01-01: succeeded" in text and "7 rows in, 7 out" in text and '"k_neighbors": 30' in text
    assert re.search(r"Seconds by phase:\n  only  \d", text) and "Rejected rows:\n  odd  2" in text
    assert status.show_run(warehouse, f"dedupe_banners/{DAY}", 0.5, True) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["failed_phase"], found["error"]) == ("failed", "only", "InputError: no disk")
    assert found["config"]["monitoring"]["metrics_folder"] == str(folder)
    note = RunningRun("abcdef", "cluster_banners", DAY, datetime.datetime.now(datetime.UTC), "p")
    note_running(spark, warehouse.root, note)
    assert status.show_run(warehouse, "abcd", 0.5, False) == 0
    assert "cluster_banners 2026-01-01: running" in capsys.readouterr().out
    for asked, problem in (("abc", "too short"), ("none/2026-01-01", "no run"), ("ffffffffffffffffffff", "no run")):
        with pytest.raises(InputError, match=problem):
            status.show_run(warehouse, asked, 0.5, False)
