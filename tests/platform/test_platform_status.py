"""The operator's view: cells against a world that knows what each run read, and what is said of them."""

from __future__ import annotations

import datetime
import json
import random
import re

import pytest

from bannermap.platform.status import (
    BAD,
    CHAIN,
    LAST_DAY_ONLY,
    LOG_OF,
    Cell,
    EndedRun,
    Facts,
    OpenRun,
    Schedule,
    State,
    days_between,
    judged,
)
from bannermap.platform.status_text import Overview, as_json, as_text

BEGAN = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
DAYS = [datetime.date(2026, 3, d) for d in (1, 2, 3)]


def hours(number: float) -> datetime.timedelta:
    return datetime.timedelta(hours=number)


def midnight(day: datetime.date) -> datetime.datetime:
    """When a day ends."""
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC) + hours(24)


class World:
    """Jobs that run, fail and are killed at random while logs change. It keeps what each run read and what it made, and
    says from that alone, without any time, what a cell must be."""

    def __init__(self, seed: int) -> None:
        self.rng, self.minute, self.numbers = random.Random(seed), 0, 0
        self.logs: dict = {}  # (log, day) -> (content, time)
        self.made: dict = {}  # (job, day) -> (what was read, what was made)
        self.last: dict = {}  # (job, day) -> ok, failed, killed or running
        self.ended: list[EndedRun] = []
        self.open: dict = {}
        self.stale = frozenset(d for d in DAYS if self.rng.random() < 0.2)
        self.incomplete = frozenset(d for d in DAYS if self.rng.random() < 0.2)

    def now(self) -> datetime.datetime:
        self.minute += 1
        return BEGAN + datetime.timedelta(minutes=self.minute)

    def inputs(self, job, day) -> tuple:
        log = self.logs.get((LOG_OF[job], day), (None,))[0] if job in LOG_OF else 0
        return (log, *(self.made.get((u, day), (None, None))[1] for u in CHAIN[job]))

    def new(self) -> int:
        self.numbers += 1
        return self.numbers

    def deliver(self, log, day) -> None:
        self.logs[log, day] = (self.new(), self.now())

    def run(self, job, day) -> None:
        read, began, kind = self.inputs(job, day), self.now(), self.rng.random()
        if kind < 0.15:
            alive = self.rng.choice([True, False, None])
            self.open[job, day] = OpenRun(job, day, began, "p", "h", alive)
            self.last[job, day] = State.RUNNING if alive else State.UNFINISHED
            return
        self.open.pop((job, day), None)
        if None in read or kind < 0.3:
            self.ended.append(EndedRun(job, day, False, began, 30.0, error="Odd: why\nmore"))
            self.last[job, day] = State.FAILED
            return
        before = self.made.get((job, day))
        made = before[1] if before and before[0] == read else self.new()
        idle = before and before[0] == read and self.rng.random() < 0.5
        self.ended.append(EndedRun(job, day, True, began, 30.0, metrics={"made": 0 if idle else made}))
        self.made[job, day], self.last[job, day] = (read, made), State.OK

    def passed_over(self, job, day, due_hour=None, now=BEGAN) -> bool:
        """Whether a later day has its report or should have it by now; without an hour, whether anything of one began."""
        later = [d for d in DAYS if d > day]
        if any((job, d) in self.made for d in later):
            return True
        if due_hour is None:
            return any((j, d) in self.last for j in CHAIN for d in later)
        return now >= midnight(day) + hours(24 + due_hour)

    def expected(self, job, day, due_hour=None, now=BEGAN) -> State:
        last = self.last.get((job, day), State.MISSING)
        if job in LAST_DAY_ONLY and self.passed_over(job, day, due_hour, now):
            older = [r.succeeded for r in self.ended if (r.job, r.dt) == (job, day)][-1:]
            return last if last in (State.OK, State.RUNNING) else State.OK if older == [True] else State.NOT_DUE
        said = day in {"cluster_banners": self.stale, "build_user_features": self.incomplete}.get(job, ())
        changed = last == State.OK and (said or self.made[job, day][0] != self.inputs(job, day))
        return State.STALE if changed else last

    def facts(self) -> Facts:
        days = {log: {d: t for (name, d), (_, t) in self.logs.items() if name == log} for log in set(LOG_OF.values())}
        ended = self.rng.sample(self.ended, len(self.ended))
        return Facts(ended, list(self.open.values()), days, self.stale, self.incomplete)


