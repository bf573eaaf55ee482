"""Which job of which day is done, missing, stale or failed, and why: from what runs left behind to one cell each.

A day's job is *stale* when something that it read changed after it began:

- a job before it in the chain ran again, successfully and with another outcome, that is with other figures (rows, rejects,
  metrics), another configuration or another version of the code; a run that found nothing to do changed nothing;
- the files of its log are newer than its run;
- its clustering says so itself, since an earlier day was clustered anew;
- the event log's day was left half taken in.

Another outcome with exactly the same figures is not seen.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

CHAIN: Mapping[str, tuple[str, ...]] = {
    "dedupe_banners": (),
    "embed_banners": ("dedupe_banners",),
    "cluster_banners": ("dedupe_banners", "embed_banners"),
    "build_user_features": ("cluster_banners",),
    "analyse_clusters": ("dedupe_banners", "cluster_banners", "build_user_features"),
    "build_report": ("dedupe_banners", "embed_banners", "cluster_banners", "build_user_features", "analyse_clusters"),
}
"""The jobs of a day in order, each with the jobs whose tables it reads."""
SCHEDULED: Mapping[str, tuple[str, ...]] = {**CHAIN, "publish_clusters": ("cluster_banners",)}
"""The jobs that may be due; one that is not of the chain is looked at only where it is."""
WHOLE_CHAIN = "daily_pipeline"
LAST_DAY_ONLY = frozenset({"build_report"})
"""There is one page; an older day's would replace the newest, so it is not asked for."""
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
LOG_OF = {"dedupe_banners": "banner_log", "build_user_features": "event_log"}


class State(StrEnum):
    """What a cell says."""

    OK = "ok"
    MISSING = "missing"
    LATE = "late"
    STALE = "stale"
    FAILED = "failed"
    UNFINISHED = "never ended"
    RUNNING = "running"
    NOT_DUE = "-"


BAD = (State.LATE, State.MISSING, State.STALE, State.FAILED, State.UNFINISHED)


@dataclass(frozen=True)
class EndedRun:
    """A row of `runs`, as far as it matters here.

    Attributes:
        job: job name.
        dt: day of the run.
        succeeded: or failed.
        started_at: UTC.
        seconds: wall time.
        error: why it failed.
        phase: the phase that it failed in, where known.
        rows: rows in, rows out.
        rejected: reason -> rows.
        metrics: figures of the job that tell what it came to.
        made_with: hash of the configuration, version of the code.
    """

    job: str
    dt: datetime.date
    succeeded: bool
    started_at: datetime.datetime
    seconds: float = 0.0
    error: str | None = None
    phase: str | None = None
    rows: tuple[int, int] = (0, 0)
    rejected: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    made_with: tuple[str, str] = ("", "")

    @property
    def ended_at(self) -> datetime.datetime:
        """When it left its row, UTC."""
        return self.started_at + datetime.timedelta(seconds=self.seconds)

    @property
    def idle(self) -> bool:
        """Whether it found nothing to do."""
        return not any(self.rows) and not any(self.metrics.values())

    @property
    def outcome(self) -> tuple[Any, ...]:
        """What two runs with the same result have in common."""
        return self.rows, dict(self.rejected), dict(self.metrics), self.made_with


@dataclass(frozen=True)
class OpenRun:
    """A run that left no row yet: ``alive`` is None where it ran on another machine and no sign of life was seen."""

    job: str
    dt: datetime.date
    started_at: datetime.datetime
    phase: str | None
    host: str
    alive: bool | None


@dataclass(frozen=True)
class Facts:
    """What was found.

    Attributes:
        ended: rows of `runs`.
        open: runs without a row yet.
        log_days: log name -> day -> when its files last changed, UTC; None where that was not asked.
        stale_clusterings: days whose newest clustering says that it is stale.
        incomplete_event_days: days of the event log that are half taken in.
    """

    ended: Sequence[EndedRun] = ()
    open: Sequence[OpenRun] = ()
    log_days: Mapping[str, Mapping[datetime.date, datetime.datetime | None]] = field(default_factory=dict)
    stale_clusterings: frozenset[datetime.date] = frozenset()
    incomplete_event_days: frozenset[datetime.date] = frozenset()


