"""A small file per run that has not ended: what is left of a run that was killed, since `runs` gets its row at the end."""

from __future__ import annotations

import datetime
import json
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bannermap.platform.claims import machine, process_of
from bannermap.platform.files import modified_ms, read_text, remove, write_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FOLDER = "_running"


@dataclass(frozen=True)
class RunningRun:
    """A run that began and has not ended.

    Attributes:
        run_id: as in `runs`.
        job: job name.
        dt: day of the run.
        started_at: wall clock, UTC.
        phase: the last phase that it began; null before the first.
        host: machine of its driver, for people.
        pid: number of its process.
        machine: of its driver, as claims name it; empty in notes of older code.
        process: that number with the start of the process, as claims name it; empty in notes of older code.
    """

    run_id: str
    job: str
    dt: datetime.date
    started_at: datetime.datetime
    phase: str | None = None
    host: str = ""
    pid: int = 0
    machine: str = ""
    process: str = ""

    @property
    def alive(self) -> bool | None:
        """Whether its process is still there; None where it ran on another machine, which only that one can tell."""
        here = self.machine == machine() if self.machine else self.host == socket.gethostname()
        if not here:
            return None
        found = process_of(self.pid)
        return found == self.process if self.process else not found.endswith(":")


def note_running(spark: SparkSession, root: str, run: RunningRun) -> None:
    """Note the run, or its new phase, in the warehouse."""
    stamps = {"dt": run.dt.isoformat(), "started_at": run.started_at.isoformat()}
    own = {"host": socket.gethostname(), "pid": os.getpid(), "machine": machine(), "process": process_of(os.getpid())}
    write_text(spark, _path(root, _name(run.job, run.dt, run.run_id)), json.dumps({**vars(run), **stamps, **own}))


def forget_running(spark: SparkSession, root: str, job: str, dt: datetime.date) -> None:
    """Remove the notes of a job's runs of a day: one that ended has told of itself, and overtaken those before it."""
    for name in modified_ms(spark, f"{root.rstrip('/')}/{FOLDER}"):
        if name.startswith(_name(job, dt, "")):
            remove(spark, _path(root, name))


def running_runs(spark: SparkSession, root: str) -> list[RunningRun]:
    """The runs that have not ended, oldest first; notes that were cut off by a kill are left out."""
    names = [n for n in modified_ms(spark, f"{root.rstrip('/')}/{FOLDER}") if n.endswith(".json")]
    found = [_parsed(read_text(spark, _path(root, name)) or "") for name in names]
    return sorted((run for run in found if run), key=lambda run: (run.started_at, run.run_id))


def _name(job: str, dt: datetime.date, run_id: str) -> str:
    return f"{dt.isoformat()}_{job}_{run_id}" + (".json" if run_id else "")


def _path(root: str, name: str) -> str:
    return f"{root.rstrip('/')}/{FOLDER}/{name}"


def _parsed(text: str) -> RunningRun | None:
    try:
        note = json.loads(text)
        day, began = datetime.date.fromisoformat(note["dt"]), datetime.datetime.fromisoformat(note["started_at"])
        return RunningRun(**{**note, "dt": day, "started_at": began})
    except (ValueError, KeyError, TypeError):
        return None