@pytest.mark.parametrize("seed", range(60))
def test_cells_say_what_a_world_that_remembers_every_read_knows(seed):
    world = World(seed)
    for _ in range(world.rng.randint(0, 120)):
        day = world.rng.choice(DAYS)
        if world.rng.random() < 0.2:
            world.deliver(world.rng.choice(sorted(LOG_OF.values())), day)
        else:
            world.run(world.rng.choice(list(CHAIN)), day)
    cells = judged(world.facts(), DAYS)
    assert {(c.job, c.dt): c.state for c in cells} == {(j, d): world.expected(j, d) for d in DAYS for j in CHAIN}
    assert all(bool(c.why) == (c.state in (*BAD, State.RUNNING)) for c in cells)


def test_the_random_worlds_show_every_state():
    seen = set()
    for seed in range(20):
        world = World(seed)
        for _ in range(80):
            world.deliver("banner_log", DAYS[0]) if world.rng.random() < 0.1 else None
            world.deliver("event_log", DAYS[0]) if not world.logs else None
            world.run(world.rng.choice(list(CHAIN)), world.rng.choice(DAYS))
        seen |= {c.state for c in judged(world.facts(), DAYS)}
    assert seen == set(State) - {State.LATE}  # which only a schedule gives


def done(job, day, minute=0, **more):
    return EndedRun(job, day, True, BEGAN + datetime.timedelta(minutes=minute), 12.0, **more)


def whole_day(day, minute=0):
    return [done(job, day, minute + n, metrics={"x": 1.0}) for n, job in enumerate(CHAIN)]


def logs(*days):
    return {log: dict.fromkeys(days) for log in LOG_OF.values()}


def view(facts, **more) -> Overview:
    return Overview("w", judged(facts, days_between(facts)), **more)


def test_all_is_well_after_the_chain_and_the_report_is_due_on_the_last_day_only():
    runs = [r for n, day in enumerate(DAYS) for r in whole_day(day, 10 * n) if r.job not in LAST_DAY_ONLY or day == DAYS[-1]]
    shown = view(Facts(runs, log_days=logs(*DAYS)))
    assert shown.well and as_text(shown).endswith("All is well.")
    assert [c.state for c in shown.cells if c.job in LAST_DAY_ONLY] == [State.NOT_DUE, State.NOT_DUE, State.OK]


@pytest.mark.parametrize("of_it", [[EndedRun("build_report", DAYS[0], False, BEGAN + hours(27))], []])
def test_a_report_that_failed_or_never_ran_is_seen_though_the_next_day_has_logs_and_runs(of_it):
    ran = [r for r in whole_day(DAYS[0]) if r.job not in LAST_DAY_ONLY]
    begun = [*ran, *of_it, done("dedupe_banners", DAYS[1], 60 * 50)]
    hour_of = dict.fromkeys(CHAIN, 8.0)

    def reports(ended, now, due_hours=hour_of):
        facts = Facts(ended, log_days=logs(*DAYS[:2]))
        return [(c.state, c.late) for c in judged(facts, DAYS[:2], Schedule(due_hours, now)) if c.job in LAST_DAY_ONLY]

    seen = (State.FAILED if of_it else State.LATE, True)
    for after in (32, 47.9, 55.9):
        assert reports([*ran, *of_it], BEGAN + hours(after)) == [seen, (State.NOT_DUE, False)]
        assert reports(begun, BEGAN + hours(after)) == [seen, (State.NOT_DUE, False)]
    assert reports(begun, BEGAN + hours(56)) == [(State.NOT_DUE, False), (State.LATE, True)]
    early = [*begun, done("build_report", DAYS[1], 60 * 51)]  # the one page is then the later day's
    assert reports(early, BEGAN + hours(52)) == [(State.NOT_DUE, False), (State.OK, False)]
    plain = State.FAILED if of_it else State.MISSING
    assert reports([*ran, *of_it], BEGAN + hours(30), {}) == [(plain, False), (State.MISSING, False)]
    assert reports(begun, BEGAN + hours(52), {}) == [(State.NOT_DUE, False), (State.MISSING, False)]


