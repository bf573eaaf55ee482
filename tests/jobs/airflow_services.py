"""Airflow on loopback, with all that a run of a schedule goes through: API server, scheduler, DAG processor.

The metadata database is SQLite in AIRFLOW_HOME, and is read as a file: each call of Airflow's command line takes seconds. With
SQLite ``backfill create`` can end with "database is locked" beside a scheduler, so days are asked for while no service runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import daily_pipeline
import pytest
from processes import overlay
from repository import ROOT
from standalone import free_port, wait_until

from bannermap.platform.cli import run_stage
from bannermap.platform.config import load_settings
from bannermap.platform.settings import SampleSettings
from bannermap.platform.storage import Warehouse
from bannermap.sample.world import days_of, write_world

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAG = ROOT / "jobs/airflow/banner_features_dag.py"
PYTHON = os.environ.get("BANNERMAP_AIRFLOW_PYTHON", "")
needs_airflow = pytest.mark.skipif(not PYTHON, reason="BANNERMAP_AIRFLOW_PYTHON names no Python with Airflow")


@dataclass(frozen=True)
class Airflow:
    """An installation with a metadata database.

    Attributes:
        home: AIRFLOW_HOME.
        variables: the whole environment of its processes.
    """

    home: Path
    variables: Mapping[str, str]

    def run(self, *words: str) -> None:
        """``airflow WORDS``, which must succeed."""
        line = [str(Path(PYTHON).parent / "airflow"), *words]
        done = subprocess.run(line, env=self.variables, capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]

    def asked(self, query: str) -> list[tuple]:
        """Rows of the metadata database."""
        with contextlib.closing(sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=60)) as database:
            return database.execute(query).fetchall()

    def logs(self) -> str:
        """The ends of what services and tasks wrote."""
        files = sorted(self.home.rglob("*.log"), key=lambda f: f.stat().st_mtime)
        return "\n".join(f"{f}\n{f.read_text(errors='replace')[-3000:]}" for f in files[-6:])

    def wait_while(self, query: str, limit_s: float) -> None:
        """Until the metadata database has no such row."""
        end = time.monotonic() + limit_s
        while rows := self.asked(query):
            assert time.monotonic() < end, f"{rows}\n{self.logs()}"
            time.sleep(1)


def installed(home: Path, **variables: str) -> Airflow:
    """A fresh metadata database, with the pool that the DAG wants."""
    left_out, port = ("PYTHONPATH", "PYSPARK_PYTHON", "SPARK_HOME"), free_port()
    own = {k: v for k, v in os.environ.items() if k not in left_out and not k.startswith("AIRFLOW")}
    own |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__DAGS_FOLDER": str(DAG.parent)}
    own |= {"BANNERMAP_HOME": str(ROOT), "AIRFLOW_CONN_BANNERMAP_SPARK": json.dumps({"conn_type": "spark", "host": "local[2]"})}
    own |= {
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),  # tasks show the API server what the scheduler signed
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # 5 s on a busy machine end a try, and the next comes ten minutes later
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "NO_PROXY": "127.0.0.1,localhost",
    }
    airflow = Airflow(home, own | variables)
    airflow.run("db", "migrate")
    airflow.run("pools", "set", "bannermap_gpu", "1", "GPUs")
    return airflow


def tiny_world(home: Path, days: int) -> tuple[SampleSettings, Path]:
    """A world below ``home``, as drawn, and a configuration by which its tables and pages go to ``home/airflow``."""
    sample = SampleSettings(size="tiny", days=days, seed=5, out=str(home / "world"))
    write_world(sample)
    return sample, overlay(home / "world", home / "airflow")


def by_hand(spark: SparkSession, sample: SampleSettings, home: Path) -> None:
    """Every stage of every day of a world, without Airflow; tables and pages go below ``home``."""
    settings = load_settings(ROOT / "conf/base.yaml", [overlay(Path(sample.out), home)])
    for day in days_of(sample):
        for stage in daily_pipeline.STAGES:
            run_stage(stage, Warehouse(spark, settings.paths.warehouse), settings, day)


@contextlib.contextmanager
def served(airflow: Airflow) -> Iterator[None]:
    """Its services, which run tasks as processes of the scheduler (LocalExecutor) until the end of the context."""
    address = ("127.0.0.1", int(airflow.variables["AIRFLOW__API__PORT"]))
    with _running(airflow, "api-server"):
        wait_until(lambda: answers(address), [airflow.home / "api-server.log"])  # without it, the first task has failed
        with _running(airflow, "scheduler"), _running(airflow, "dag-processor"):
            yield


def answers(address: tuple[str, int]) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0


@contextlib.contextmanager
def _running(airflow: Airflow, service: str) -> Iterator[None]:
    """A service and all that it starts, in a process group of its own."""
    with (airflow.home / f"{service}.log").open("a") as log:
        line = [str(Path(PYTHON).parent / "airflow"), service]
        process = subprocess.Popen(line, env=airflow.variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
