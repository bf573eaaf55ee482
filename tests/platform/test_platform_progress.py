"""Progress of long phases: figures from readings, lines at each turn, and a real Spark job watched from beside it."""

from __future__ import annotations

import itertools
import random
import threading
import time

import pytest

from bannermap.platform.cli import Stage, run_stage
from bannermap.platform.progress import (
    DESCRIPTION_PROPERTY,
    GROUP_PROPERTY,
    THREAD,
    JobGroup,
    StageReading,
    StepReading,
    duration,
    progress_text,
    report_progress,
    reported,
    seconds_left,
    tally,
)
from bannermap.platform.tables import RUNS
from bannermap.sample.world import FIRST_DAY


def step(running, *stages):
    return StepReading(running, [StageReading(*s) for s in stages])


def played(seed: int) -> list[list[StepReading]]:
    """Readings of steps that are worked off one task at a time, stages in order; some of their first stages are skipped."""
    rng, number = random.Random(seed), itertools.count()
    plans = [[(next(number), rng.randint(1, 5)) for _ in range(rng.randint(1, 3))] for _ in range(3)]
    skipped = [{plan[0][0]} if len(plan) > 1 and rng.random() < 0.5 else set() for plan in plans]
    readings, ended = [], []
    for plan, skip in zip(plans, skipped, strict=True):
        done = dict.fromkeys((n for n, _ in plan), 0)
        for stage, tasks in (s for s in plan if s[0] not in skip):
            for _ in range(tasks):
                rows = [(n, t, done[n], int(n == stage)) for n, t in plan]
                readings.append([*ended, step(True, *rows)])
                done[stage] += 1
        ended = [*ended, step(False, *((n, t, done[n], 0) for n, t in plan))]
        readings.append(ended)
    return readings


@pytest.mark.parametrize("seed", range(20))
def test_tasks_done_count_up_one_by_one_and_skipped_stages_never_count(seed):
    readings = played(seed)
    tallies = [tally(r) for r in readings]
    assert all(0 <= done <= tasks for done, tasks in tallies)
    assert all(b[0] - a[0] in (0, 1) for a, b in itertools.pairwise(tallies))
    ran = sum(s.done for one in readings[-1] for s in one.stages)
    assert tallies[-1] == (ran, ran)
    for reading, (done, tasks) in zip(readings, tallies, strict=True):
        waiting = {s.number: s.tasks - s.done for one in reading if one.running for s in one.stages}
        active = [s.number for one in reading for s in one.stages if s.active]
        assert tasks - done == sum(left for number, left in waiting.items() if number >= min(active))


def test_a_stage_that_two_steps_share_counts_once():
    assert tally([step(True, (1, 4, 2, 1)), step(True, (1, 4, 2, 1), (2, 3, 0, 0))]) == (2, 7)


def test_time_left_is_what_a_steady_rate_needs():
    rng = random.Random(4)
    for _ in range(100):
        tasks, pace = rng.randint(3, 500), rng.uniform(0.01, 60)
        done = rng.randint(2, tasks)
        assert seconds_left(done, tasks, done * pace) == pytest.approx((tasks - done) * pace)
    assert seconds_left(0, 9, 50.0) is None and seconds_left(1, 9, 50.0) is None


def test_texts():
    assert progress_text([step(True, (0, 128, 32, 4))], 20.0) == "32 of 128 tasks, about 60 s left"
    assert progress_text([step(True, (0, 128, 1, 4))], 20.0) == "1 of 128 tasks, time left not known yet"
    assert progress_text([], 30.0) == "0 tasks done, 30 s so far, no task at the moment"
    said = {0.4: "0 s", 99: "99 s", 100: "2 min", 5900: "98 min", 6000: "1 h 40 min", 7500: "2 h 05 min"}
    assert {s: duration(s) for s in said} == said


def test_a_line_each_turn_until_the_phase_ends():
    told, ends, clock = [], iter([False, False, False, True]), itertools.count(0, 10)
    readings = iter([step(True, (0, 10, n, 1))] for n in (1, 4, 9))
    report_progress(lambda: next(readings), told.append, lambda: next(ends), lambda: next(clock))
    assert told == ["1 of 10 tasks, time left not known yet", "4 of 10 tasks, about 30 s left", "9 of 10 tasks so far"]


@pytest.mark.parametrize("where", ["read", "tell"])
def test_a_failure_ends_the_telling_and_nothing_else(where):
    turns, told = iter([False] * 5), []

    def fail(*_):
        told.append(where)
        raise OSError("closed")

    read, tell = (fail, told.append) if where == "read" else (list, fail)
    report_progress(read, tell, lambda: next(turns), lambda: 0.0)
    assert told == [where] and len(list(turns)) == 4


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == THREAD]


def test_a_real_phase_is_watched_and_later_jobs_say_so(spark):
    context, lines, seen = spark.sparkContext, [], threading.Event()

    def slow(rows):  # in here, so that the workers get it by value
        for row in rows:
            time.sleep(0.1)
            yield row

    before = {p: context.getLocalProperty(p) for p in (GROUP_PROPERTY, DESCRIPTION_PROPERTY)}

    def say(line):
        lines.append(line)
        seen.set()

    with reported(context, "watched", "a phase", 0.05, say):
        assert len(threads()) == 1
        assert context.parallelize(range(16), 16).mapPartitions(slow).count() == 16
        assert seen.wait(60)
        assert context.getLocalProperty(DESCRIPTION_PROPERTY).startswith("a phase: ")
        context.parallelize(range(2), 2).count()
        context._jsc.sc().listenerBus().waitUntilEmpty()  # a job returns before what watches it was told of its end
        last = JobGroup(context, "watched").read()
    assert threads() == []
    assert any(" of 16 tasks" in line for line in lines)
    assert tally(last) == (18, 18)
    store = context._jsc.sc().statusStore()
    numbers = sorted(context.statusTracker().getJobIdsForGroup("watched"))
    descriptions = [store.job(n).description().get() for n in numbers]
    assert descriptions[0].startswith("a phase") and descriptions[1].startswith("a phase: ")
    assert {p: context.getLocalProperty(p) for p in before} == before


def test_a_phase_whose_terminal_is_gone_goes_on(spark):
    def closed(line):
        raise BrokenPipeError

    with reported(spark.sparkContext, "closed", "a phase", 0.01, closed):
        assert spark.range(5).count() == 5
    assert threads() == []


def test_no_thread_where_no_line_is_wanted_and_none_stays_after_an_error(spark):
    with reported(spark.sparkContext, "silent", "a phase", 0, pytest.fail):
        assert threads() == []
    with pytest.raises(KeyError), reported(spark.sparkContext, "failing", "a phase", 60, pytest.fail):
        raise KeyError
    assert threads() == []


def test_phases_that_were_declared_say_which_of_how_many(warehouse, base_settings, capsys):
    def work(context):
        for name in ("first", "second", "another"):
            with context.phase(name):
                pass

    run = run_stage(Stage("counted", work, ("first", "second")), warehouse, base_settings, FIRST_DAY)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ", 1)[1] for line in lines[:3]] == ["first (phase 1 of 2)", "second (phase 2 of 2)", "another"]
    assert set(run.phase_seconds) == {"first", "second", "another"}
    assert warehouse.read(RUNS).collect()[0].failed_phase is None
