"""The gate: faults in what features are made from, each refused with the words for it, and none of them in a sound world."""

from __future__ import annotations

import functools
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import feature_oracle as oracle
import pyarrow as pa
import pytest
from pyspark.sql.types import IntegerType, StructField, StructType
from test_features_days import at, cluster, day, deliver, settings_for, stored
from test_features_windows import AS_OF, EPOCH, as_table, wanted

from bannermap.features import gate
from bannermap.features.arrow import feature_batches_of_rows
from bannermap.features.backfill import Backfill, backfill_stage
from bannermap.features.counting import STAGING
from bannermap.features.figures import FIGURE_NAMES, JUDGED_COLUMNS, figure_batches, figures_of
from bannermap.features.gating import before_of, collected, refusal
from bannermap.features.job import STAGE
from bannermap.features.transforms import PARTIAL_COLUMNS
from bannermap.platform.cli import run_stage
from bannermap.platform.errors import PublicationError
from bannermap.platform.settings import GateSettings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    EVENT_LOG_DAYS,
    FEATURE_PUBLICATIONS,
    RUNS,
    USER_BANNER_DAYS,
    USER_CLUSTER_COUNTS,
    USER_FEATURES,
    WIDE_SLOTS,
    window_columns,
)

LIMITS = GateSettings(min_compared=20)
WIDE_OPEN = GateSettings(
    min_compared=20,
    max_null_values=10**9,
    max_repeated_keys=10**9,
    max_negative_counts=10**9,
    max_shrinking_windows=10**9,
    max_total_difference=10**9,
    max_clicks_over_impressions_share=1.0,
    max_unclustered_share=1.0,
    users_change=(0.0, 1e9),
    day_events_change=(0.0, 1e9),
    month_events_change=(0.0, 1e9),
)
SCHEMA = pa.schema([("user_id", pa.string()), ("cluster_ids", pa.list_(pa.string()))])
for name in window_columns():
    SCHEMA = SCHEMA.append(pa.field(name, pa.list_(pa.int32())))


@dataclass
class World:
    """Partials as lists (age_days, user, banner, requests, impressions, clicks), which faults change, and what comes of them."""

    partials: list[list]
    assignment: dict[str, str]
    changes: list = field(default_factory=list)  # functions of the list of feature rows

    def rows(self) -> list[dict]:
        """Feature rows by the kernel."""
        today = (AS_OF - EPOCH).days
        partials = [(user, banner, today - age, *counts) for age, user, banner, *counts in self.partials]
        batches = as_table(sorted(partials, key=lambda r: r[0] or "")).to_batches(max_chunksize=100)
        made = feature_batches_of_rows(batches, wanted([(AS_OF, self.assignment)]))
        rows = [{c: v for c, v in r.items() if c != "target"} for b in made for r in b.to_pylist()]
        for change in self.changes:
            change(rows)
        return rows

    def sums(self) -> Counter:
        """Totals, nulls and negatives of the partials, by loops."""
        found: Counter = Counter()
        for age, user, _, *counts in self.partials:
            found[gate.NO_VALUES] += sum(v is None for v in (user, *counts))
            found[gate.NEGATIVE] += sum((v or 0) < 0 for v in counts)
            for w in oracle.WINDOWS:
                for t, n in zip(oracle.TYPES, counts, strict=True):
                    found[f"{t}s_{w}d"] += (n or 0) * (age < w)
        return found


def sound_world(days: int = 30, first: int = 0) -> World:
    rng, partials = random.Random(4), []
    for age in range(first, first + days):
        for u in range(60):
            for banner in rng.sample("abcdefgh", 2):
                requests = rng.randint(1, 5)
                impressions = rng.randint(0, requests)
                partials.append([age, f"u{u:02d}", banner, requests, impressions, int(impressions > 0 and rng.random() < 0.5)])
    return World(partials, {"a": "k1", "b": "k1", "c": "k2", "d": "k3", "e": "k3", "f": "k4"})


