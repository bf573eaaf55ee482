"""cluster_days: figures equal the oracle's, for any order and partitioning; late events, reruns; a log of real clicks."""

from __future__ import annotations

import random

import analytics_oracle as oracle
import pandas as pd
import pytest
from analytics_worlds import cluster, day, deliver, log_banners

from bannermap.analytics import transforms as t
from bannermap.analytics.job import STAGE
from bannermap.analytics.rates import click_rate, users_interval
from bannermap.platform.cli import run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import ANALYSED_DAYS, CLUSTER_DAYS


def stored(warehouse: Warehouse, table=CLUSTER_DAYS) -> list[str]:
    return sorted(map(repr, warehouse.read(table).collect()))


def figures(warehouse: Warehouse, of_day) -> dict[str, dict]:
    rows = warehouse.read(CLUSTER_DAYS).where(f"dt = DATE'{of_day}'").collect()
    assert len({r.cluster_id for r in rows}) == len(rows)
    return {r.cluster_id: r.asDict() for r in rows}


def assert_equal(found: dict[str, dict], expected: dict[str, dict]) -> None:
    assert set(found) == set(expected)
    for name, row in expected.items():
        assert {c: found[name][c] for c in row} == {c: pytest.approx(v, abs=1e-12) for c, v in row.items()}, name


@pytest.mark.slow
def test_days_equal_the_oracle_a_late_event_corrects_its_day_alone_and_a_rerun_changes_nothing(warehouse, base_settings):
    rng = random.Random(3)
    worlds = {n: oracle.random_day(rng, day(n)) for n in range(2)}
    days_alone = {"trend_windows_days": (), "tags_per_cluster": 0}
    settings = base_settings.model_copy(update={"analytics": base_settings.analytics.model_copy(update=days_alone)})
    for n, (partials, logged, assignment) in worlds.items():
        cluster(warehouse, day(n), assignment, ("out",))
        log_banners(warehouse, day(n), logged)
        deliver(warehouse, day(n), "first", {day(n): partials})
    for n in (1, 0):
        run_stage(STAGE, warehouse, settings, day(n))
    for n, world in worlds.items():
        assert_equal(figures(warehouse, day(n)), oracle.cluster_day(*world))
    before = stored(warehouse)
    late = {"dt": day(0), "user_id": "late", "banner_id": "b0", "requests": 0, "impressions": 3, "clicks": 1}
    corrected = [[*worlds[0][0], late], *worlds[0][1:]]
    deliver(warehouse, day(1), "second", {day(0): corrected[0], day(1): worlds[1][0]})
    run_stage(STAGE, Warehouse(warehouse.spark, warehouse.root, read_only=True), settings, day(1))
    assert stored(warehouse) == before
    run = run_stage(STAGE, warehouse, settings, day(1))
    assert run.metrics["days_corrected"] == 1
    assert_equal(figures(warehouse, day(0)), oracle.cluster_day(*corrected))
    kept = [r for r in stored(warehouse) if f"{day(0)!r}" not in r]
    assert kept == [r for r in before if f"{day(0)!r}" not in r]
    assert len(stored(warehouse, ANALYSED_DAYS)) == 2
    cluster(warehouse, day(7), {})
    with pytest.raises(InputError, match="build_user_features"):
        run_stage(STAGE, warehouse, settings, day(7))


@pytest.mark.slow
def test_users_of_many_are_within_the_stated_error_and_bytes_do_not_depend_on_partitions(spark):
    users, events = 9000, 30000
    rng = random.Random(5)
    rows = [(f"u{rng.randrange(users)}", rng.choice("abcd"), 1, 1, 0) for _ in range(events)]
    names = ["user_id", "banner_id", "requests", "impressions", "clicks"]
    partials = spark.createDataFrame(pd.DataFrame(rows, columns=names))
    logged = spark.createDataFrame([("a", "x")], "banner_id string, advertiser_id string")
    assignment = spark.createDataFrame([("a", "k1"), ("b", "k1"), ("c", "k2")], "banner_id string, cluster_id string")
    lg_k = 10
    whole = [
        sorted(t.cluster_day_rows(p, logged, assignment, lg_k).collect(), key=lambda r: r.cluster_id)
        for p in (partials.coalesce(1), partials.repartition(7).orderBy("clicks", "user_id"))
    ]
    assert whole[0] == whole[1]
    for row in whole[0]:
        own = {u for u, b, *_ in rows if {"a": "k1", "b": "k1", "c": "k2"}.get(b, "unclustered") == row.cluster_id}
        assert row.users_low <= row.users <= row.users_high and row.users != row.users_high
        assert abs(row.users - len(own)) < 4 * len(own) / 2 ** (lg_k / 2)
        assert row.reach == pytest.approx(len(own) / len({u for u, *_ in rows}), rel=0.15)


@pytest.mark.parametrize(("users", "low", "high"), [(0, 0, 0), (4096, 4096, 4096), (100_000, 96_937, 103_063)])
def test_a_sketch_counts_exactly_until_it_is_full(users, low, high):
    assert users_interval(users, 12) == (low, high)


def test_rates_without_impressions_or_with_more_clicks_than_impressions_have_no_interval():
    assert click_rate(3, 0) == (None, None, None)
    assert click_rate(3, 2) == (1.5, None, None)
    assert click_rate(0, 20)[:2] == (0.0, 0.0)


@pytest.mark.slow
def test_click_rates_of_a_real_log_equal_a_direct_count(shared_data, spark):
    """Items as banners, each a cluster of its own; the tuple of user features as user; a row is an impression."""
    path = shared_data / "obd/random/men/men.csv"
    if not path.is_file():
        pytest.skip(f"no real log at {path}")
    features = [f"user_feature_{n}" for n in range(4)]
    log = pd.read_csv(path, usecols=["timestamp", "item_id", "click", *features])
    busiest = log.timestamp.str[:10].mode()[0]
    log = log[log.timestamp.str.startswith(busiest)].assign(
        user_id=log[features].agg("|".join, axis=1), banner_id=log.item_id.astype(str)
    )
    rows = log.assign(requests=0, impressions=1, clicks=log.click)[["user_id", "banner_id", "requests", "impressions", "clicks"]]
    items = sorted(rows.banner_id.unique())
    assignment = spark.createDataFrame([(i, f"item {i}") for i in items], "banner_id string, cluster_id string")
    logged = spark.createDataFrame([(i, None) for i in items], "banner_id string, advertiser_id string")
    partials = spark.createDataFrame(rows.groupby(["user_id", "banner_id"], as_index=False).sum())
    found = {r.cluster_id: r for r in t.cluster_day_rows(partials, logged, assignment, 12).collect()}
    assert len(found) == len(items) > 20 and sum(r.clicks for r in found.values()) > 0
    for item, own in log.groupby("item_id"):
        row = found[f"item {item}"]
        assert (row.impressions, row.clicks, row.users) == (len(own), own.click.sum(), own.user_id.nunique())
        assert row.ctr == pytest.approx(own.click.mean(), abs=1e-12) and row.ctr_low <= row.ctr <= row.ctr_high
        assert row.reach == pytest.approx(own.user_id.nunique() / log.user_id.nunique())
