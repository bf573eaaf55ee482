"""Feature sets: every definition against loops over events; definitions that are never mixed; reading what was published."""

from __future__ import annotations

import datetime
import itertools
import json
import random
import shutil
from pathlib import Path

import feature_oracle as oracle
import pyarrow as pa
import pytest
from test_features_days import ASSIGNMENT, at, cluster, day, deliver, settings_for, stored
from test_features_windows import AS_OF, batches_of, random_assignment
from test_features_windows import wanted as asked

from bannermap.features.arrow import feature_batches_of_rows
from bannermap.features.job import STAGE
from bannermap.features.reading import features_for
from bannermap.features.sets import configured_sets, set_batches
from bannermap.platform.cli import run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.migration import migrate_tables
from bannermap.platform.settings import FeatureSetSettings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    EVENT_LOG_DAYS,
    FEATURE_PUBLICATIONS,
    USER_BANNER_DAYS,
    USER_CLUSTER_COUNTS,
    FeatureSet,
    window_columns,
)
from bannermap.platform.versions import DEFINITION_PROPERTY, VERSION_FILE

SLOTS = ["k2", "k1", ""]


def some_set(rng: random.Random, layout: str) -> FeatureSet:
    events = [e for e in oracle.TYPES if rng.random() < 0.6] or ["click"]
    windows = [w for w in oracle.WINDOWS if rng.random() < 0.6] or [7]
    options = {"recency": rng.random() < 0.5, "share": rng.random() < 0.5}
    return FeatureSet("x", tuple(events), tuple(windows), None if layout == "arrays" else len(SLOTS), layout, **options)


def naive_values(events: list[dict], wanted: FeatureSet, assignment: dict[str, str], as_of: datetime.date) -> dict:
    """user -> cluster -> value name -> value, by a loop over the events for each of them."""
    counted = [e for e in oracle.counted(events) if 0 <= (as_of - e["event_ts"].date()).days < 30]
    seen = [
        (e["user_id"], assignment.get(e["banner_id"], "unclustered"), e["event_type"], (as_of - e["event_ts"].date()).days)
        for e in counted
    ]
    found: dict = {user: {} for user, *_ in seen}
    for user, name in {(user, name) for user, name, *_ in seen}:
        values, longest = {}, max(wanted.windows_days)
        for w, kind in itertools.product(wanted.windows_days, wanted.events):
            mine = [s for s in seen if s[0] == user and s[2] == kind and s[3] < w]
            here = [s for s in mine if s[1] == name]
            values[f"{kind}s_{w}d"] = len(here)
            if wanted.share:
                values[f"{kind}_share_{w}d"] = len(here) / len(mine) if mine else 0.0
        for kind in wanted.events if wanted.recency else ():
            ages = [age for u, n, k, age in seen if (u, n, k) == (user, name, kind) and age < longest]
            values[f"days_since_{kind}"] = min(ages, default=longest)
        found[user][name] = values
    return found


def empty_values(wanted: FeatureSet) -> dict:
    absent = dict.fromkeys([f"{k}s_{w}d" for w in wanted.windows_days for k in wanted.events], 0)
    if wanted.share:
        absent |= dict.fromkeys([f"{k}_share_{w}d" for w in wanted.windows_days for k in wanted.events], 0.0)
    return absent | (
        dict.fromkeys([f"days_since_{k}" for k in wanted.events], max(wanted.windows_days)) if wanted.recency else {}
    )


def expected_rows(found: dict, wanted: FeatureSet, slots: list[str]) -> dict[str, dict]:
    """user -> column -> value, each layout by the words of its columns."""
    return {
        user: {"arrays": arrays_row, "wide": wide_row, "list": list_row}[wanted.layout](c, wanted, slots)
        for user, c in found.items()
    }


def arrays_row(clusters: dict, wanted: FeatureSet, _) -> dict:
    kept = sorted(c for c, v in clusters.items() if any(v[f"{k}s_{w}d"] for w in wanted.windows_days for k in wanted.events))
    return {"cluster_ids": kept} | {name: [clusters[c][name] for c in kept] for name in empty_values(wanted)}


def wide_row(clusters: dict, wanted: FeatureSet, slots: list[str]) -> dict:
    places = [clusters.get(theme, empty_values(wanted)) for theme in slots]
    return {f"{name}_c{n:02d}": v[name] for name in empty_values(wanted) for n, v in enumerate(places, 1)}


