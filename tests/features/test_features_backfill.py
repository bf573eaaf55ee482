"""Many as-of days at once equal the oracle, days published one by one, and a rebuild; a late day touches what it must."""

from __future__ import annotations

import contextlib
import datetime
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import backfill_features
import feature_oracle as oracle
import pytest
from repository import ROOT
from test_features_days import (
    ASSIGNMENT,
    array_rows,
    at,
    cluster,
    day,
    deliver,
    long_rows,
    partials,
    revisions,
    settings_for,
    stored,
)

from bannermap.features import job
from bannermap.features.backfill import Backfill, backfill_stage
from bannermap.features.job import STAGE
from bannermap.platform.cli import main, run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.session import OPEN_FILES
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import FEATURE_PUBLICATIONS, USER_BANNER_DAYS, USER_CLUSTER_COUNTS
from bannermap.platform.versions import newest_commit

DAYS = (40, 41, 42)
LATER = {"a": "k1", "b": "k9", "d": "k2"}
PUBLISHED = ("user_features", "user_features_wide_k05", "user_feature_lists_k05", "user_cluster_counts", "feature_publications")


def backfilled(warehouse: Warehouse, settings, first: int = DAYS[0], last: int = DAYS[-1], **options):
    return run_stage(backfill_stage(Backfill(day(last), **options)), warehouse, settings, day(first))


def touched_days(warehouse: Warehouse, table, since: int) -> set[str]:
    """Days of the partitions that commits after one added files to or removed files from, by Delta's log."""
    found = set()
    for number in range(since + 1, newest_commit(warehouse.spark, warehouse.path(table)) + 1):
        for line in Path(warehouse.path(table), "_delta_log", f"{number:020d}.json").read_text().splitlines():
            action = json.loads(line)
            found |= {f["partitionValues"]["dt"] for f in (action.get("add"), action.get("remove")) if f}
    return found


def cut_off(*_):
    raise KeyboardInterrupt


@contextlib.contextmanager
def two_at_a_time(spark) -> Iterator[None]:
    """Publications write as many days at once as a task fills without sorting, one less than it keeps open."""
    before = spark.conf.get(OPEN_FILES)
    spark.conf.set(OPEN_FILES, "3")
    yield
    spark.conf.set(OPEN_FILES, before)


def equals_the_oracle(warehouse: Warehouse, events: list[dict], assignments: dict[int, dict]) -> bool:
    newest: dict[datetime.date, int] = {}
    for d, r in revisions(warehouse):
        newest[d] = max(r, newest.get(d, 0))
    expected = {n: oracle.features(events, assignment, day(n)) for n, assignment in assignments.items()}
    return all(
        long_rows(warehouse, day(n), newest[day(n)]) == array_rows(warehouse, day(n), newest[day(n)]) == expected[n]
        for n in assignments
    )


@pytest.mark.slow
def test_a_backfill_equals_days_one_by_one_and_a_late_day_touches_exactly_what_it_must(spark, base_settings, warehouse, tmp_path):
    rng, settings = random.Random(6), settings_for(base_settings, tmp_path / "log", user_buckets=4)
    logs = {n: [e for g in range(4) for e in oracle.random_history(rng, f"{n}{g}", day(n), 44, 25)] for n in DAYS}
    assignments = {n: ASSIGNMENT if n < 42 else LATER for n in DAYS}
    for n in DAYS:
        deliver(tmp_path / "log", day(n), logs[n])
        cluster(warehouse, day(n), assignment=assignments[n])
        run_stage(STAGE, warehouse, settings, day(n))
    known = [e for n in DAYS for e in logs[n]]
    assert equals_the_oracle(warehouse, known, assignments)
    newest = {r.dt: r.inputs_digest for r in warehouse.read(FEATURE_PUBLICATIONS).orderBy("revision").collect()}

    anew = Warehouse(spark, str(tmp_path / "anew"))
    shutil.copytree(warehouse.root, anew.root, ignore=shutil.ignore_patterns(*PUBLISHED))
    dry = Warehouse(spark, anew.root, read_only=True)
    assert backfilled(dry, settings).metrics["revisions_written"] == 3 and not anew.exists(FEATURE_PUBLICATIONS)
    with two_at_a_time(spark):
        run = backfilled(anew, settings)
    assert newest_commit(spark, anew.path(USER_CLUSTER_COUNTS)) == 2, "made, then two days, then one"
    assert equals_the_oracle(anew, known, assignments)
    assert run.rows_out == sum(len({u for u, _ in oracle.features(known, assignments[n], day(n))}) for n in DAYS)
    assert {r.dt: r.inputs_digest for r in anew.read(FEATURE_PUBLICATIONS).collect()} == newest
    lag = datetime.timedelta(hours=settings.features.available_lag_hours)
    for n in DAYS:  # a server could have had each day once the last log came that holds events of its windows
        brought = [m for m in DAYS for e in logs[m] if 0 <= (day(n) - e["event_ts"].date()).days < 30]
        assert revisions(anew)[(day(n), 1)] == at(max([n, *brought]) + 1, 0) + lag

    before, versions = stored(anew), [newest_commit(spark, anew.path(t)) for t in (USER_CLUSTER_COUNTS, FEATURE_PUBLICATIONS)]
    assert backfilled(anew, settings).metrics["revisions_written"] == 0
    assert [newest_commit(spark, anew.path(t)) for t in (USER_CLUSTER_COUNTS, FEATURE_PUBLICATIONS)] == versions
    backfilled(anew, settings, first=41, rewrite=True)
    assert stored(anew) == before

    late, since = [oracle.event("late", "click", at(12), "late-user", "a")], newest_commit(spark, anew.path(USER_BANNER_DAYS))
    counts_since = newest_commit(spark, anew.path(USER_CLUSTER_COUNTS))
    on_time = oracle.event("on-time", "request", at(43), "u", "b")
    deliver(tmp_path / "log", day(43), [*late, on_time])
    cluster(anew, day(43))
    run_stage(STAGE, anew, settings, day(43))
    assert touched_days(anew, USER_BANNER_DAYS, since) == {str(day(12)), str(day(43))}
    # As of day 41 the longest window begins with day 12; the windows of day 42 do not hold it.
    assert touched_days(anew, USER_CLUSTER_COUNTS, counts_since) == {str(day(n)) for n in (40, 41, 43)}
    assert partials(anew) == oracle.partial_counts([*known, *late, on_time])
    assert equals_the_oracle(anew, [*known, *late, on_time], {**assignments, 43: ASSIGNMENT})
    assert {(d, r) for d, r in revisions(anew) if r > 1} == {(day(40), 2), (day(41), 2)}


