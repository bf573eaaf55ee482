"""The stage over days: late events, repeated ids, any order, reruns, revisions, leaks, refused days; and plain readers."""

from __future__ import annotations

import datetime
import random
from pathlib import Path

import feature_oracle as oracle
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bannermap.features import job
from bannermap.features.job import STAGE
from bannermap.features.reading import features_for
from bannermap.platform.cli import run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    EVENT_LOG_DAYS,
    FEATURE_PUBLICATIONS,
    REJECTS,
    THEMES,
    USER_BANNER_DAYS,
    USER_CLUSTER_COUNTS,
    USER_FEATURE_LISTS,
    USER_FEATURES,
    USER_FEATURES_WIDE,
    WIDE_SLOTS,
    window_columns,
)

FIRST = datetime.date(2026, 2, 1)
ASSIGNMENT = {"a": "k1", "b": "k1", "c": "k2", "d": "k3"}
RESULTS = (USER_BANNER_DAYS, EVENT_LOG_DAYS, FEATURE_PUBLICATIONS, USER_CLUSTER_COUNTS, USER_FEATURES)
RESULTS += (USER_FEATURES_WIDE, USER_FEATURE_LISTS, WIDE_SLOTS)


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def at(number: int, hour: int = 12) -> datetime.datetime:
    return datetime.datetime.combine(day(number), datetime.time(hour))


def deliver(root, log_day: datetime.date, events: list[dict]) -> None:
    folder = root / f"dt={log_day}"
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(events, columns=list(oracle.LOGGED))
    frame["event_ts"] = pd.to_datetime(frame["event_ts"]).dt.as_unit("us")
    frame.astype({c: "string" for c in oracle.LOGGED if c != "event_ts"}).to_parquet(folder / "part.parquet")


def cluster(warehouse: Warehouse, as_of: datetime.date, sequence: int = 1, assignment: dict | None = None) -> str:
    """A clustering as another stage would leave it; banner e is an outlier."""
    name, spark = f"{as_of}-c{sequence}", warehouse.spark
    assignment = ASSIGNMENT if assignment is None else assignment
    clusters = sorted(set(assignment.values()))
    placed = [*((b, c, c) for b, c in assignment.items()), ("e", None, clusters[-1])]
    members = [
        {"banner_id": b, "cluster_id": c, "is_outlier": c is None, "themes": {5: f"theme-{near}"}} for b, c, near in placed
    ]
    rows = [tuple({"clustering_id": name, **m}.get(c) for c in CLUSTER_MEMBERS.columns) for m in members]
    warehouse.overwrite_partition(CLUSTER_MEMBERS, spark.createDataFrame(rows, CLUSTER_MEMBERS.schema), clustering_id=name)
    themes = [(name, 5, slot, f"theme-{c}", as_of, 1, 1, [1.0]) for slot, c in enumerate(clusters, 2)]
    warehouse.overwrite_partition(THEMES, spark.createDataFrame(themes, THEMES.schema), clustering_id=name)
    made = {"clustering_id": name, "dt": as_of, "sequence": sequence, "state": "current"}
    row = tuple(made.get(c) for c in CLUSTERINGS.columns)
    warehouse.merge(CLUSTERINGS, spark.createDataFrame([row], CLUSTERINGS.schema))
    return name


def settings_for(base_settings, root, **changes):
    paths = base_settings.paths.model_copy(update={"event_log": str(root)})
    features = base_settings.features.model_copy(update={"min_share_of_previous_day": 0.0, **changes})
    return base_settings.model_copy(update={"paths": paths, "features": features})


@pytest.fixture
def settings(base_settings, tmp_path):
    return settings_for(base_settings, tmp_path / "log")


def stored(warehouse: Warehouse, tables=RESULTS) -> dict[str, list[str]]:
    """Every row of the results, as sorted text."""
    return {t.name: sorted(map(repr, warehouse.read(t).collect())) for t in tables}


def partials(warehouse: Warehouse) -> dict[tuple, tuple]:
    rows = warehouse.read(USER_BANNER_DAYS).collect()
    assert len({(r.dt, r.user_id, r.banner_id) for r in rows}) == len(rows)
    return {(r.dt, r.user_id, r.banner_id): (r.requests, r.impressions, r.clicks) for r in rows}


