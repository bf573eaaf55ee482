"""The sweep over integer keys on random histories, chunking of sorted rows, the long, the dense and the fixed-length form."""

from __future__ import annotations

import datetime
import random
import weakref

import feature_oracle as oracle
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bannermap.features.arrow import (
    Wanted,
    feature_batches_of_files,
    feature_batches_of_rows,
    list_batches,
    long_batches,
    user_chunks,
    wide_batches,
)
from bannermap.features.assignments import coded
from bannermap.features.sweep import Partials, Targets, swept
from bannermap.platform.tables import window_columns

AS_OF = datetime.date(2026, 3, 31)
EPOCH = datetime.date(1970, 1, 1)
BANNERS = ("a", "b", "c", "d", "e")
TYPES = {
    "user_id": pa.string(),
    "banner_id": pa.string(),
    "day": pa.int32(),
    **dict.fromkeys(("requests", "impressions", "clicks"), pa.int32()),
}


def partial_rows(events: list[dict]) -> list[tuple]:
    return [(user, banner, (day - EPOCH).days, *counts) for (day, user, banner), counts in oracle.partial_counts(events).items()]


def as_table(rows: list[tuple]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(TYPES)
    return pa.table([pa.array(list(c), t) for c, t in zip(columns, TYPES.values(), strict=True)], list(TYPES))


def batches_of(events: list[dict], rows_per_batch: int) -> list[pa.RecordBatch]:
    """The oracle's partials, sorted by user as the kernel wants them."""
    return as_table(sorted(partial_rows(events), key=lambda r: r[0])).to_batches(max_chunksize=rows_per_batch)


def wanted(assigned: list[tuple[datetime.date, dict]], recency: list[bool] | None = None) -> Wanted:
    """Rows as of some days, each by an assignment of its own; equal neighbours share one."""
    distinct = [a for n, (_, a) in enumerate(assigned) if n == 0 or a != assigned[n - 1][1]]
    numbers = np.cumsum([n > 0 and a != assigned[n - 1][1] for n, (_, a) in enumerate(assigned)], dtype=np.int32)
    tables = [
        pa.table({"banner_id": pa.array(list(a), pa.string()), "cluster_id": pa.array(list(a.values()), pa.string())})
        for a in distinct
    ]
    as_of = np.array([(day - EPOCH).days for day, _ in assigned], np.int32)
    return Wanted(as_of, numbers.astype(np.int32), coded(tables), None if recency is None else np.array(recency))


def pairs_of(batches) -> dict[int, dict[tuple, tuple]]:
    found: dict[int, dict[tuple, tuple]] = {}
    for row in (r for b in batches for r in b.to_pylist()):
        assert row["cluster_ids"] == sorted(set(row["cluster_ids"]))
        for place, cluster in enumerate(row["cluster_ids"]):
            mine = found.setdefault(row["target"], {})
            assert (row["user_id"], cluster) not in mine
            mine[(row["user_id"], cluster)] = tuple(row[c][place] for c in window_columns())
    return found


def test_assignments_are_held_as_strings_one_at_a_time():
    held = []

    def tables():
        for number in range(3):
            assert all(table() is None for table in held)
            names = {"banner_id": [f"b{n}" for n in range(number, number + 2)], "cluster_id": ["k9", f"k{number}"]}
            held.append(weakref.ref(table := pa.table(names)))
            yield table
            del table

    found = coded(tables())
    assert found.banner_ids.to_pylist() == ["b0", "b1", "b2", "b3"]
    assert found.cluster_ids.to_pylist() == ["k0", "k1", "k2", "k9", "unclustered"]
    assert found.clusters.tolist() == [[3, 0, 4, 4], [4, 3, 1, 4], [4, 4, 3, 2]]


def random_assignment(rng: random.Random) -> dict[str, str]:
    return {b: f"k{rng.randrange(3)}" for b in BANNERS if rng.random() < 0.8}


@pytest.mark.parametrize("block", range(20))
def test_a_day_alone_and_days_in_one_sweep_equal_the_oracle_on_fifty_random_histories(block, monkeypatch):
    """Late and repeated events, empty days, users with one event, and clusterings that change midway."""
    for seed in range(50 * block, 50 * block + 50):
        rng = random.Random(seed)
        monkeypatch.setattr("bannermap.features.arrow.CHUNK_ROWS", rng.choice([1, 2, 5, 1000]))
        monkeypatch.setattr("bannermap.features.sweep.PAIRS_AT_ONCE", rng.choice([1, 7, 1000]))
        events = oracle.random_history(rng, "", AS_OF, 60, rng.choice([1, 20, 60]))
        first, days, changes = rng.randrange(25), rng.randint(2, 30), rng.choice([0.0, 0.1, 1.0])
        assigned = [(AS_OF - datetime.timedelta(days=first + days), random_assignment(rng))]
        for n in range(1, days):
            assignment = random_assignment(rng) if rng.random() < changes else assigned[-1][1]
            assigned.append((assigned[0][0] + datetime.timedelta(days=n), assignment))
        if rng.random() < 0.2:
            del assigned[rng.randrange(len(assigned))]  # days need not follow one another
        batches = batches_of(events, rng.choice([1, 3, 100]))
        swept_rows = pairs_of(feature_batches_of_rows(batches, wanted(assigned)))
        for number, (day, assignment) in enumerate(assigned):
            expected = oracle.features(events, assignment, day)
            assert swept_rows.get(number, {}) == expected
            if number in (0, len(assigned) - 1):
                alone = pairs_of(feature_batches_of_rows(batches, wanted([(day, assignment)])))
                assert alone.get(0, {}) == expected


@pytest.mark.parametrize("block", range(4))
def test_days_since_the_last_events_are_those_of_loops_for_the_targets_that_ask(block, monkeypatch):
    for seed in range(25 * block, 25 * block + 25):
        rng = random.Random(seed)
        monkeypatch.setattr("bannermap.features.sweep.PAIRS_AT_ONCE", rng.choice([1, 7, 1000]))
        events, assignment = oracle.random_history(rng, "", AS_OF, 60, 50), random_assignment(rng)
        days = [AS_OF - datetime.timedelta(days=n) for n in range(rng.randint(0, 30), -1, -rng.randint(1, 3))]
        recency = [rng.random() < 0.6 for _ in days]
        assigned = [(d, assignment if rng.random() < 0.9 else random_assignment(rng)) for d in days]
        asked = wanted(assigned, recency)
        rows = list(feature_batches_of_rows(batches_of(events, 100), asked))
        assert pairs_of(rows) == pairs_of(feature_batches_of_rows(batches_of(events, 100), wanted(assigned)))
        for r in (r for b in rows for r in b.to_pylist()):
            if any(recency):
                found = [r[f"days_since_{kind}"] for kind in oracle.TYPES]
                expected = ages_by_loops(events, *assigned[r["target"]], r["user_id"], r["cluster_ids"])
                assert found == (expected if recency[r["target"]] else [None] * 3)
            else:
                assert set(r) == {"target", "user_id", "cluster_ids", *window_columns()}


def ages_by_loops(events: list[dict], as_of: datetime.date, assignment: dict, user: str, clusters: list[str]) -> list[list[int]]:
    """For each type the days since the last event of each cluster, 30 where none is as young."""
    mine = [
        (assignment.get(e["banner_id"], "unclustered"), e["event_type"], (as_of - e["event_ts"].date()).days)
        for e in oracle.counted(events)
        if e["user_id"] == user
    ]
    return [
        [min([age for c, k, age in mine if (c, k) == (cluster, kind) and 0 <= age < 30], default=30) for cluster in clusters]
        for kind in oracle.TYPES
    ]


def test_files_of_a_bucket_give_the_same_rows_as_sorted_batches(tmp_path):
    rng = random.Random(3)
    events = [e for n in range(6) for e in oracle.random_history(rng, str(n), AS_OF, 40, 30)]
    asked = wanted([(AS_OF - datetime.timedelta(days=n), {"a": "k1", "b": "k2"}) for n in (9, 3, 0)])
    files: list[list] = [[], []]
    for day in sorted({r[2] for r in partial_rows(events)}):
        for bucket in (0, 1):
            rows = [r for r in partial_rows(events) if r[2] == day and int(r[0][0]) % 2 == bucket]
            path = tmp_path / f"a b%20c-{day}-{bucket}.parquet"
            pq.write_table(as_table(rows).drop_columns("day"), path)  # of some days without a row
            files[bucket].append((day, f"file:{path}"))
    ids = pa.RecordBatch.from_pydict({"id": [0, 1]})
    found = pairs_of(feature_batches_of_files([ids], [files[:1], files[1:]], asked))
    assert found == pairs_of(feature_batches_of_rows(batches_of(events, 100), asked)) and len(found) == 3


def test_a_user_with_more_pairs_than_a_piece_holds_is_a_piece_of_its_own_and_too_large_counts_are_refused():
    rows = 100
    partials = Partials(
        np.zeros(rows, np.int32), np.arange(rows, dtype=np.int32), np.zeros(rows, np.int32), np.ones((rows, 3), np.int32)
    )
    targets = Targets(np.zeros(1, np.int32), np.zeros(1, np.int32), np.arange(rows, dtype=np.int32)[None])
    (piece,) = swept(partials, 1, targets, pairs_at_once=5)
    assert piece.clusters.tolist() == list(range(rows)) and piece.counts.sum() == 12 * rows
    many = Partials(*(getattr(partials, n) for n in ("users", "banners", "days")), np.full((rows, 3), 2**25, np.int32))
    with pytest.raises(OverflowError, match="32 bits"):
        list(swept(many, 1, Targets(targets.as_of, targets.assignment, np.zeros((1, rows), np.int32))))


@pytest.mark.parametrize("least_rows", [1, 2, 4, 100])
def test_chunks_hold_whole_users_in_order(least_rows):
    users = ["a", "a", "a", "b", "c", "c", "d"]
    batches = pa.table({"user_id": users}).to_batches(max_chunksize=2)
    chunks = [c["user_id"].to_pylist() for c in user_chunks(batches, least_rows)]
    assert [u for c in chunks for u in c] == users
    assert all(not set(one) & set(two) for n, one in enumerate(chunks) for two in chunks[:n])


@pytest.mark.parametrize("rows_at_once", [1, 4, 20_000])
def test_long_wide_and_list_forms_hold_the_oracles_counts_of_each_target(rows_at_once, monkeypatch):
    monkeypatch.setattr("bannermap.features.arrow.ROWS_OF_FORMS", rows_at_once)
    rng = random.Random(5)
    events, assignment = oracle.random_history(rng, "", AS_OF, 40, 300), {"a": "k1", "b": "k1", "c": "k2", "d": "k3"}
    days = [AS_OF - datetime.timedelta(days=n) for n in (4, 0)]
    rows = list(feature_batches_of_rows(batches_of(events, 50), wanted([(d, assignment) for d in days])))
    expected = [oracle.features(events, assignment, d) for d in days]
    slots = {0: ["k2", "k1", ""], 1: ["", "k3", "k2"]}
    long = [r for b in long_batches(rows) for r in b.to_pylist()]
    assert {(r["target"], r["user_id"], r["cluster_id"]): tuple(r[c] for c in window_columns()) for r in long} == {
        (t, *pair): counts for t, pairs in enumerate(expected) for pair, counts in pairs.items()
    }
    wide, lists = list(wide_batches(rows, slots, ["click", "request"])), list(list_batches(rows, slots))
    for row, vector in zip((r for b in wide for r in b.to_pylist()), (r for b in lists for r in b.to_pylist()), strict=True):
        assert (row["user_id"], row["target"]) == (vector["user_id"], vector["target"])
        for w, window in enumerate(oracle.WINDOWS):
            counts = [expected[row["target"]].get((row["user_id"], c), (0,) * 12) for c in slots[row["target"]]]
            cells = [[c[3 * w + t] for c in counts] for t in range(3)]
            assert vector[f"features_{window}d"] == [float(v) for event in cells for v in event]
            for t, name in ((0, "requests"), (2, "clicks")):
                assert [row[f"{name}_{window}d_c{s:02d}"] for s in (1, 2, 3)] == cells[t]
    assert sum(b.num_rows for b in wide) == len({(t, u) for t, pairs in enumerate(expected) for u, _ in pairs})
    assert wide[0].schema.names[:9] == [
        *("target", "user_id"),
        *(f"{n}_1d_c0{s}" for n in ("clicks", "requests") for s in (1, 2, 3)),
        "clicks_7d_c01",
    ]
    assert wide[0].schema.field(2).type == pa.int32() and lists[0].schema.field(2).type == pa.list_(pa.float32())