@pytest.mark.slow
def test_a_range_that_cannot_be_published_whole_changes_nothing(base_settings, warehouse, tmp_path):
    settings = settings_for(base_settings, tmp_path / "log", user_buckets=3)
    deliver(tmp_path / "log", day(0), [oracle.event("e", "click", at(0), "u", "a")])
    cluster(warehouse, day(0))
    run_stage(STAGE, warehouse, settings, day(0))
    before = stored(warehouse)
    with pytest.raises(InputError, match=r"no clustering as of 2026-02-02 .nor as of 1 later"):
        backfilled(warehouse, settings, 0, 2)
    cluster(warehouse, day(1))
    with pytest.raises(InputError, match="2026-02-02 was not taken in"):
        backfilled(warehouse, settings, 0, 1)
    with pytest.raises(InputError, match=r"lies in 3 buckets of users, and features.user_buckets is 5"):
        backfilled(warehouse, settings_for(base_settings, tmp_path / "log", user_buckets=5), 0, 0)
    assert stored(warehouse) == before


@pytest.mark.slow
def test_a_range_tells_of_days_without_a_log_and_refuses_one_that_was_cut_off(base_settings, warehouse, tmp_path, monkeypatch):
    settings = settings_for(base_settings, tmp_path / "log")
    for n in (0, 1, 4):
        deliver(tmp_path / "log", day(n), [oracle.event(f"e{n}", "click", at(n), "u", "a")])
        cluster(warehouse, day(n))
    assert run_stage(STAGE, warehouse, settings, day(0)).metrics["log_days_absent"] == 0
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(job, "publish", cut_off)
        run_stage(STAGE, warehouse, settings, day(1))
    nightly = run_stage(STAGE, warehouse, settings, day(4)).metrics
    assert (nightly["log_days_absent"], nightly["log_days_incomplete"]) == (2, 1)
    before = stored(warehouse)
    with pytest.raises(InputError, match=r"2026-02-02 was not taken in to the end .1 days that the windows"):
        backfilled(warehouse, settings, 4, 4)
    assert stored(warehouse) == before
    run_stage(STAGE, warehouse, settings, day(1))
    metrics = backfilled(warehouse, settings, 4, 4).metrics
    assert (metrics["log_days_absent"], metrics["log_days_incomplete"]) == (2, 0)


@pytest.mark.parametrize(("words", "match"), [([], "needs --until"), (["--until", "2025-12-31"], "lies before --date")])
def test_a_range_without_days_ends_before_spark_starts(words, match, monkeypatch, capsys):
    monkeypatch.setenv("BANNERMAP_HOME", str(ROOT))
    monkeypatch.setattr("bannermap.platform.cli.build_session", None)
    assert main(backfill_features.JOB, ["--date", "2026-01-01", *words]) == 2
    assert match in capsys.readouterr().err
