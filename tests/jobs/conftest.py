"""The chain over the sample world, made once for all tests that look at it."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import shutil
from pathlib import Path

import daily_pipeline
import pytest

from bannermap.platform.cli import run_stage
from bannermap.platform.runs import Run
from bannermap.platform.settings import SampleSettings, Settings
from bannermap.platform.storage import Warehouse
from bannermap.sample.world import days_of, write_world

MADE, RUNS_MADE = ("world", "warehouse", "report"), "runs.json"
FIRST_DAY = "first_day"


@pytest.fixture(scope="session")
def chain(spark, base_settings, tmp_path_factory) -> tuple[Settings, Warehouse, list[Run]]:
    """Two days of the tiny world through all stages: settings, warehouse, runs. The first of several processes makes it, each has
    a copy."""
    own = tmp_path_factory.mktemp("chain")
    base = tmp_path_factory.getbasetemp()
    common = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "chain-of-all"
    common.mkdir(exist_ok=True)
    with (common / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (common / RUNS_MADE).exists():
            _make(spark, _settings(base_settings, common), common)
    for name in (*MADE, FIRST_DAY):
        shutil.copytree(common / name, own / name)
    made = json.loads((common / RUNS_MADE).read_text())
    runs = [Run(r["job"], datetime.date.fromisoformat(r["dt"]), phase_seconds=r["phase_seconds"]) for r in made]
    return _settings(base_settings, own), Warehouse(spark, str(own / "warehouse")), runs


@pytest.fixture(scope="session")
def after_first_day(chain) -> Path:
    """The warehouse of `chain` as its first day left it."""
    return Path(chain[1].root).parent / FIRST_DAY


def _settings(base_settings: Settings, home: Path) -> Settings:
    sample = SampleSettings(size="tiny", days=2, seed=7, out=str(home / "world"))
    places = {p: str(home / "world" / p) for p in ("banner_log", "event_log", "images")}
    places |= {p: str(home / p) for p in ("warehouse", "report")}
    return base_settings.model_copy(update={"paths": base_settings.paths.model_copy(update=places), "sample": sample})


def _make(spark, settings: Settings, home: Path) -> None:
    write_world(settings.sample)
    warehouse = Warehouse(spark, settings.paths.warehouse)
    runs: list[Run] = []
    for day in days_of(settings.sample):
        runs += [run_stage(stage, warehouse, settings, day) for stage in daily_pipeline.STAGES]
        if not (home / FIRST_DAY).exists():
            shutil.copytree(warehouse.root, home / FIRST_DAY)
    told = [{"job": r.job, "dt": r.dt.isoformat(), "phase_seconds": r.phase_seconds} for r in runs]
    (home / RUNS_MADE).write_text(json.dumps(told))