def long_rows(warehouse: Warehouse, as_of: datetime.date, revision: int) -> dict[tuple, tuple]:
    rows = warehouse.read(USER_CLUSTER_COUNTS).where(f"dt = DATE'{as_of}' AND revision = {revision}").collect()
    return {(r.user_id, r.cluster_id): tuple(r[c] for c in window_columns()) for r in rows}


def array_rows(warehouse: Warehouse, as_of: datetime.date, revision: int) -> dict[tuple, tuple]:
    rows = warehouse.read(USER_FEATURES).where(f"dt = DATE'{as_of}' AND revision = {revision}").collect()
    return {(r.user_id, c): tuple(r[w][i] for w in window_columns()) for r in rows for i, c in enumerate(r.cluster_ids)}


def revisions(warehouse: Warehouse) -> dict[tuple, datetime.datetime]:
    rows = warehouse.read(FEATURE_PUBLICATIONS).selectExpr("dt", "revision", "string(available_at) AS at").collect()
    return {(r.dt, r.revision): datetime.datetime.fromisoformat(r["at"]) for r in rows}


def seen_by_trainers(warehouse: Warehouse, table) -> tuple[datetime.date, int]:
    """As-of day and revision that plain Parquet gives, however late."""
    found = features_for(warehouse.path(table), day(2), known_at=at(100).replace(tzinfo=datetime.UTC))
    return found.dt, found.revision


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_late_events_in_any_order_of_days_give_the_oracles_partials_and_newest_features(seed, settings, warehouse, tmp_path):
    rng = random.Random(seed)
    numbers = [30, 31, 33, 38]
    events = [e for n in range(12) for e in oracle.random_history(rng, f"{n}", day(38), 12, 30)]
    logs = {n: [] for n in numbers}
    for e in events:
        arrived = [n for n in numbers if day(n) >= e["event_ts"].date()]
        logs[rng.choice(arrived)].append(e)
    for n in numbers:
        deliver(tmp_path / "log", day(n), logs[n])
        cluster(warehouse, day(n))
    order = rng.sample(numbers, len(numbers))
    for n in [*order, rng.choice(order)]:
        run_stage(STAGE, warehouse, settings, day(n))
    assert partials(warehouse) == oracle.partial_counts(events)
    for n in numbers:
        newest = max(r for d, r in revisions(warehouse) if d == day(n))
        expected = oracle.features(events, ASSIGNMENT, day(n))
        assert long_rows(warehouse, day(n), newest) == array_rows(warehouse, day(n), newest) == expected


@pytest.mark.slow
def test_a_late_event_is_a_second_revision_and_the_first_stays(settings, warehouse, tmp_path):
    on_day = [oracle.event("e1", "click", at(0), "u", "a"), oracle.event("e2", "request", at(0), "u", None)]
    next_day = [
        oracle.event("e3", "click", at(1), "u", "c"),
        oracle.event("late", "click", at(0, 1), "v", "d"),
        oracle.event("e1", "click", at(0, 3), "u", "a"),  # the same event again, earlier on its day: nothing changes but its time
    ]
    for n, events in enumerate([on_day, next_day]):
        deliver(tmp_path / "log", day(n), events)
        cluster(warehouse, day(n))
    run_stage(STAGE, warehouse, settings, day(0))
    first = long_rows(warehouse, day(0), 1)
    assert first == oracle.features(on_day, ASSIGNMENT, day(0))
    run_stage(STAGE, warehouse, settings, day(1))
    after, corrected = stored(warehouse), oracle.features(on_day + next_day, ASSIGNMENT, day(0))
    assert long_rows(warehouse, day(0), 1) == array_rows(warehouse, day(0), 1) == first
    assert long_rows(warehouse, day(0), 2) == array_rows(warehouse, day(0), 2) == corrected
    lag = datetime.timedelta(hours=settings.features.available_lag_hours)
    assert revisions(warehouse) == {(day(0), 1): at(1, 0) + lag, (day(0), 2): at(2, 0) + lag, (day(1), 1): at(2, 0) + lag}
    for n in (0, 1, 1):
        run_stage(STAGE, warehouse, settings, day(n))
        assert stored(warehouse) == after


