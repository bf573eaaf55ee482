"""The run manifest: what a job read, wrote and refused, and how long each phase took."""

from __future__ import annotations

import contextlib
import datetime
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bannermap import __version__
from bannermap.platform import log_lines
from bannermap.platform.config import settings_hash, settings_json
from bannermap.platform.memory import PEAK_MEMORY, jvm_process, peak_memory
from bannermap.platform.metrics_text import write_metrics
from bannermap.platform.progress import reported
from bannermap.platform.running import RunningRun, forget_running, note_running
from bannermap.platform.settings import Settings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import NO_DAY, REJECTS, RUNS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def say(message: str) -> None:
    """A line on what goes on, see `log_lines`."""
    log_lines.write(message)


@dataclass
class Run:
    """What one job run leaves in `runs`; the job fills it while it works."""

    job: str
    dt: datetime.date
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    rows_in: int = 0
    rows_out: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    phase_seconds: dict[str, float] = field(default_factory=dict)
    failed_phase: str | None = None
    started_at: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    _clock: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """The work begins now; what it waited for is none of it, and what came meanwhile is read."""
        self.started_at, self._clock = datetime.datetime.now(datetime.UTC), time.monotonic()

    def seconds(self) -> float:
        """Wall time since the run began."""
        return time.monotonic() - self._clock


@dataclass(frozen=True)
class JobContext:
    """What a stage's `run` gets: everything it may read from, and the manifest to fill in.

    Attributes:
        warehouse: the tables.
        settings: the resolved configuration.
        dt: the day; never the clock.
        run: the manifest row.
        phases: names of the phases to come, in order, so that each can say which of how many it is; may be empty.
    """

    warehouse: Warehouse
    settings: Settings
    dt: datetime.date
    run: Run
    phases: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What is being done, for people; own images have no day."""
        return self.run.job if self.dt == NO_DAY else f"{self.dt} {self.run.job}"

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Name a phase in the terminal, in the Spark UI and in the manifest, and say how far it is while it is long."""
        self.warehouse.check_claims()
        label = f"{name} (phase {self.phases.index(name) + 1} of {len(self.phases)})" if name in self.phases else name
        heading = f"{self.title}: {label}"
        with log_lines.said_of(phase=name):
            say(heading)
        self.note_phase(name)
        self.run.failed_phase = None  # of an earlier phase, whose failure the stage has borne
        context, interval_s = self.warehouse.spark.sparkContext, self.settings.spark.progress_seconds
        group, description = f"{self.run.run_id} {name}", heading
        began = time.monotonic()
        own = [os.getpid(), jvm_process(self.warehouse.spark)]
        try:
            with (
                log_lines.said_of(phase=name),
                peak_memory(own) as peak,
                reported(context, group, description, interval_s, lambda text: say(f"{heading}: {text}")),
            ):
                yield
        except BaseException:
            self.run.failed_phase = self.run.failed_phase or name
            raise
        finally:
            self.run.phase_seconds[name] = self.run.phase_seconds.get(name, 0.0) + time.monotonic() - began
            self._note_memory(name, peak.mb)

    def _note_memory(self, phase: str, mb: float) -> None:
        """The driver's processes, with local workers; executors on other machines are not in it."""
        if mb:
            key = f"{PEAK_MEMORY} {phase}"
            self.run.metrics[key] = max(mb, self.run.metrics.get(key, 0.0))

    def note_phase(self, name: str | None) -> None:
        """Leave word of the run and its phase, for a run that is killed and cannot tell; nothing in a dry run."""
        if not self.warehouse.read_only:
            running = RunningRun(self.run.run_id, self.run.job, self.dt, self.run.started_at, name)
            note_running(self.warehouse.spark, self.warehouse.root, running)

    def reject(self, rows: DataFrame) -> None:
        """Store refused rows and count them by reason; an empty frame clears those of an earlier run.

        Args:
            rows: columns ``reason`` and ``row_json``.
        """
        from pyspark.sql import functions as F

        counted = rows.groupBy("reason", "row_json").agg(F.count("*").alias("rows"))
        stamped = counted.withColumns({"job": F.lit(self.run.job), "dt": F.lit(self.dt)}).localCheckpoint()
        self.warehouse.overwrite_partition(REJECTS, stamped, job=self.run.job, dt=self.dt)
        totals = stamped.groupBy("reason").agg(F.sum("rows").alias("rows")).collect()
        self.run.rejected.update({r["reason"]: r["rows"] for r in totals})


def record(context: JobContext, error: BaseException | None) -> None:
    """Append the manifest row of a run that ended, and remove the word of it as a running one."""
    run, spark = context.run, context.warehouse.spark
    row: dict[str, Any] = {
        "run_id": run.run_id,
        "job": run.job,
        "dt": run.dt,
        "status": "failed" if error else "succeeded",
        "error": f"{type(error).__name__}: {error}"[:4000] if error else None,
        "failed_phase": run.failed_phase if error else None,
        "started_at": run.started_at,
        "seconds": run.seconds(),
        "config_hash": settings_hash(context.settings),
        "config_json": settings_json(context.settings),
        "code_version": __version__,
        "input_versions": dict(context.warehouse.versions_read),
        "rows_in": run.rows_in,
        "rows_out": run.rows_out,
        "rejected": run.rejected,
        "metrics": {k: float(v) for k, v in run.metrics.items()},
        "phase_seconds": run.phase_seconds,
    }
    context.warehouse.append(RUNS, spark.createDataFrame([tuple(row[c] for c in RUNS.columns)], RUNS.schema))
    if not context.warehouse.read_only:
        forget_running(spark, context.warehouse.root, run.job, run.dt)
        _tell(context.settings.monitoring.metrics_folder, row)


def _tell(folder: str | None, row: dict[str, Any]) -> None:
    """Metrics for a monitoring system; a run that did its work does not fail for them."""
    if folder is None:
        return
    try:
        write_metrics(folder, row)
    except OSError as error:
        say(f"the metrics of {row['job']} could not be written to monitoring.metrics_folder: {error}")
