"""Reading what the operator's view is made from: small tables, the folders of the logs, the notes of runs; nothing is written."""

from __future__ import annotations

import dataclasses
import datetime
import re
import time
from collections.abc import Callable, Set
from typing import TYPE_CHECKING, TypeVar

from bannermap.platform import claims
from bannermap.platform.errors import InputError
from bannermap.platform.files import modified_ms
from bannermap.platform.logs import log_day_changed_ms, log_days
from bannermap.platform.memory import PEAK_MEMORY
from bannermap.platform.running import running_runs
from bannermap.platform.settings import Paths
from bannermap.platform.status import EPOCH, EndedRun, Facts, OpenRun
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import CLUSTERINGS, EVENT_LOG_DAYS, RUNS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Found = TypeVar("Found")

BEATS_WATCHED = 2.0
"""Beats of a claim in which a run that is alive is seen; one may be late."""
NO_OUTCOME = re.compile(
    rf"{PEAK_MEMORY} .*|.*_task_s"  # of the machine
    "|gate before .*|stale_clusterings|event_days_rebuilt|revisions_corrected|days_corrected"  # of other days
    "|pictures_read_.*"  # of what earlier runs had left to do
)
"""Metrics that differ between two runs of a job and day that came to the same."""


def gather(warehouse: Warehouse, paths: Paths) -> tuple[Facts, list[str]]:
    """All facts but the times of the logs, and a sentence for each table that could not be read.

    Args:
        warehouse: tables that are absent count as empty.
        paths: where the logs lie; absent ones have no days.
    """
    problems: list[str] = []

    def attempt(read: Callable[[Warehouse], list[Found]]) -> list[Found]:
        try:
            return read(warehouse)
        except InputError as error:
            problems.append(str(error))
            return []

    roots = {"banner_log": paths.banner_log, "event_log": paths.event_log}
    facts = Facts(
        ended=attempt(ended_runs),
        open=open_runs(warehouse),
        log_days={name: dict.fromkeys(log_days(warehouse.spark, root)) for name, root in roots.items()},
        stale_clusterings=frozenset(attempt(_stale_clusterings)),
        incomplete_event_days=frozenset(attempt(_incomplete_event_days)),
    )
    return facts, problems


def with_log_times(facts: Facts, warehouse: Warehouse, paths: Paths, days: list[datetime.date]) -> Facts:
    """The facts with the times of some days' logs: each takes a listing of a folder, so only of days that are shown."""

    def changed(root: str, day: datetime.date) -> datetime.datetime | None:
        newest = log_day_changed_ms(warehouse.spark, root, day) if day in days else None
        return EPOCH + datetime.timedelta(milliseconds=newest) if newest else None

    roots = {"banner_log": paths.banner_log, "event_log": paths.event_log}
    timed = {name: {day: changed(roots[name], day) for day in known} for name, known in facts.log_days.items()}
    return dataclasses.replace(facts, log_days=timed)


def with_signs_of_life(facts: Facts, warehouse: Warehouse, days: list[datetime.date], heartbeat_s: float) -> Facts:
    """The facts with the runs on other machines that are alive, see `seen_alive`."""
    alive = seen_alive(warehouse, {(r.dt, r.job) for r in facts.open if r.alive is None and r.dt in days}, heartbeat_s)
    found = [dataclasses.replace(r, alive=True) if r.alive is None and (r.dt, r.job) in alive else r for r in facts.open]
    return dataclasses.replace(facts, open=found)


def seen_alive(warehouse: Warehouse, runs: Set[tuple[datetime.date, str]], heartbeat_s: float) -> Set[tuple[datetime.date, str]]:
    """Those of some runs that are alive, wherever they are: such a run writes its claim anew every ``heartbeat_s``.

    This takes until each gave a sign, at most `BEATS_WATCHED` beats; without runs, no time.

    Args:
        warehouse: where the claims lie.
        runs: day and job of each.
        heartbeat_s: seconds, as the runs have it.
    """
    first = {run: _claim_written(warehouse, *run) for run in runs}
    alive: set[tuple[datetime.date, str]] = set()
    until = time.monotonic() + BEATS_WATCHED * heartbeat_s
    while first.keys() > alive and time.monotonic() < until:
        time.sleep(claims.LOOK_S)
        alive |= {run for run in first.keys() - alive if _claim_written(warehouse, *run) != first[run]}
    return alive


def ended_runs(warehouse: Warehouse) -> list[EndedRun]:
    """All rows of `runs`, without the metrics that are no outcome."""
    rows = warehouse.read_or_empty(RUNS).selectExpr("*", "unix_micros(started_at) AS began_us").drop("config_json", "started_at")
    return [
        EndedRun(
            job=r["job"],
            dt=r["dt"],
            succeeded=r["status"] == "succeeded",
            started_at=EPOCH + datetime.timedelta(microseconds=r["began_us"]),
            seconds=r["seconds"],
            error=r["error"],
            phase=r["failed_phase"],
            rows=(r["rows_in"], r["rows_out"]),
            rejected=r["rejected"] or {},
            metrics={name: value for name, value in (r["metrics"] or {}).items() if not NO_OUTCOME.fullmatch(name)},
            made_with=(r["config_hash"], r["code_version"]),
        )
        for r in rows.collect()
    ]


def open_runs(warehouse: Warehouse) -> list[OpenRun]:
    """The runs that have not ended, as far as they left word."""
    notes = running_runs(warehouse.spark, warehouse.root)
    return [OpenRun(n.job, n.dt, n.started_at, n.phase, n.host, n.alive) for n in notes]


def _claim_written(warehouse: Warehouse, day: datetime.date, job: str) -> dict[str, int]:
    """When the claim of a day's job was last written, to be compared with itself alone; its text may be half written."""
    return modified_ms(warehouse.spark, f"{warehouse.root.rstrip('/')}/{claims.FOLDER}/{day}_{job}")


def _stale_clusterings(warehouse: Warehouse) -> list[datetime.date]:
    rows = warehouse.read_or_empty(CLUSTERINGS).selectExpr("dt", "sequence", "state").collect()
    newest = {r["dt"]: r["state"] for r in sorted(rows, key=lambda r: r["sequence"])}
    return [day for day, state in newest.items() if state == "stale"]


def _incomplete_event_days(warehouse: Warehouse) -> list[datetime.date]:
    days: DataFrame = warehouse.read_or_empty(EVENT_LOG_DAYS).where("NOT complete")
    return [r["dt"] for r in days.select("dt").collect()]