@dataclass(frozen=True)
class Schedule:
    """When jobs are due.

    Attributes:
        due_hours: job -> hours after the end of a day, UTC; a job that is not in it is never late, and never waited for.
        now: what time it is, UTC; only people are told of it.
    """

    due_hours: Mapping[str, float] = field(default_factory=dict)
    now: datetime.datetime = EPOCH

    @property
    def jobs(self) -> list[str]:
        """The chain, and what else is due, in order."""
        return [job for job in SCHEDULED if job in CHAIN or job in self.due_hours]

    def due_at(self, job: str, day: datetime.date) -> datetime.datetime | None:
        """By when the job's run of a day should be done, UTC; None where it is never late."""
        if job not in self.due_hours:
            return None
        end = datetime.datetime.combine(day, datetime.time(), datetime.UTC) + datetime.timedelta(days=1)
        return end + datetime.timedelta(hours=self.due_hours[job])

    def last_due_day(self, jobs: Iterable[str]) -> datetime.date | None:
        """The last day of which one of these jobs should be done by now; None where none of them is ever late."""
        hours = min((self.due_hours[job] for job in jobs if job in self.due_hours), default=None)
        return None if hours is None else (self.now - datetime.timedelta(days=1, hours=hours)).date()


NOTHING_DUE = Schedule()


@dataclass(frozen=True)
class Cell:
    """One job of one day.

    Attributes:
        dt: day.
        job: job name.
        state: what is to be said of it.
        why: the reason of a state that is not ok.
        started_at: of its newest run, UTC.
        seconds: wall time of its newest run that ended.
        rejected: reason -> rows, of its newest run if that succeeded.
        late: whether it should be done by now and is not.
    """

    dt: datetime.date
    job: str
    state: State
    why: str = ""
    started_at: datetime.datetime | None = None
    seconds: float | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)
    late: bool = False


def days_between(facts: Facts, schedule: Schedule = NOTHING_DUE) -> list[datetime.date]:
    """All days from the first to the last that a log or a run of the chain names, or that should be done, ascending."""
    named = {d for days in facts.log_days.values() for d in days} | _days_begun(facts)
    if not named:
        return []
    first, last = min(named), max(*named, schedule.last_due_day(SCHEDULED) or min(named))
    return [first + datetime.timedelta(days=n) for n in range((last - first).days + 1)]


def judged(facts: Facts, days: Sequence[datetime.date], schedule: Schedule = NOTHING_DUE) -> list[Cell]:
    """One cell per day and job, days ascending, jobs in the order of the chain.

    Args:
        facts: what was found.
        days: ascending.
        schedule: what is due when.
    """
    wanted = {job: last_wanted_day(facts, job, schedule) for job in LAST_DAY_ONLY}
    cells = [_cell(facts, day, job, day < wanted.get(job, day)) for day in days for job in schedule.jobs]
    done = {(run.job, run.dt) for run in facts.ended if run.succeeded}
    again = [cell.state == State.RUNNING and (cell.job, cell.dt) in done for cell in cells]  # late is what was never done
    return [c if r else _on_time(c, schedule.due_at(c.job, c.dt), schedule.now) for c, r in zip(cells, again, strict=True)]


def last_wanted_day(facts: Facts, job: str, schedule: Schedule = NOTHING_DUE) -> datetime.date:
    """The day before which a job of `LAST_DAY_ONLY` is wanted no more: the last of which it is due, or done already.

    Where it is never due, the last of which anything of the chain ran: logs alone come before their day has ended.
    """
    done = {run.dt for run in facts.ended if run.job == job and run.succeeded}
    due = schedule.last_due_day([job])
    return max(done | ({due} if due else _days_begun(facts)), default=EPOCH.date())


def _days_begun(facts: Facts) -> set[datetime.date]:
    return {r.dt for r in facts.ended if r.job in CHAIN} | {r.dt for r in facts.open if r.job in CHAIN}


