"""The operator's view as text and as JSON, from cells."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bannermap.platform.progress import duration
from bannermap.platform.status import BAD, WHOLE_CHAIN, Cell, State


@dataclass(frozen=True)
class Overview:
    """What is shown.

    Attributes:
        warehouse: where.
        cells: days ascending, jobs in the order of the chain.
        problems: what could not be read, in sentences.
        options: the ``--config`` and ``--set`` options that the view was asked with, for the commands that mend.
    """

    warehouse: str
    cells: Sequence[Cell]
    problems: Sequence[str] = ()
    options: str = ""

    @property
    def well(self) -> bool:
        """Whether there is nothing to mend; a view without any day is not well: its paths may be wrong."""
        return bool(self.cells) and not self.problems and not any(c.late or c.state in BAD for c in self.cells)

    def command(self, cell: Cell) -> str:
        """The command that mends a cell; empty where there is nothing to mend."""
        return f"./spark-submit.sh {cell.job} --date {cell.dt}{self.options}" if cell.state in BAD else ""


def as_json(view: Overview) -> str:
    """The view for programs: states, reasons and commands by day and job; times in UTC."""
    days: dict[str, dict[str, Any]] = {}
    for cell in view.cells:
        days.setdefault(str(cell.dt), {})[cell.job] = {
            "state": "not due" if cell.state == State.NOT_DUE else cell.state.value,
            "why": cell.why or None,
            "started_at": cell.started_at.isoformat() if cell.started_at else None,
            "seconds": cell.seconds,
            "rejected": dict(cell.rejected),
            "late": cell.late,
            "command": view.command(cell) or None,
        }
    found = {"warehouse": view.warehouse, "well": view.well, "days": days, "problems": list(view.problems)}
    return json.dumps(found, indent=1)


def as_text(view: Overview) -> str:
    """The view for people: a table, then what is to be done."""
    if not view.cells:
        empty = f"{view.warehouse}: no run, and no day in the logs. Check paths.warehouse, paths.banner_log and paths.event_log."
        return "\n".join([empty, *view.problems])
    days = sorted({c.dt for c in view.cells})
    span = f"{len(days)} days, {days[0]} to {days[-1]}" if len(days) > 1 else str(days[0])
    head = f"{view.warehouse}: {span}; times in UTC"
    parts = [head, "", *_table(view.cells), *_sections(view), *_rejected(view.cells)]
    if view.problems:
        parts += ["", "Cannot be read:", *(f"  {problem}" for problem in view.problems)]
    return "\n".join([*parts, "", _verdict(view)])


def _table(cells: Sequence[Cell]) -> list[str]:
    by_day: dict[datetime.date, Mapping[str, str]] = {}
    for cell in cells:
        by_day[cell.dt] = {**by_day.get(cell.dt, {}), cell.job: _cell_text(cell)}
    jobs = list(dict.fromkeys(cell.job for cell in cells))
    rows = [["day", *jobs], *([str(day), *(texts[job] for job in jobs)] for day, texts in by_day.items())]
    widths = [max(len(row[n]) for row in rows) for n in range(len(jobs) + 1)]
    return ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cell_text(cell: Cell) -> str:
    began = f" {cell.started_at:%m-%d %H:%M}" if cell.started_at else ""
    return f"{cell.state.value}{f' {duration(cell.seconds)}' if cell.seconds is not None else ''}{began}"


def _sections(view: Overview) -> list[str]:
    lines = []
    for state in (*BAD, State.RUNNING):
        found = [c for c in view.cells if c.state == state]
        if found:
            lines += ["", f"{state.value.capitalize()}:", *_items(view, found)]
    return lines


def _items(view: Overview, cells: Sequence[Cell]) -> list[str]:
    """Each cell with its reason and command; a day that lacks every job is one item."""
    lines = []
    whole = {c.dt for c in cells if c.state in (State.LATE, State.MISSING) and _lacks_all(view, c.dt)}
    for day in sorted({c.dt for c in cells}):
        here = [c for c in cells if c.dt == day]
        if day in whole:
            reasons = "; ".join(dict.fromkeys(c.why for c in here))
            lines += [f"  {day} all jobs: {reasons}", f"    ./spark-submit.sh {WHOLE_CHAIN} --date {day}{view.options}"]
        else:
            lines += [line for c in here for line in (f"  {day} {c.job}: {c.why}", f"    {view.command(c)}") if line.strip()]
    return lines


def _lacks_all(view: Overview, day: datetime.date) -> bool:
    return all(c.state in (State.LATE, State.MISSING, State.NOT_DUE) for c in view.cells if c.dt == day)


def _rejected(cells: Sequence[Cell]) -> list[str]:
    counts: dict[tuple[str, str], int] = {}
    for cell in cells:
        for reason, rows in cell.rejected.items():
            counts[cell.job, reason] = counts.get((cell.job, reason), 0) + rows
    lines = [f"  {job} {reason}: {rows:,}" for (job, reason), rows in sorted(counts.items())]
    return ["", "Rejected rows of these days:", *lines] if lines else []


def _verdict(view: Overview) -> str:
    if view.well:
        return "All is well."
    counts = {state: sum(c.state == state for c in view.cells) for state in BAD}
    found = [f"{n} {state.value}" for state, n in counts.items() if n]
    overdue = sum(c.late and c.state == State.RUNNING for c in view.cells)
    found += [f"{overdue} running late"] if overdue else []
    return ", ".join([*found, *([f"{len(view.problems)} unreadable"] if view.problems else [])]) + "."