@pytest.mark.slow
def test_later_days_and_clusterings_change_nothing_of_a_published_day(settings, warehouse, tmp_path):
    deliver(tmp_path / "log", day(0), [oracle.event("e1", "click", at(0), "u", "a")])
    deliver(
        tmp_path / "log", day(1), [oracle.event("e2", "click", at(1), "u", "a"), oracle.event("e1", "click", at(1), "u", "c")]
    )
    cluster(warehouse, day(0))
    run_stage(STAGE, warehouse, settings, day(0))
    before = stored(warehouse, (USER_CLUSTER_COUNTS, USER_FEATURES, FEATURE_PUBLICATIONS, USER_FEATURES_WIDE))
    cluster(warehouse, day(1), assignment={"a": "other"})
    run_stage(STAGE, warehouse, settings, day(0))
    assert stored(warehouse, (USER_CLUSTER_COUNTS, USER_FEATURES, FEATURE_PUBLICATIONS, USER_FEATURES_WIDE)) == before
    run_stage(STAGE, warehouse, settings, day(1))
    assert set(revisions(warehouse)) == {(day(0), 1), (day(1), 1)}
    assert long_rows(warehouse, day(0), 1) == {("u", "k1"): (0, 0, 1) * 4}
    assert long_rows(warehouse, day(1), 1) == {("u", "other"): (0, 0, 1) + (0, 0, 2) * 3}
    cluster(warehouse, day(0), 2, {"a": "anew"})
    run_stage(STAGE, warehouse, settings, day(0))
    names = {(r.clustering_id, r.cluster_id) for r in warehouse.read(USER_CLUSTER_COUNTS).where(f"dt = DATE'{day(0)}'").collect()}
    assert names == {(f"{day(0)}-c1", "k1"), (f"{day(0)}-c2", "anew")}


@pytest.mark.slow
def test_a_day_delivered_anew_loses_the_events_that_it_lost(settings, warehouse, tmp_path):
    kept = oracle.event("e1", "click", at(1), "u", "a")
    wrong = [oracle.event("e1", "click", at(0), "u", "b"), oracle.event("e2", "click", at(0), "w", "c")]
    deliver(tmp_path / "log", day(0), wrong)
    deliver(tmp_path / "log", day(1), [kept])
    for n in (0, 1):
        cluster(warehouse, day(n))
        run_stage(STAGE, warehouse, settings, day(n))
    assert partials(warehouse) == oracle.partial_counts([*wrong, kept])
    right = [oracle.event("e3", "request", at(0), "u", "b")]
    deliver(tmp_path / "log", day(0), right)
    run_stage(STAGE, warehouse, settings, day(0))
    assert partials(warehouse) == oracle.partial_counts([*right, kept])


@pytest.mark.slow
def test_a_run_cut_off_at_each_commit_and_run_again_leaves_the_same_tables(settings, warehouse, spark, tmp_path, monkeypatch):
    logs = [[oracle.event("e1", "click", at(0), "u", "a")], [oracle.event(f"f{n}", "click", at(n, 1), "v", "c") for n in (0, 1)]]
    whole = Warehouse(spark, str(tmp_path / "whole"))
    for n, events in enumerate(logs):
        deliver(tmp_path / "log", day(n), events)
    for place in (whole, warehouse):
        for n in (0, 1):
            cluster(place, day(n))
        run_stage(STAGE, place, settings, day(0))
    run_stage(STAGE, whole, settings, day(1))
    write = Warehouse.merge
    for last in (1, 2, 3):  # the log day begun, the publication with its correction, the log day complete
        left = iter(range(1, last))

        def dies(self, table, frame, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            write(self, table, frame)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Warehouse, "merge", dies)
            run_stage(STAGE, warehouse, settings, day(1))
        for table in (USER_FEATURES, USER_FEATURES_WIDE, USER_FEATURE_LISTS):
            folders = list(Path(warehouse.path(table)).glob(f"dt={day(1)}/*/revision=1"))
            assert len(folders) == (last > 1), "written, and not yet published"
            assert seen_by_trainers(warehouse, table) == ((day(1), 1) if last > 2 else (day(0), 1))
    run_stage(STAGE, warehouse, settings, day(1))
    assert stored(warehouse) == stored(whole)
    assert seen_by_trainers(warehouse, USER_FEATURES) == (day(1), 1)


