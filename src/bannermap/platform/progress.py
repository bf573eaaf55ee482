"""How far a long phase is: what Spark's status tracker knows of its jobs, as a line for the terminal and for the Spark UI.

The time left is ``seconds so far x (tasks - done) / done``, from the phase's tasks that are known by now, and unknown until two
are done. Spark plans a phase job by job, so later jobs of the phase are not in it: it is the time left for what has been planned.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark import SparkContext

GROUP_PROPERTY = "spark.jobGroup.id"
DESCRIPTION_PROPERTY = "spark.job.description"
LEAST_TASKS_DONE = 2
LEAST_LEFT_S = 5.0
"""Seconds; with less left the next job of the phase is what matters, and nothing is known of it."""
THREAD = "bannermap-progress"
END_S = 10.0
"""Seconds to wait for the reporting thread at the end of a phase: a reading that hangs must not hold the job."""


@dataclass(frozen=True)
class StageReading:
    """A stage of Spark: its number, and how many tasks it has, has done and is working on."""

    number: int
    tasks: int
    done: int
    active: int


@dataclass(frozen=True)
class StepReading:
    """A job of Spark: whether it is running, and its stages."""

    running: bool
    stages: Sequence[StageReading]


def tally(steps: Sequence[StepReading]) -> tuple[int, int]:
    """Tasks done, and tasks known, of a phase; a stage that several steps share counts once.

    A step that has ended counts what it did: the stages that it did not need are done too. Of a running step, a stage that
    waits counts, unless it lies before all that are active: numbers follow the order of need, so it was skipped.
    """
    known: dict[int, tuple[int, int]] = {}
    for step in steps:
        first = min((s.number for s in step.stages if s.active), default=0)
        for stage in step.stages:
            needed = step.running and (stage.active or stage.done or stage.number > first)
            tasks = stage.tasks if needed else stage.done
            known[stage.number] = max(known.get(stage.number, (0, 0)), (stage.done, tasks))
    return sum(done for done, _ in known.values()), sum(tasks for _, tasks in known.values())


def seconds_left(done: int, tasks: int, seconds: float) -> float | None:
    """Time for the rest at the rate so far; None until `LEAST_TASKS_DONE` tasks are done."""
    return seconds * (tasks - done) / done if done >= LEAST_TASKS_DONE else None


def progress_text(steps: Sequence[StepReading], seconds: float) -> str:
    """How far a phase is, for people.

    Args:
        steps: the phase's jobs so far.
        seconds: since the phase began.
    """
    done, tasks = tally(steps)
    if done >= tasks:
        return f"{done} tasks done, {duration(seconds)} so far, no task at the moment"
    left = seconds_left(done, tasks, seconds)
    if left is None:
        return f"{done} of {tasks} tasks, time left not known yet"
    return f"{done} of {tasks} tasks" + (f", about {duration(left)} left" if left >= LEAST_LEFT_S else " so far")


def duration(seconds: float) -> str:
    """Seconds as people say them: ``40 s``, ``5 min``, ``2 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def report_progress(
    read: Callable[[], Sequence[StepReading]], tell: Callable[[str], None], ended: Callable[[], bool], clock: Callable[[], float]
) -> None:
    """Tell how far the phase is, each time that ``ended`` comes back with false; the first failure ends the telling.

    Args:
        read: the phase's jobs as they are.
        tell: takes the text.
        ended: waits, and says whether the phase is over.
        clock: seconds.
    """
    began = clock()
    while not ended():
        try:
            tell(progress_text(read(), clock() - began))
        except Exception:  # the session has stopped, or nobody reads our output: no reason to disturb the job
            return


@dataclass
class JobGroup:
    """The jobs of one phase, by the group that they carry; of those that have ended, what is known is kept."""

    context: SparkContext
    name: str
    _ended: dict[int, StepReading] = field(default_factory=dict)

    def read(self) -> list[StepReading]:
        """All jobs of the group, as they are now."""
        tracker: Any = self.context.statusTracker()
        new = [number for number in tracker.getJobIdsForGroup(self.name) if number not in self._ended]
        found = {number: self._step(tracker, number) for number in new}
        self._ended.update({number: step for number, step in found.items() if not step.running})
        return [*self._ended.values(), *(step for step in found.values() if step.running)]

    def _step(self, tracker: Any, number: int) -> StepReading:
        job = tracker.getJobInfo(number)
        stages = [tracker.getStageInfo(n) for n in job.stageIds] if job else []
        readings = [StageReading(s.stageId, s.numTasks, s.numCompletedTasks, s.numActiveTasks) for s in stages if s]
        return StepReading(job is not None and job.status == "RUNNING", readings)


@contextlib.contextmanager
def reported(
    context: SparkContext, group: str, description: str, interval_s: float, say: Callable[[str], None]
) -> Iterator[None]:
    """Give the jobs of a phase a group and a description, and say every so often how far they are.

    A job's description cannot change once it runs; each job that starts later in the phase has the newest line in its own.

    Args:
        context: of the session.
        group: a name of its own for the phase.
        description: of the phase's jobs in the Spark UI.
        interval_s: seconds between two lines, and before the first; 0 for none.
        say: takes a line.
    """
    previous = {name: context.getLocalProperty(name) for name in (GROUP_PROPERTY, DESCRIPTION_PROPERTY)}
    context.setLocalProperty(GROUP_PROPERTY, group)
    context.setLocalProperty(DESCRIPTION_PROPERTY, description)
    stop = _start_reporting(context, group, description, interval_s, say) if interval_s else None
    try:
        yield
    finally:
        if stop:
            stop()
        with contextlib.suppress(Exception):  # a session that died has told why; that error is the one to see
            for name, value in previous.items():
                context.setLocalProperty(name, value)  # type: ignore[arg-type]  # None removes it


def _start_reporting(
    context: SparkContext, group: str, description: str, interval_s: float, say: Callable[[str], None]
) -> Callable[[], None] | None:
    """Start the reporting thread; what comes back ends it. None where none could be started: the job does without."""
    over = threading.Event()
    # The very object that belongs to this thread: what another thread puts in goes to the next job that this one starts.
    properties: Any = context._jsc.sc().getLocalProperties()

    def tell(text: str) -> None:
        properties.setProperty(DESCRIPTION_PROPERTY, f"{description}: {text}")
        say(text)

    def report() -> None:
        report_progress(JobGroup(context, group).read, tell, lambda: over.wait(interval_s), time.monotonic)

    def stop() -> None:
        over.set()
        thread.join(END_S)

    thread = threading.Thread(target=report, daemon=True, name=THREAD)
    try:
        thread.start()
    except RuntimeError:
        return None
    return stop
