"""The run manifest."""

from __future__ import annotations

from bannermap.platform.tables.declaration import Table
from bannermap.platform.tables.migrations import AddColumns

RUNS = Table(
    name="runs",
    about="One row per job run.",
    columns={
        "run_id": "string: unique",
        "job": "string: job name",
        "dt": "date: day of the run",
        "status": "string: succeeded or failed",
        "error": "string: why it failed",
        "failed_phase": "string: the phase that it failed in; null where it succeeded or failed between two",
        "started_at": "timestamp: wall clock, for people; no job reads it",
        "seconds": "double: wall time",
        "config_hash": "string: sha256 of config_json",
        "config_json": "string: the resolved configuration",
        "code_version": "string: bannermap version",
        "input_versions": "map<string, bigint>: Delta version of each table read",
        "rows_in": "bigint: rows read from the job's main input",
        "rows_out": "bigint: rows written to the job's main output",
        "rejected": "map<string, bigint>: reason -> rows",
        "metrics": "map<string, double>: figures of the job",
        "phase_seconds": "map<string, double>: phase -> seconds",
    },
    key=("run_id",),
    version=2,
    migrations={2: AddColumns(("failed_phase",), "null: not noted")},
)