def batch_of(rows: list[dict]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


def of_target(target: int, rows: list[dict]) -> pa.RecordBatch:
    return batch_of(rows).append_column("target", pa.array([target] * len(rows), pa.int32()))


def frame_sums(rows: list[dict]) -> dict:
    """Of tasks that each see some of the rows, and the repeated users by a set."""
    found: Counter = Counter()
    for part in (rows[::2], rows[1::2]):
        for batch in figure_batches([of_target(7, part[:5]), of_target(7, part[5:]), of_target(8, part[:1])]):
            assert batch.schema.names == FIGURE_NAMES
            found.update({figure: n for target, figure, n in zip(*batch.to_pydict().values(), strict=True) if target == 7})
    users = [r["user_id"] for r in rows if r["user_id"] is not None]
    return {**found, gate.REPEATED_USERS: len(users) - len(set(users))}


@functools.cache
def before() -> Counter:
    """The publication of the day before: the same without its newest day."""
    world = sound_world()
    earlier = World([[age - 1, *rest] for age, *rest in world.partials if age], world.assignment)
    return earlier.sums() | Counter({gate.USERS: 60})


def judged(world: World, limits: GateSettings = LIMITS, themes: World | None = None) -> list[gate.Failure]:
    clusters = frame_sums(world.rows())
    frames = {gate.CLUSTERS: clusters, "themes_05": frame_sums(themes.rows()) if themes else clusters}
    return gate.failures(gate.Figures(frames, world.sums(), before(), "2026-02-01"), limits)


def change(world: World, counts, ages=range(30)) -> None:
    """Put other counts into the partials of some days: a function of requests, impressions and clicks."""
    for row in world.partials:
        if row[0] in ages:
            row[3:] = counts(*row[3:])


def clicks_lost(w):
    change(w, lambda r, i, c: (r, i, 0), ages=[0])


def impressions_of_the_day_lost(w):
    change(w, lambda r, i, c: (r, 0, c), ages=[0])


def impressions_never_logged(w):
    change(w, lambda r, i, c: (r, 0, c))


def delivered_ten_times(w):
    change(w, lambda r, i, c: (10 * r, 10 * i, 10 * c), ages=[0])


def mostly_lost(w):
    w.partials = [row for row in w.partials if row[0] or row[1] < "u05"]


def history_lost(w):
    w.partials = [row for row in w.partials if row[0] < 9]


def types_swapped(w):
    change(w, lambda r, i, c: (r, c, i))


def banners_unnamed(w):
    w.partials = [[age, u, None, *counts] for age, u, _, *counts in w.partials]


def banners_of_the_day_renamed(w):
    w.partials = [[age, u, b if age else f"img/{b}", *counts] for age, u, b, *counts in w.partials]


def nothing_but_outliers(w):
    w.assignment = {}


def cluster_counted_twice(w):
    def count_again(rows):
        for r in rows:
            r["cluster_ids"].append("k9")
            for c in window_columns():
                r[c].append(r[c][0])

    w.changes.append(count_again)


def users_named_anew_each_time(w):
    w.partials = [[age, f"{n}", *rest] for n, (age, _, *rest) in enumerate(w.partials)]


def users_all_one(w):
    w.partials = [[age, "0000", *rest] for age, _, *rest in w.partials]


def robot(w):
    w.partials += [[0, "u07", "a", 0, 0, 900]]


def negative_count(w):
    w.partials[5][3] = -2


def negative_correction(w):
    w.partials += [[3, "u07", "a", 0, -40, 0]]


def null_count(w):
    w.partials[5][4] = None


def null_user(w):
    w.partials[5][1] = None


def cluster_named_twice(w):
    w.changes.append(lambda rows: rows[3]["cluster_ids"].__setitem__(1, rows[3]["cluster_ids"][0]))


def user_in_two_rows(w):
    w.changes.append(lambda rows: rows.append({**rows[3], **{c: [0] * len(rows[3]["cluster_ids"]) for c in window_columns()}}))


def user_dropped(w):
    w.changes.append(lambda rows: rows.pop(3))


def user_unnamed(w):
    w.changes.append(lambda rows: rows[3].update(user_id=None))


def list_cut_short(w):
    w.changes.append(lambda rows: rows[3]["clicks_7d"].pop())


def list_absent(w):
    w.changes.append(lambda rows: rows[3].update(clicks_7d=None))


def null_in_a_list(w):
    w.changes.append(lambda rows: rows[3]["clicks_7d"].__setitem__(0, None))


def windows_exchanged(w):
    def exchange(rows):
        for r in rows:
            r["requests_1d"], r["requests_7d"] = r["requests_7d"], r["requests_1d"]

    w.changes.append(exchange)


FAULTS = {
    clicks_lost: ("change", r"^0 clicks of the day, 0 times the \d+ as of 2026-02-01 .*day_events_change is 0.2 to 5"),
    impressions_of_the_day_lost: ("change", "^0 impressions of the day"),
    impressions_never_logged: ("clicks_without_impressions", r"have more clicks than impressions in 30 days, 100\.0%"),
    delivered_ten_times: ("change", r"requests of the day, (9|1\d)(\.\d+)? times"),
    mostly_lost: ("change", r"requests of the day, 0\.\d+ times"),
    history_lost: ("change", r"requests of 30 days, 0\.\d+ times .*month_events_change"),
    types_swapped: ("clicks_without_impressions", r"more clicks than impressions.*max_clicks_over_impressions_share is 0\.2"),
    banners_unnamed: ("unclustered", r"events of 30 days have no cluster, 100\.0% .*max_unclustered_share is 0\.8"),
    banners_of_the_day_renamed: ("unclustered", r"events of the day have no cluster, 100\.0%"),
    nothing_but_outliers: ("unclustered", r"events of the day have no cluster, 100\.0%"),
    cluster_counted_twice: ("totals", r"requests_30d sums to \d+ over clusters and unclustered, and to \d+ over the partials"),
    users_named_anew_each_time: ("change", r"^3600 users of 30 days, 60 times the 60"),
    users_all_one: ("change", r"^1 users of 30 days, 0\.0167 times the 60"),
    robot: ("change", "clicks of the day"),
    negative_count: ("negative", "^partials: 1 counts are below 0"),
    negative_correction: ("windows", "^clusters: 1 counts are smaller in a longer window"),
    null_user: ("nulls", "^partials: 1 ids, lists or counts are null"),
    null_count: ("nulls", "^partials: 1 ids, lists or counts are null"),
    cluster_named_twice: ("duplicates", "0 rows repeat a user, and 1 entries repeat a cluster"),
    user_in_two_rows: ("duplicates", "1 rows repeat a user, and 0 entries"),
    user_dropped: ("totals", r"requests_30d sums to \d+ over"),
    user_unnamed: ("nulls", "^clusters: 1 ids"),
    list_cut_short: ("nulls", "^clusters: 1 ids, lists or counts"),
    list_absent: ("nulls", "^clusters: 1 ids, lists or counts"),
    null_in_a_list: ("nulls", "^clusters: 1 ids, lists or counts"),
    windows_exchanged: ("windows", r"\d+ counts are smaller in a longer window than in a shorter one"),
}


def test_a_sound_world_passes_and_a_first_publication_has_nothing_to_be_compared_with():
    assert judged(sound_world()) == []
    world = sound_world(days=2)
    frames = {gate.CLUSTERS: frame_sums(world.rows())}
    assert gate.failures(gate.Figures(frames, world.sums()), LIMITS) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_is_refused_with_its_words_unless_the_limits_let_it_pass(fault):
    world, (check, words) = sound_world(), FAULTS[fault]
    fault(world)
    found = [f.text for f in judged(world) if f.check == check]
    assert found
    assert any(re.search(words, text) for text in found), found
    assert judged(world, WIDE_OPEN) == []


def test_a_frame_by_themes_that_lacks_a_user_is_refused():
    lacking = sound_world()
    user_dropped(lacking)
    texts = [f.text for f in judged(sound_world(), themes=lacking)]
    assert any("users differ between frames: clusters 60, themes_05 59" in text for text in texts)
    assert any(text.startswith("themes_05: requests_30d sums to") for text in texts)


def test_small_numbers_are_not_judged_by_shares_and_changes():
    world = sound_world()
    for fault in (impressions_never_logged, banners_unnamed, clicks_lost):
        fault(world)
    assert judged(world, GateSettings(min_compared=10**6)) == []


def naive_figures(rows: list[dict]) -> Counter:
    found: Counter = Counter({gate.USERS: len(rows)})
    for r in rows:
        found[gate.NO_VALUES] += r["user_id"] is None
        length = -1 if r["cluster_ids"] is None else len(r["cluster_ids"])
        wrong = sum(len(r[c] or []) != length or r[c] is None for c in window_columns()) + (length < 0)
        if wrong:
            found[gate.NO_VALUES] += wrong
            continue
        found[gate.REPEATED_CLUSTERS] += length - len(set(r["cluster_ids"]))
        for n, name in enumerate(r["cluster_ids"]):
            values = [r[c][n] for c in window_columns()]
            found[gate.NO_VALUES] += (name is None) + sum(v is None for v in values)
            values = [v or 0 for v in values]
            found[gate.NEGATIVE] += sum(v < 0 for v in values)
            found[gate.SHRINKING] += sum(a > b for a, b in zip(values, values[3:], strict=False))
            found[gate.CLICKED_PAIRS] += values[11] > 0
            found[gate.OVERCLICKED_PAIRS] += values[11] > max(values[10], 0)
            for c, v in zip(window_columns(), values, strict=True):
                found[c] += v
                found[gate.unclustered_figure(c)] += v * (name == "unclustered")
    return found


def damaged_rows(rng: random.Random) -> list[dict]:
    rows = []
    for n in range(rng.randint(0, 8)):
        length = rng.randint(0, 4)
        row = {"user_id": rng.choice([f"u{n}", "same", None])}
        row["cluster_ids"] = [rng.choice(["k1", "k2", "unclustered", None]) for _ in range(length)]
        for c in window_columns():
            row[c] = [rng.choice([None, -1, 0, 1, 2, 3]) for _ in range(length)]
        if rng.random() < 0.3:
            row[rng.choice(JUDGED_COLUMNS[1:])] = rng.choice([None, [], None])
        rows.append(row)
    return rows


@pytest.mark.parametrize("seed", range(60))
def test_figures_of_damaged_rows_equal_those_by_loops(seed):
    rows = damaged_rows(random.Random(seed))
    found, expected = figures_of(batch_of(rows)), naive_figures(rows)
    assert {k: v for k, v in found.items() if v} == {k: v for k, v in expected.items() if v}


@pytest.mark.slow
def test_figures_by_spark_equal_those_by_loops(spark):
    rng = random.Random(9)
    rows = {target: [r for _ in range(8) for r in damaged_rows(rng)] for target in (0, 2)}
    reach = [
        *((at(0).date(), "u", "a", 1, None, 3), (at(-3).date(), None, "b", -1, 5, 7), (at(-29).date(), "u", None, 2, 2, 2)),
        *((at(-7).date(), "u", "a", 5, 1, 0), (at(-8).date(), "v", "a", -4, 1, None)),
    ]
    schema = StructType([StructField("target", IntegerType()), *USER_FEATURES.schema.fields])
    tuples = [tuple((r | {"target": target}).get(c) for c in schema.names) for target in rows for r in rows[target]]
    frame, as_of = spark.createDataFrame(tuples, schema), [day(0), day(-1), day(-2)]
    partials = spark.createDataFrame(reach, ", ".join(f"{c} {USER_BANNER_DAYS.type_of(c)}" for c in PARTIAL_COLUMNS))
    found = collected({"clusters": frame, "again": frame.limit(0)}, partials, as_of)
    for target, (mine, today) in enumerate(zip(found, as_of, strict=True)):
        users = [r["user_id"] for r in rows.get(target, []) if r["user_id"]]
        expected = {**naive_figures(rows.get(target, [])), gate.REPEATED_USERS: len(users) - len(set(users))}
        assert {k: v for k, v in mine["clusters"].items() if v} == {k: v for k, v in expected.items() if v}
        assert not any(mine["again"].values())
        near = [[(today - d).days, *rest] for d, *rest in reach if 0 <= (today - d).days < 30]
        assert {k: v for k, v in mine[gate.PARTIALS].items() if v} == {k: v for k, v in World(near, {}).sums().items() if v}


def test_a_day_is_compared_with_the_newest_publication_of_the_seven_days_before():
    for seed in range(50):
        rng = random.Random(seed)
        orders = {(day(rng.randrange(12)), at(rng.randrange(12, 20)), rng.randint(1, 3), rng.choice("ab")) for _ in range(4)}
        published = {order: {gate.USERS: n} for n, order in enumerate(sorted(orders))}
        for number in range(14):
            near = [order for order in published if 1 <= (day(number) - order[0]).days <= 7]
            newest = sorted(near)[-1:]
            expected = (published[newest[0]], str(newest[0][0])) if newest else (None, "")
            assert before_of(published, day(number)) == expected


def test_of_many_refused_days_three_are_told():
    text = refusal([(day(n), [gate.Failure("change", f"text {n}")]) for n in range(5)])
    assert [f"text {n}" in text for n in range(5)] == [True] * 3 + [False] * 2 and "Nor did 2 more pass." in text


def log_of(number: int, events: dict[str, int], banner: str = "a") -> list[dict]:
    return [
        oracle.event(f"{number}-{kind}-{n}", kind, at(number), f"u{n % 5}", banner)
        for kind, count in events.items()
        for n in range(count)
    ]


@pytest.mark.slow
def test_a_refused_day_publishes_nothing_keeps_its_figures_and_passes_with_other_limits(base_settings, warehouse, tmp_path):
    def settings(**limits):
        return settings_for(base_settings, tmp_path / "log", gate=GateSettings(min_compared=10, **limits))

    deliver(tmp_path / "log", day(0), log_of(0, {"request": 40, "impression": 30, "click": 20}))
    deliver(tmp_path / "log", day(1), log_of(1, {"request": 40, "impression": 30}))
    for n in (0, 1):
        cluster(warehouse, day(n))
    run_stage(STAGE, warehouse, settings(), day(0))
    tables = (FEATURE_PUBLICATIONS, USER_CLUSTER_COUNTS, USER_FEATURES, WIDE_SLOTS)
    before_it = stored(warehouse, tables)
    for root in (Warehouse(warehouse.spark, warehouse.root, read_only=True), warehouse):
        with pytest.raises(
            PublicationError, match=r"as of 2026-02-02 were not published.*0 clicks of the day, 0 times the 20"
        ) as e:
            run_stage(STAGE, root, settings(), day(1))
        assert e.value.exit_code == 5
        assert stored(warehouse, tables) == before_it
    run = warehouse.read(RUNS).where(f"dt = DATE'{day(1)}'").collect()[0]
    assert (run["status"], run["metrics"]["gate clusters clicks_1d"], run["metrics"]["gate before clicks_1d"]) == (
        "failed",
        0.0,
        20.0,
    )
    assert run["metrics"]["gate failed change"] == 1.0 and "day_events_change" in run["error"]
    assert [r.complete for r in warehouse.read(EVENT_LOG_DAYS).orderBy("dt").collect()] == [True, False]
    run_stage(STAGE, warehouse, settings(day_events_change=(0.0, 5.0)), day(1))
    rows = warehouse.read(FEATURE_PUBLICATIONS).orderBy("dt").collect()
    assert [(r.users, r.requests_1d, r.clicks_1d, r.clicks_30d) for r in rows] == [(5, 40, 20, 20), (5, 40, 0, 20)]
    before_it = stored(warehouse, tables)
    with pytest.raises(PublicationError, match=r"as of 2026-02-02 .*0 times the 20 as of 2026-02-01"):  # written anew as well
        run_stage(backfill_stage(Backfill(day(1), rewrite=True)), warehouse, settings(), day(0))
    assert stored(warehouse, tables) == before_it
    assert not any(Path(warehouse.root, STAGING).iterdir())


@pytest.mark.slow
def test_a_clustering_that_counts_a_banner_twice_is_refused(base_settings, warehouse, tmp_path):
    settings = settings_for(base_settings, tmp_path / "log", gate=GateSettings(min_compared=10))
    deliver(tmp_path / "log", day(0), log_of(0, {"request": 12}))
    cluster(warehouse, day(0))
    members = warehouse.spark.read.format("delta").load(f"{warehouse.root}/cluster_members")
    twice = members.where("banner_id = 'a'").selectExpr("* EXCEPT (cluster_id)", "'k2' AS cluster_id").select(*members.columns)
    twice.write.format("delta").mode("append").save(f"{warehouse.root}/cluster_members")
    with pytest.raises(PublicationError, match="cluster_members puts 1 banners into a second cluster"):
        run_stage(STAGE, warehouse, settings, day(0))
    assert not any(warehouse.exists(table) for table in (FEATURE_PUBLICATIONS, USER_FEATURES, WIDE_SLOTS))
