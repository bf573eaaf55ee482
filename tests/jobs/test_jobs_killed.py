"""Each job, killed while it writes and run again, leaves the tables of a run that was never disturbed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from bannermap.platform.settings import SampleSettings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import ALL_TABLES, RUNS
from bannermap.sample.world import FIRST_DAY, write_world

ROOT = Path(__file__).resolve().parents[2]
KILLED_AT = {
    "dedupe_banners": "merge into banners",
    "embed_banners": "write bytes and vectors",
    "cluster_banners": "write clusters",
    "build_user_features": "publish features",
    "build_report": "write the page",
}
ERRORS = "stderr.txt"
SPARK = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.memory": "1g",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("killed") / "world"
    write_world(SampleSettings(size="tiny", days=1, seed=3, out=str(out)))
    return out


def overlay(world: Path, home: Path) -> Path:
    logs = {"banner_log": f"{world}/banner_log", "event_log": f"{world}/event_log", "images": f"{world}/images"}
    paths = {**logs, "warehouse": f"{home}/warehouse", "report": f"{home}/report"}
    home.mkdir(exist_ok=True)
    (home / "overlay.yaml").write_text(yaml.safe_dump({"paths": paths, "spark": {"extra": SPARK}}))
    return home / "overlay.yaml"


def start(job: str, config: Path) -> subprocess.Popen:
    line = [sys.executable, str(ROOT / "jobs" / f"{job}.py"), "--config", str(config), "--date", str(FIRST_DAY)]
    environment = {**os.environ, "BANNERMAP_HOME": str(ROOT)}
    options = {"stdout": subprocess.PIPE, "text": True, "cwd": config.parent}
    with (config.parent / ERRORS).open("w") as errors:
        return subprocess.Popen(line, env=environment, start_new_session=True, stderr=errors, **options)


def kill_in_phase(job: str, config: Path, delay_s: float) -> None:
    process = start(job, config)
    reached = any(KILLED_AT[job] in line for line in process.stdout)
    assert reached, f"{job} ended before '{KILLED_AT[job]}'"
    time.sleep(delay_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def complete(job: str, config: Path) -> None:
    process = start(job, config)
    printed = process.communicate()[0]
    assert process.returncode == 0, printed + (config.parent / ERRORS).read_text()[-8000:]


def checksums(spark, home: Path) -> dict[str, str]:
    warehouse = Warehouse(spark, str(home / "warehouse"))
    stored = [t for t in ALL_TABLES if t is not RUNS and warehouse.exists(t)]
    rows = {t.name: sorted(map(str, warehouse.read(t).collect())) for t in stored}
    return {name: hashlib.sha256("\n".join(r).encode()).hexdigest() for name, r in rows.items()}


@pytest.mark.slow
def test_every_job_killed_and_run_again_leaves_the_same_tables(world, spark, tmp_path):
    calm, rough = (overlay(world, tmp_path / name) for name in ("calm", "rough"))
    rng = random.Random(11)
    complete("daily_pipeline", calm)
    for job in KILLED_AT:
        kill_in_phase(job, rough, rng.uniform(0.0, 0.8))
        complete(job, rough)
    expected = checksums(spark, tmp_path / "calm")
    assert checksums(spark, tmp_path / "rough") == expected
    assert {"banner_days", "banners", "image_fetches", "embeddings", "cluster_members", "user_features"} <= set(expected)
    cards = [(tmp_path / name / "report/index.html").read_text().split('id="runs"')[0] for name in ("calm", "rough")]
    assert cards[0] == cards[1]
