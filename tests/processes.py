"""Jobs as processes of their own, as the launcher starts them, and what their warehouses hold."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from repository import ROOT
from small_spark import SMALL

from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import ALL_TABLES, RUNS

ERRORS = "stderr.txt"


def overlay(world: Path, home: Path, spark: dict[str, str] | None = None, warehouse: str | None = None) -> Path:
    """A configuration on a sample world's logs and images; warehouse (if it is not elsewhere) and report are below ``home``."""
    logs = {"banner_log": f"{world}/banner_log", "event_log": f"{world}/event_log", "images": f"{world}/images"}
    paths = {**logs, "warehouse": warehouse or f"{home}/warehouse", "report": f"{home}/report"}
    home.mkdir(exist_ok=True)
    sections = {
        "paths": paths,
        "spark": {"extra": {**SMALL, "spark.driver.memory": "1g", **(spark or {})}},
        "clustering": {"partitions": 4},
        "encoder": {"name": "perceptual"},
    }
    (home / "overlay.yaml").write_text(yaml.safe_dump(sections))
    return home / "overlay.yaml"


def start(
    job: str,
    config: Path,
    day: datetime.date,
    python: str = sys.executable,
    home: Path = ROOT,
    modules: str = "",
    **variables: str,
) -> subprocess.Popen:
    """The job in a process group of its own; its error stream goes to a file beside the configuration. What the environment
    has installed may be another checkout's package, so this one's goes first; an installation elsewhere has its own.
    ``modules`` is a further folder of Python's modules."""
    line = [python, str(home / f"jobs/{job}.py"), "--config", str(config), "--date", str(day)]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYSPARK_PYTHON")} | variables
    environment |= {"PYTHONPATH": f"{ROOT}/src{os.pathsep if modules else ''}{modules}"} if home == ROOT else {}
    options = {"stdout": subprocess.PIPE, "text": True, "cwd": config.parent, "start_new_session": True}
    with (config.parent / ERRORS).open("w") as errors:
        return subprocess.Popen(line, env={**environment, "BANNERMAP_HOME": str(home)}, stderr=errors, **options)


def complete(process: subprocess.Popen, config: Path) -> None:
    """Wait for a job, which must succeed."""
    printed = process.communicate()[0]
    assert process.returncode == 0, printed + (config.parent / ERRORS).read_text()[-8000:]


@contextlib.contextmanager
def ended_at_last(*processes: subprocess.Popen) -> Iterator[None]:
    """Kill what a test that failed leaves of jobs and their children, stopped ones too."""
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def said(process: subprocess.Popen, words: str) -> bool:
    """Wait until a job prints a line with these words; False where it ends without."""
    return any(words in line for line in process.stdout)


def stopped_in(process: subprocess.Popen, phase: str) -> bool:
    """Stop a job and its children when it begins a phase, until SIGCONT; False where it ends before."""
    reached = said(process, f": {phase}")
    if reached:
        os.killpg(process.pid, signal.SIGSTOP)
    return reached


def refused(process: subprocess.Popen, config: Path) -> str:
    """Wait for a job that must end as one that finds another at work; its error stream."""
    process.communicate()
    told = (config.parent / ERRORS).read_text()
    assert process.returncode == 7, told[-8000:]
    return told


def runs_program(pid: int, words: bytes) -> bool:
    """Whether a process is there whose command line has these words."""
    try:
        return words in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def checksums(spark, home: Path) -> dict[str, str]:
    """Table name -> hash of its rows in any order; the manifest, which tells of times, is left out."""
    warehouse = Warehouse(spark, str(home / "warehouse"))
    stored = [t for t in ALL_TABLES if t is not RUNS and warehouse.exists(t)]
    rows = {t.name: sorted(map(str, warehouse.read(t).collect())) for t in stored}
    return {name: hashlib.sha256("\n".join(r).encode()).hexdigest() for name, r in rows.items()}