def list_row(clusters: dict, wanted: FeatureSet, slots: list[str]) -> dict:
    places, row = [clusters.get(theme, empty_values(wanted)) for theme in slots], {}
    for w in wanted.windows_days:
        names = [f"{k}s_{w}d" for k in wanted.events] + [f"{k}_share_{w}d" for k in wanted.events if wanted.share]
        row[f"features_{w}d"] = [v[name] for name in names for v in places]
    return row | ({"recency": [v[f"days_since_{k}"] for k in wanted.events for v in places]} if wanted.recency else {})


def same(found: dict[str, dict], expected: dict[str, dict]) -> bool:
    def flat(rows):
        return [(u, c, *(v if isinstance(v, list) else [v])) for u in sorted(rows) for c, v in sorted(rows[u].items())]

    a, b = flat(found), flat(expected)
    return len(a) == len(b) and all(x == pytest.approx(y, abs=1e-6) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("layout", ["arrays", "wide", "list"])
@pytest.mark.parametrize("seed", range(30))
def test_a_random_set_of_a_random_history_equals_loops_over_its_events(layout, seed):
    """As of some days in one sweep, with clusterings that change midway."""
    rng = random.Random(seed)
    events, wanted = oracle.random_history(rng, "", AS_OF, 60, 60), some_set(rng, layout)
    days = [AS_OF - datetime.timedelta(days=n) for n in sorted(rng.sample(range(35), rng.randint(1, 5)), reverse=True)]
    assigned = [(d, ASSIGNMENT if rng.random() < 0.5 else random_assignment(rng)) for d in days]
    slots = {n: rng.sample(SLOTS, len(SLOTS)) for n in range(len(days))}
    rows = feature_batches_of_rows(batches_of(events, rng.choice([1, 3, 100])), asked(assigned, recency=[True] * len(days)))
    made = list(set_batches(rows, wanted, slots if layout != "arrays" else {}))
    found: dict = {n: {} for n in slots}
    for r in (r for b in made for r in b.to_pylist()):
        found[r.pop("target")][r.pop("user_id")] = r
    for n, (d, assignment) in enumerate(assigned):
        assert same(found[n], expected_rows(naive_values(events, wanted, assignment, d), wanted, slots[n]))
    for batch in made:
        declared = {c: t.split(": ")[0] for c, t in wanted.table().columns.items()}
        spark = {pa.int32(): "int", pa.float32(): "float", pa.string(): "string"}
        types = {f.name: spark.get(f.type) or f"array<{spark[f.type.value_type]}>" for f in batch.schema}
        assert types.pop("target") == "int"
        assert types == {c: t for c, t in declared.items() if c not in ("dt", "clustering_id", "revision", "available_at")}


def test_a_definition_has_one_hash_and_every_part_of_it_another():
    first = FeatureSetSettings(events=("click", "request"), windows_days=(7, 1), themes=5, layout="wide")
    again = FeatureSetSettings(events=("request", "click"), windows_days=(1, 7), themes=5, layout="wide")
    changes = [
        {"events": ("click",)},
        {"windows_days": (7,)},
        {"themes": 10},
        {"layout": "list"},
        {"recency": True},
        {"share": True},
    ]

    def hash_of(settings: FeatureSetSettings, name: str = "x") -> str | None:
        return FeatureSet(name, **dict(settings)).table().semantic_hash

    assert hash_of(first) == hash_of(again) == hash_of(first, "other")
    others = {hash_of(FeatureSetSettings(**{**dict(first), **c})) for c in changes}
    assert len(others | {hash_of(first)}) == len(changes) + 1


SETS = {
    "fine": FeatureSetSettings(recency=True, share=True),
    "recent": FeatureSetSettings(events=("click",), windows_days=(1, 7), themes=5, layout="wide", recency=True),
    "tensor": FeatureSetSettings(themes=5, layout="list", share=True, recency=True),
}


@pytest.fixture(scope="module")
def published(spark, base_settings, tmp_path_factory):
    """Two days with three sets; the second brings late events of the first."""
    root, rng = tmp_path_factory.mktemp("sets"), random.Random(3)
    settings = settings_for(base_settings, root / "log", sets=SETS, available_lag_hours=6.0)
    warehouse = Warehouse(spark, str(root / "warehouse"))
    logs = [oracle.random_history(rng, f"d{n}", day(n), 20, 60) for n in (0, 1)]
    for n, events in enumerate(logs):
        deliver(root / "log", day(n), events)
        cluster(warehouse, day(n))
        run_stage(STAGE, warehouse, settings, day(n))
    return warehouse, settings, logs


def rows_of(revision) -> dict[str, dict]:
    rows = revision.to_table().to_pylist()
    return {r.pop("user_id"): r for r in rows}


@pytest.mark.slow
def test_published_sets_equal_loops_and_readers_find_what_was_available(published):
    warehouse, settings, logs = published
    assert {(r.dt, r.revision) for r in warehouse.read(FEATURE_PUBLICATIONS).collect()} == {(day(0), 1), (day(0), 2), (day(1), 1)}
    themes = {"a": "theme-k1", "b": "theme-k1", "c": "theme-k2", "d": "theme-k3", "e": "theme-k3"}
    slots = ["", "theme-k1", "theme-k2", "theme-k3", ""]
    night = datetime.timedelta(hours=5, minutes=59, seconds=59)
    for wanted in configured_sets(settings.features):
        folder = warehouse.path(wanted.table())
        for impressions, known, events, dt, number in (
            (day(1), at(1, 6), logs[0], day(0), 1),
            (day(2), at(2, 0) + night, logs[0], day(0), 1),
            (day(2), at(2, 6), logs[0] + logs[1], day(1), 1),
            (day(1), at(2, 6), logs[0] + logs[1], day(0), 2),
        ):
            revision = features_for(folder, impressions, known.replace(tzinfo=datetime.UTC))
            assert (revision.dt, revision.revision, revision.semantic_hash) == (dt, number, wanted.table().semantic_hash)
            values = naive_values(events, wanted, themes if wanted.themes else ASSIGNMENT, dt)
            assert same(rows_of(revision), expected_rows(values, wanted, slots))
        for impressions, known in ((day(1), None), (day(0), at(40).replace(tzinfo=datetime.UTC))):
            with pytest.raises(InputError, match="no features as of a day before"):
                features_for(folder, impressions, known)
        assert features_for(folder, day(3)).dt == day(1)
        with pytest.raises(InputError, match="no features"):
            features_for(folder, day(3), clustering_id=f"{day(7)}-c1")


@pytest.mark.slow
def test_a_set_under_another_definition_is_refused_before_anything_is_written(published):
    warehouse, settings, _ = published
    note = json.loads((Path(warehouse.path(FeatureSet("fine", **dict(SETS["fine"])).table())) / VERSION_FILE).read_text())
    assert note["definition"]["recency"] is True and len(note["semantic_hash"]) == 64
    properties = warehouse.spark.sql(f"SHOW TBLPROPERTIES delta.`{warehouse.path(USER_CLUSTER_COUNTS)}`").collect()
    assert {r.key: r.value for r in properties}[DEFINITION_PROPERTY] == USER_CLUSTER_COUNTS.semantic_hash
    tables = (USER_BANNER_DAYS, EVENT_LOG_DAYS, FEATURE_PUBLICATIONS, USER_CLUSTER_COUNTS)
    before = stored(warehouse, tables)
    for name, change in (("tensor", {"events": ("click", "impression")}), ("recent", {"windows_days": (1, 15)})):
        sets = SETS | {name: FeatureSetSettings(**{**dict(SETS[name]), **change})}
        changed = settings.model_copy(update={"features": settings.features.model_copy(update={"sets": sets})})
        with pytest.raises(InputError, match=rf"user_feature_set_{name} .* follows another definition .*another name"):
            run_stage(STAGE, warehouse, changed, day(1))
    assert stored(warehouse, tables) == before
    run_stage(STAGE, warehouse, settings, day(1))
    assert stored(warehouse, tables) == before


@pytest.mark.slow
def test_publications_of_before_get_their_totals_from_the_counts(published, tmp_path):
    warehouse, *_ = published
    old = Warehouse(warehouse.spark, str(tmp_path))
    shutil.copytree(warehouse.path(USER_CLUSTER_COUNTS), old.path(USER_CLUSTER_COUNTS))
    rows = warehouse.read(FEATURE_PUBLICATIONS)
    rows.drop(*window_columns()).write.format("delta").save(old.path(FEATURE_PUBLICATIONS))
    with pytest.raises(InputError, match="migrate_warehouse"):
        old.read(FEATURE_PUBLICATIONS)
    assert migrate_tables(old, [FEATURE_PUBLICATIONS]) == 0
    assert sorted(map(str, old.read(FEATURE_PUBLICATIONS).collect())) == sorted(map(str, rows.collect()))
    assert all(r.clicks_30d for r in rows.collect())
