"""Log days that are delivered again with other content: partials, what is noted of them, and when features were available."""

from __future__ import annotations

import datetime
import random
from collections import Counter

import feature_oracle as oracle
import pytest
from test_features_days import at, cluster, day, deliver, partials, revisions, settings_for

from bannermap.features import job
from bannermap.features.job import STAGE
from bannermap.platform.cli import run_stage
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import EVENT_LOG_DAYS

KEPT_DAYS = 30
LOG_DAYS = (40, 41, 60, 69, 88)


@pytest.fixture
def settings(base_settings, tmp_path):
    return settings_for(base_settings, tmp_path / "log", kept_days=KEPT_DAYS, user_buckets=1)


def take_in(warehouse, settings, number: int, monkeypatch, cut_at: str = "") -> None:
    """A run that publishes nothing; cut off before it writes partials, or before it publishes, where ``cut_at`` says so."""

    def dies(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "pinned_clustering", lambda _: "none")
        patch.setattr(job, "publish", dies if cut_at == "publish" else lambda *_: {})
        if cut_at == "partials":
            patch.setattr(Warehouse, "overwrite_partitions", dies)
        if not cut_at:
            run_stage(STAGE, warehouse, settings, day(number))
            return
        with pytest.raises(KeyboardInterrupt):
            run_stage(STAGE, warehouse, settings, day(number))


def expected(logs: dict[int, list[dict]]) -> dict[tuple, tuple]:
    """The oracle's partials where an event counts unless a smaller one of its id lies less than the kept days before."""
    ordered = sorted((e for events in logs.values() for e in events), key=oracle.rank)
    numbers: dict[tuple, Counter] = {}
    for n, e in enumerate(ordered):
        today = e["event_ts"].date()
        smaller = [s for s in ordered[:n] if s["event_id"] == e["event_id"]]
        if all((today - s["event_ts"].date()).days >= KEPT_DAYS for s in smaller):
            numbers.setdefault((today, e["user_id"], e["banner_id"]), Counter())[e["event_type"]] += 1
    return {key: tuple(c[t] for t in oracle.TYPES) for key, c in numbers.items()}


def random_log(rng: random.Random, number: int) -> list[dict]:
    """Events of few ids, many at the edges of what may be late."""
    ages = [rng.choice([0, 1, 12, 20, 28, 29]) for _ in range(rng.randint(1, 4))]
    return [
        oracle.event(rng.choice("wxyz"), rng.choice(oracle.TYPES), at(number - age, rng.choice([1, 12])), "u", rng.choice("ab"))
        for age in ages
    ]


def noted(warehouse) -> dict[datetime.date, dict]:
    return {r["dt"]: r.asDict() for r in warehouse.read(EVENT_LOG_DAYS).collect()}


def deliveries(rows: dict[datetime.date, dict], event_day: datetime.date) -> list[tuple]:
    """Which deliveries had an event day built anew: what `analyse_clusters` knows a day's events by."""
    return sorted((d, r["digest"]) for d, r in rows.items() if event_day in (r["rebuilt_dts"] or r["affected_dts"]))


def as_stored_before(warehouse) -> None:
    """Days that are noted as before there were two columns, and migrated since."""
    stored = f"delta.`{warehouse.path(EVENT_LOG_DAYS)}`"
    warehouse.spark.sql(f"UPDATE {stored} SET affected_dts = coalesce(rebuilt_dts, affected_dts), rebuilt_dts = NULL")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_deliveries_in_any_order_some_cut_off_give_the_oracles_partials(seed, settings, warehouse, tmp_path, monkeypatch):
    rng = random.Random(seed)
    contents = {n: [random_log(rng, n) for _ in range(2)] for n in LOG_DAYS}
    logs: dict[int, list[dict]] = {}
    for step in range(6):
        if step == 3:
            as_stored_before(warehouse)
        number = rng.choice(LOG_DAYS)
        logs[number] = rng.choice(contents[number])
        deliver(tmp_path / "log", day(number), logs[number])
        take_in(warehouse, settings, number, monkeypatch, rng.choice(["", "", "partials", "publish"]))
    for number in [n for n in logs if not noted(warehouse)[day(n)]["complete"]]:
        take_in(warehouse, settings, number, monkeypatch)
    assert partials(warehouse) == expected(logs)
    number = rng.choice(sorted(logs))
    before = (partials(warehouse), noted(warehouse))
    logs[number] = random_log(rng, number)
    deliver(tmp_path / "log", day(number), logs[number])
    take_in(warehouse, settings, number, monkeypatch)
    after = (partials(warehouse), noted(warehouse))
    assert after[0] == expected(logs)
    changed = {key[0] for key, _ in set(before[0].items()) ^ set(after[0].items())}
    assert all(deliveries(before[1], d) != deliveries(after[1], d) for d in changed)
    own = {e["event_ts"].date() for e in logs[number]}
    assert own <= set(after[1][day(number)]["affected_dts"]) <= set(after[1][day(number)]["rebuilt_dts"])


@pytest.mark.slow
def test_a_first_publication_after_a_redelivery_is_available_when_it_would_have_been(settings, warehouse, tmp_path, monkeypatch):
    late, own = oracle.event("late", "click", at(0, 1), "v", "a"), oracle.event("e2", "click", at(2), "u", "a")
    lag = datetime.timedelta(hours=settings.features.available_lag_hours)
    for n in (0, 1):
        deliver(tmp_path / "log", day(n), [oracle.event(f"e{n}", "click", at(n), "u", "a")])
    cluster(warehouse, day(1))
    for number, events, cut_at in ((0, None, ""), (2, [own, late], ""), (2, [own], "partials")):
        if events:
            deliver(tmp_path / "log", day(number), events)
        take_in(warehouse, settings, number, monkeypatch, cut_at)
    whole = Warehouse(warehouse.spark, str(tmp_path / "whole"))
    rows = noted(warehouse)[day(2)]
    assert (rows["affected_dts"], rows["rebuilt_dts"], rows["complete"]) == ([day(2)], [day(0), day(2)], False)
    assert (day(0), "v", "a") in partials(warehouse), "as the former delivery left it, when day 1 is published"
    cluster(whole, day(1))
    for n in (0, 2):
        take_in(whole, settings, n, monkeypatch)
    run_stage(STAGE, warehouse, settings, day(1))
    assert revisions(warehouse) == {(day(1), 1): at(3, 0) + lag}
    other = [oracle.event("e3", "click", at(2), "u", "a")]
    deliver(tmp_path / "log", day(2), other)
    for place in (warehouse, whole):
        take_in(place, settings, 2, monkeypatch)
    firsts = [oracle.event(f"e{n}", "click", at(n), "u", "a") for n in (0, 1)]
    assert partials(warehouse) == oracle.partial_counts([*firsts, *other])
    assert noted(whole)[day(2)]["rebuilt_dts"] == [day(0), day(2)]
    run_stage(STAGE, whole, settings, day(1))
    assert revisions(whole) == {(day(1), 1): at(2, 0) + lag}
