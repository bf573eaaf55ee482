"""Figures of a job's newest run in Prometheus' text format, one file a job, for node_exporter's textfile collector.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/. Every figure is a gauge of the newest run, so the labels
stay few: nothing is labelled with days or run ids.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PREFIX = "bannermap_run_"
LAST_SUCCESS = f"{PREFIX}last_success_timestamp_seconds"
HELP = {
    "succeeded": "1 where the newest run of the job succeeded, 0 where it failed",
    "ended_timestamp_seconds": "when the newest run ended, seconds since 1970",
    "day_timestamp_seconds": "the day of the newest run, seconds since 1970",
    "last_success_timestamp_seconds": "when a run of the job last succeeded, seconds since 1970",
    "duration_seconds": "wall time of the newest run",
    "rows": "rows of the newest run, in and out",
    "rejected_rows": "rows that the newest run refused, by reason",
    "phase_duration_seconds": "wall time of each phase of the newest run",
    "figure": "figures of the newest run, as in the column metrics of the table runs",
}


def write_metrics(folder: str, row: Mapping[str, Any]) -> Path:
    """Write the file of a run's job; a reader sees the old or the new one, never a part.

    Args:
        folder: made where it is not there.
        row: of the table `runs`.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    target = place / f"bannermap_{row['job']}.prom"
    aside = target.with_suffix(f".{os.getpid()}.tmp")  # the collector reads *.prom
    aside.write_text(as_prometheus(row, _last_success(target)), encoding="utf-8")
    aside.replace(target)
    return target


def as_prometheus(row: Mapping[str, Any], last_success: float | None) -> str:
    """The text for a run.

    Args:
        row: of the table `runs`.
        last_success: when a run before it last succeeded, seconds since 1970.
    """
    lines: list[str] = []
    for name, samples in _samples(row, last_success).items():
        if samples:
            lines += [f"# HELP {PREFIX}{name} {HELP[name]}", f"# TYPE {PREFIX}{name} gauge"]
            lines += [f"{PREFIX}{name}{_labels({'job': row['job'], **labels})} {value!r}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _samples(row: Mapping[str, Any], last_success: float | None) -> dict[str, list[tuple[dict[str, str], float]]]:
    ended = row["started_at"].timestamp() + row["seconds"]
    succeeded = row["status"] == "succeeded"
    day = datetime.datetime.combine(row["dt"], datetime.time(), datetime.UTC).timestamp()
    success = ended if succeeded else last_success
    return {
        "succeeded": [({}, float(succeeded))],
        "ended_timestamp_seconds": [({}, ended)],
        "day_timestamp_seconds": [({}, day)],
        "last_success_timestamp_seconds": [({}, success)] if success is not None else [],
        "duration_seconds": [({}, float(row["seconds"]))],
        "rows": [({"direction": way}, float(row[f"rows_{way}"])) for way in ("in", "out")],
        "rejected_rows": list(_each("reason", row["rejected"])),
        "phase_duration_seconds": list(_each("phase", row["phase_seconds"])),
        "figure": list(_each("name", row["metrics"])),
    }


def _each(label: str, values: Mapping[str, float]) -> Iterator[tuple[dict[str, str], float]]:
    return (({label: name}, float(value)) for name, value in sorted(values.items()))


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _last_success(target: Path) -> float | None:
    """What the file says that is there; None where there is none, or it is not ours."""
    try:
        found = re.search(rf"^{LAST_SUCCESS}{{.*}} (\S+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        return float(found[1]) if found else None
    except (OSError, ValueError):
        return None
