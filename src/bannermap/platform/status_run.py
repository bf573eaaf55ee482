"""One run shown whole: what it read, wrote and refused, how long each phase took, with which configuration, and why it failed."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

from bannermap.platform.errors import InputError
from bannermap.platform.progress import duration
from bannermap.platform.running import RunningRun, running_runs
from bannermap.platform.status import State
from bannermap.platform.status_facts import seen_alive
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import RUNS

LEAST_DIGITS = 4


def find_run(warehouse: Warehouse, asked: str, heartbeat_s: float) -> dict[str, Any]:
    """The row of `runs` that is asked for, as plain values; of a run that left no row, what it noted of itself.

    Args:
        warehouse: where.
        asked: a run_id or at least `LEAST_DIGITS` characters of its start, or ``JOB/YYYY-MM-DD`` for the newest run of a day.
        heartbeat_s: seconds, see `seen_alive`; a run on another machine is watched for that.

    Raises:
        InputError: there is none, or several begin so.
    """
    job, slash, day = asked.partition("/")
    rows = warehouse.read_or_empty(RUNS).withColumn("started_us", _micros())
    if slash:
        rows = rows.where(rows["job"] == job).where(rows["dt"].cast("string") == day)
    elif len(asked) < LEAST_DIGITS:
        raise InputError(
            f"'{asked}' is too short for a run: give {LEAST_DIGITS} characters of its run_id or more, or JOB/YYYY-MM-DD."
        )
    else:
        rows = rows.where(rows["run_id"].startswith(asked))
    ended = [_plain(row.asDict()) for row in rows.orderBy("started_us").collect()]
    noted = running_runs(warehouse.spark, warehouse.root)
    open_ones = {n.run_id: n for n in noted if (f"{n.job}/{n.dt}" == asked if slash else n.run_id.startswith(asked))}
    found = sorted([*ended, *map(_noted, open_ones.values())], key=lambda run: run["started_at"])
    if not found:
        raise InputError(
            f"There is no run '{asked}' in {warehouse.root}. The table runs has all of them; `status` names jobs and days."
        )
    if not slash and len(found) > 1:
        raise InputError(
            f"{len(found)} runs begin with '{asked}': {', '.join(run['run_id'] for run in found[:5])}. Give more of it."
        )
    newest = found[-1]
    if "status" in newest:
        return newest
    return {**newest, "status": _state(warehouse, open_ones[newest["run_id"]], heartbeat_s)}


def _state(warehouse: Warehouse, note: RunningRun, heartbeat_s: float) -> State:
    """Of a run without a row, as the overview of days tells it."""
    elsewhere = {(note.dt, note.job)} if note.alive is None else set()
    return State.RUNNING if note.alive or seen_alive(warehouse, elsewhere, heartbeat_s) else State.UNFINISHED


def run_json(run: Mapping[str, Any]) -> str:
    """A run for programs."""
    return json.dumps(run, indent=1)


def run_text(run: Mapping[str, Any]) -> str:
    """A run for people: figures in sections, the configuration last."""
    ended = f", {duration(run['seconds'])}" if run.get("seconds") is not None else ""
    lines = [f"{run['job']} {run['dt']}: {run['status']}", f"run_id {run['run_id']}", f"began {run['started_at']}{ended}"]
    if run.get("error"):
        lines += ["", f"Failed in phase '{run['failed_phase']}':" if run["failed_phase"] else "Failed:", run["error"]]
    if run.get("why"):
        lines += ["", run["why"]]
    if "rows_in" in run:
        lines += ["", f"{run['rows_in']:,} rows in, {run['rows_out']:,} out; bannermap {run['code_version']}"]
    for title, name, shape in SECTIONS:
        values = run.get(name) or {}
        width = max(map(len, values), default=0)
        lines += (
            ["", f"{title}:", *(f"  {key:<{width}}  {shape(value)}" for key, value in sorted(values.items()))] if values else []
        )
    if run.get("config"):
        lines += ["", f"Configuration {run['config_hash'][:12]}:", json.dumps(run["config"], indent=1, sort_keys=True)]
    return "\n".join(lines)


SECTIONS = (
    ("Rejected rows", "rejected", "{:,}".format),
    ("Seconds by phase", "phase_seconds", "{:.1f}".format),
    ("Figures", "metrics", "{:g}".format),
    ("Versions of the tables read", "input_versions", "{}".format),
)


def _micros() -> Any:
    from pyspark.sql import functions as F

    return F.unix_micros("started_at")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    began = datetime.datetime.fromtimestamp(row.pop("started_us") / 1e6, datetime.UTC)
    config = json.loads(row.pop("config_json"))
    return {**row, "dt": row["dt"].isoformat(), "started_at": began.isoformat(), "config": config}


def _noted(note: RunningRun) -> dict[str, Any]:
    where = f"Began phase '{note.phase}' on {note.host}." if note.phase else f"Began on {note.host}."
    own = {"run_id": note.run_id, "job": note.job, "dt": note.dt.isoformat(), "why": where}
    return {**own, "started_at": note.started_at.isoformat(), "phase": note.phase, "host": note.host}