def _on_time(cell: Cell, due: datetime.datetime | None, now: datetime.datetime) -> Cell:
    """The cell by the schedule: what was never run waits until it is due; from then on, what is not done is late."""
    if due is None or cell.state not in (State.MISSING, State.RUNNING, State.FAILED, State.UNFINISHED):
        return cell
    when = f"due {due:%Y-%m-%d %H:%M} UTC"
    if now < due:
        waits = cell.state == State.MISSING
        return replace(cell, state=State.NOT_DUE, why=f"{when}; {cell.why}") if waits else cell
    state = State.LATE if cell.state == State.MISSING else cell.state
    return replace(cell, state=state, late=True, why=f"{cell.why}; {when}")


def _cell(facts: Facts, day: datetime.date, job: str, optional: bool) -> Cell:
    newest = _newest(r for r in facts.ended if (r.job, r.dt) == (job, day))
    running = _newest(r for r in facts.open if (r.job, r.dt) == (job, day) and (r.alive or not optional))
    if running and (newest is None or running.started_at > newest.started_at):
        return Cell(day, job, State.RUNNING if running.alive else State.UNFINISHED, _open_text(running), running.started_at)
    if optional and not (newest and newest.succeeded):
        return Cell(day, job, State.NOT_DUE)
    if newest is None:
        return Cell(day, job, State.MISSING, _missing_text(facts, day, job))
    reasons = [_failed_text(newest)] if not newest.succeeded else [] if optional else stale_reasons(facts, newest)
    state = State.FAILED if not newest.succeeded else State.STALE if reasons else State.OK
    rejected = newest.rejected if newest.succeeded else {}
    return Cell(day, job, state, "; ".join(reasons), newest.started_at, newest.seconds, rejected)


def stale_reasons(facts: Facts, run: EndedRun) -> list[str]:
    """Why the outcome of a successful run no longer follows from its inputs; none where it does."""
    reasons = [f"{job} ran again after it, with another outcome" for job in SCHEDULED[run.job] if _changed(facts, job, run)]
    log = LOG_OF.get(run.job, "")
    changed = facts.log_days.get(log, {}).get(run.dt)
    if changed and changed > run.started_at:
        reasons.append(f"{log} changed after it, on {changed:%Y-%m-%d %H:%M} UTC")
    if run.job == "cluster_banners" and run.dt in facts.stale_clusterings:
        reasons.append("an earlier day was clustered anew after it")
    if run.job == "build_user_features" and run.dt in facts.incomplete_event_days:
        reasons.append("the day of the event log was left half taken in")
    return reasons


def _changed(facts: Facts, upstream: str, run: EndedRun) -> bool:
    """Whether a job before this one changed its outcome after this one began."""
    runs = [r for r in facts.ended if (r.job, r.dt) == (upstream, run.dt) and r.succeeded and not r.idle]
    runs.sort(key=lambda r: r.ended_at)
    read, later = ([r for r in runs if (r.ended_at > run.started_at) is after] for after in (False, True))
    return bool(later) and (not read or any(a.outcome != b.outcome for a, b in itertools.pairwise([read[-1], *later])))


def _newest(runs: Iterable[Any]) -> Any:
    return max(runs, key=lambda r: r.started_at, default=None)


def _missing_text(facts: Facts, day: datetime.date, job: str) -> str:
    log = LOG_OF.get(job)
    return f"never ran, and there is no {log} of the day yet" if log and day not in facts.log_days.get(log, {}) else "never ran"


def _failed_text(run: EndedRun) -> str:
    first = (run.error or "no reason was noted").strip().partition("\n")[0]
    return f"{first} (in phase '{run.phase}')" if run.phase else first


def _open_text(run: OpenRun) -> str:
    phase = f", in phase '{run.phase}'" if run.phase else ""
    began = f"began {run.started_at:%Y-%m-%d %H:%M} UTC on {run.host}{phase}"
    if run.alive:
        return began
    return f"{began}, and {'its process is gone' if run.alive is False else 'gives no sign of life'}"