def state_of(job, ended, notes=()):
    return {c.job: c.state for c in judged(Facts(ended, notes), DAYS[:1])}[job]


def test_a_job_is_stale_when_one_before_it_ended_while_it_ran_or_ran_only_later():
    cluster = done("cluster_banners", DAYS[0], 10, metrics={"x": 1.0})
    features = EndedRun("build_user_features", DAYS[0], True, BEGAN + datetime.timedelta(minutes=20), 600.0)
    meanwhile = EndedRun("cluster_banners", DAYS[0], True, BEGAN + datetime.timedelta(minutes=19), 300.0, metrics={"x": 2.0})
    assert state_of("build_user_features", [cluster, features]) == State.OK
    assert state_of("build_user_features", [cluster, features, meanwhile]) == State.STALE
    assert state_of("build_user_features", [features, meanwhile]) == State.STALE


def test_a_note_that_a_later_run_left_behind_is_passed_over():
    note = OpenRun("dedupe_banners", DAYS[0], BEGAN, None, "h", False)
    assert state_of("dedupe_banners", [done("dedupe_banners", DAYS[0], 1)], [note]) == State.OK
    assert state_of("dedupe_banners", [done("dedupe_banners", DAYS[0], -1)], [note]) == State.UNFINISHED


def test_runs_of_other_jobs_make_no_day_due():
    other = done("another_job", DAYS[2])
    killed = OpenRun("another_job", DAYS[1], BEGAN, None, "h", False)
    assert days_between(Facts([*whole_day(DAYS[0]), other], [killed])) == [DAYS[0]]


def test_days_between_the_first_and_the_last_are_missing_as_one_item_with_the_whole_chain():
    shown = view(Facts([*whole_day(DAYS[0]), *whole_day(DAYS[2], 20)], log_days=logs(DAYS[0], DAYS[2])), options=" --set a.b=c")
    assert not shown.well
    lines = as_text(shown).splitlines()
    assert "  2026-03-02 all jobs: never ran, and there is no banner_log of the day yet" in "\n".join(lines)
    assert lines.count("    ./spark-submit.sh daily_pipeline --date 2026-03-02 --set a.b=c") == 1
    assert lines[-1] == f"{len(CHAIN) - len(LAST_DAY_ONLY)} missing."


def test_every_bad_cell_has_its_reason_and_its_command_and_no_other_has():
    failed = EndedRun("cluster_banners", DAYS[0], False, BEGAN, 3.0, error="InputError: a\nb", phase="merge forests")
    killed = OpenRun("embed_banners", DAYS[0], BEGAN, "fetch", "host", False)
    shown = view(Facts([done("dedupe_banners", DAYS[0]), failed], [killed], logs(DAYS[0])))
    text = as_text(shown)
    assert "InputError: a (in phase 'merge forests')" in text and "b\n" not in text
    assert "began 2026-03-01 00:00 UTC on host, in phase 'fetch', and its process is gone" in text
    commands = re.findall(r"spark-submit.sh (\w+) --date 2026-03-01", text)
    assert sorted(commands) == sorted(c.job for c in shown.cells if c.state in BAD)
    assert text.splitlines()[-1] == f"{len(CHAIN) - 3} missing, 1 failed, 1 never ended."


def test_json_holds_every_cell_and_the_verdict():
    facts = Facts([*whole_day(DAYS[0]), done("dedupe_banners", DAYS[0], 60, metrics={"x": 2.0})], log_days=logs(DAYS[0]))
    shown = view(facts, problems=["a table"])
    found = json.loads(as_json(shown))
    assert (found["well"], found["problems"]) == (False, ["a table"])
    assert {job: cell["state"] for job, cell in found["days"]["2026-03-01"].items()} == {
        c.job: "not due" if c.state == State.NOT_DUE else c.state.value for c in shown.cells
    }
    stale = found["days"]["2026-03-01"]["embed_banners"]
    assert stale["state"] == "stale" and stale["command"] == "./spark-submit.sh embed_banners --date 2026-03-01"