@pytest.mark.slow
def test_refused_rows_and_days(settings, base_settings, warehouse, tmp_path):
    good = oracle.event("e1", "click", at(50), "u", "a")
    changes = [
        {"user_id": None},
        {"event_type": "x"},
        {"event_ts": None},
        {"event_id": None},
        {"event_ts": at(51)},
        {"event_ts": at(5)},
    ]
    deliver(tmp_path / "log", day(50), [good, *[good | c for c in changes]])
    with pytest.raises(InputError, match="cluster_banners"):
        run_stage(STAGE, warehouse, settings, day(50))
    for n in (50, 51, 52):
        cluster(warehouse, day(n))
    run = run_stage(STAGE, warehouse, settings, day(50))
    reasons = ("no_user", "unknown_event_type", "no_event_ts", "no_event_id", "event_after_log_day", "event_too_old")
    assert run.rejected == dict.fromkeys(reasons, 1)
    assert (run.rows_in, run.rows_out, warehouse.read(REJECTS).count()) == (7, 1, 6)
    before = stored(warehouse)
    with pytest.raises(InputError, match="does not exist"):
        run_stage(STAGE, warehouse, settings, day(51))
    deliver(tmp_path / "log", day(51), [])
    with pytest.raises(InputError, match="no rows"):
        run_stage(STAGE, warehouse, settings, day(51))
    deliver(tmp_path / "log", day(51), [good | {"user_id": None}])
    with pytest.raises(InputError, match="no_user 1"):
        run_stage(STAGE, warehouse, settings, day(51))
    deliver(tmp_path / "log", day(52), [good])
    with pytest.raises(InputError, match="incomplete"):
        run_stage(STAGE, warehouse, settings_for(base_settings, tmp_path / "log", min_share_of_previous_day=0.5), day(52))
    dry = Warehouse(warehouse.spark, warehouse.root, read_only=True)
    run_stage(STAGE, dry, settings, day(52))
    assert stored(warehouse) == before


def test_exports_are_plain_parquet(settings, warehouse, tmp_path):
    events = [
        oracle.event(f"e{n}", kind, at(0), "u", b)
        for n, (kind, b) in enumerate([("click", "a"), ("request", "c"), ("click", "e")])
    ]
    deliver(tmp_path / "log", day(0), events)
    cluster(warehouse, day(0))
    run_stage(STAGE, warehouse, settings, day(0))
    features = pq.read_table(warehouse.path(USER_FEATURES))
    assert features.schema.field("clicks_7d").type == pa.list_(pa.field("element", pa.int32()))
    assert features["cluster_ids"].to_pylist() == [["k1", "k2", "unclustered"]]
    assert features["clicks_1d"].to_pylist() == [[1, 0, 1]]
    wide = pd.read_parquet(warehouse.path(USER_FEATURES_WIDE))
    names = [c for c in USER_FEATURES_WIDE.columns if "_c0" in c]
    assert len(names) == 4 * 3 * 5 and names[:6] == [*(f"requests_1d_c0{s}" for s in range(1, 6)), "impressions_1d_c01"]
    assert [c for c in wide.columns if "_c0" in c] == names and {str(wide[c].dtype) for c in names} == {"int32"}
    counts = {"clicks_1d_c02": 1, "requests_1d_c03": 1, "clicks_1d_c04": 1}  # the outlier's click counts for its nearest theme
    assert {c: v for c, v in wide[names].iloc[0].items() if v and "_1d_" in c} == counts
    slots = {r.slot: r.theme_id for r in warehouse.read(WIDE_SLOTS).collect()}
    assert slots == {2: "theme-k1", 3: "theme-k2", 4: "theme-k3"}
    lists = pq.read_table(warehouse.path(USER_FEATURE_LISTS))
    assert lists.schema.field("features_30d").type == pa.list_(pa.field("element", pa.float32()))
    assert lists["features_30d"].to_pylist() == [[0, 0, 1, 0, 0, *[0] * 5, 0, 1, 0, 1, 0]]
    assert job.FILES.options.keys() == {"events", "assignments", "as-of"}