def test_rejected_rows_are_summed_by_job_and_reason_over_successful_runs():
    runs = [done("dedupe_banners", d, rejected={"no_url": n, "odd": 1}) for n, d in enumerate(DAYS, 1)]
    runs.append(EndedRun("embed_banners", DAYS[0], False, BEGAN, rejected={"timeout": 5}))
    text = as_text(view(Facts(runs)))
    assert "  dedupe_banners no_url: 6\n  dedupe_banners odd: 3" in text and "timeout" not in text


def test_nothing_at_all_is_not_well_and_names_the_paths():
    shown = view(Facts())
    assert days_between(Facts()) == [] and not shown.well and "paths.event_log" in as_text(shown)


def test_a_view_with_problems_is_not_well():
    cells = [Cell(DAYS[0], job, State.OK) for job in CHAIN]
    assert Overview("w", cells).well and not Overview("w", cells, ["table x"]).well
    assert "table x" in as_text(Overview("w", cells, ["table x"]))


@pytest.mark.parametrize("seed", range(40))
def test_what_is_late_follows_from_what_is_done_and_the_hour(seed):
    """Against the words: due is so many hours after the end of the day; what runs again, having been done, is not late."""
    world, rng = World(seed), random.Random(1000 + seed)
    for _ in range(rng.randint(1, 60)):
        world.run(rng.choice(list(CHAIN)), rng.choice(DAYS))
    due_hours = {job: rng.choice([0.0, 2.5, 30.0]) for job in CHAIN if rng.random() < 0.6}
    now = BEGAN + hours(rng.uniform(0, 120))
    for cell in judged(world.facts(), DAYS, Schedule(due_hours, now)):
        due = due_hours.get(cell.job)
        plain = world.expected(cell.job, cell.dt, due, now)
        undone = plain in (State.MISSING, State.FAILED, State.UNFINISHED)
        undone = undone or (plain == State.RUNNING and (cell.job, cell.dt) not in world.made)
        assert cell.late == (due is not None and undone and now >= midnight(cell.dt) + hours(due))
        waits = due is not None and plain == State.MISSING and not cell.late
        late = State.LATE if cell.late and plain == State.MISSING else plain
        assert cell.state == (State.NOT_DUE if waits else late)


def test_a_day_that_nobody_delivered_is_late_once_it_should_be_done():
    facts, due_hours = Facts(whole_day(DAYS[0])), {"dedupe_banners": 3.0, "publish_clusters": 5.0}
    cells = {}
    for after in (2.9, 3.0, 4.9, 5.0):
        schedule = Schedule(due_hours, BEGAN + hours(48 + after))
        days = days_between(facts, schedule)
        cells[after] = {(c.job, c.dt): c for c in judged(facts, days, schedule)}
        assert days == (DAYS[:1] if after < 3 else DAYS[:2])
    assert cells[2.9]["publish_clusters", DAYS[0]].state == State.LATE
    assert cells[3.0]["dedupe_banners", DAYS[1]].state == State.LATE
    assert cells[3.0]["embed_banners", DAYS[1]].state == State.MISSING
    assert cells[4.9]["publish_clusters", DAYS[1]].state == State.NOT_DUE
    assert cells[5.0]["publish_clusters", DAYS[1]].state == State.LATE
    text = as_text(Overview("w", list(cells[4.9].values())))
    assert "publish_clusters" in text.splitlines()[2] and "due 2026-03-03 03:00 UTC" in text
    assert "./spark-submit.sh publish_clusters --date 2026-03-01" in text and "2 late" in text.splitlines()[-1]


def test_what_waits_for_its_hour_is_well_and_what_runs_past_it_is_not():
    waiting = Schedule(dict.fromkeys(CHAIN, 6.0), BEGAN + hours(29))
    cells = judged(Facts(whole_day(DAYS[0])[:2]), DAYS[:1], waiting)
    assert Overview("w", cells).well
    running = OpenRun("cluster_banners", DAYS[0], BEGAN + hours(28), "p", "h", True)
    facts = Facts([r for r in whole_day(DAYS[0]) if r.job != "cluster_banners"], [running])
    for at, well in ((29, True), (30, False)):
        cells = judged(facts, DAYS[:1], Schedule({"cluster_banners": 6.0}, BEGAN + hours(at)))
        view = Overview("w", cells)
        assert view.well == well and ("1 running late" in as_text(view)) == (not well)
    assert json.loads(as_json(view))["days"]["2026-03-01"]["cluster_banners"]["late"] is True
