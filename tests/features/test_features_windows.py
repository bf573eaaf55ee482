"""The numpy kernel on random histories, chunking of sorted rows, the dense and the fixed-length form."""

from __future__ import annotations

import datetime
import random

import feature_oracle as oracle
import numpy as np
import pyarrow as pa
import pytest

from bannermap.features.arrow import list_batches, user_chunks, user_feature_batches, wide_batches
from bannermap.platform.tables import window_columns

AS_OF = datetime.date(2026, 3, 31)
ASSIGNMENT = {"a": "k1", "b": "k1", "c": "k2", "d": "k3"}


def partial_batches(events: list[dict], rows_per_batch: int) -> list[pa.RecordBatch]:
    """The oracle's partials, sorted as the kernel wants them."""
    rows = [
        (user, ASSIGNMENT.get(banner, "unclustered"), (AS_OF - day).days, *counts)
        for (day, user, banner), counts in oracle.partial_counts(events).items()
        if 0 <= (AS_OF - day).days < 30
    ]
    columns = list(zip(*sorted(rows), strict=True)) or [()] * 6
    names = ["user_id", "cluster_id", "age_days", "requests", "impressions", "clicks"]
    types = [pa.string()] * 2 + [pa.int32()] * 4
    table = pa.table([pa.array(list(c), t) for c, t in zip(columns, types, strict=True)], names)
    return table.to_batches(max_chunksize=rows_per_batch)


def pairs_of(batches) -> dict[tuple, tuple]:
    found = {}
    for row in (r for b in batches for r in b.to_pylist()):
        assert row["cluster_ids"] == sorted(set(row["cluster_ids"]))
        for place, cluster in enumerate(row["cluster_ids"]):
            assert (row["user_id"], cluster) not in found
            found[(row["user_id"], cluster)] = tuple(row[c][place] for c in window_columns())
    return found


@pytest.mark.parametrize("seed", range(250))
def test_the_kernel_equals_the_oracle_on_a_random_history(seed, monkeypatch):
    rng = random.Random(seed)
    monkeypatch.setattr("bannermap.features.arrow.CHUNK_ROWS", rng.choice([1, 2, 5, 1000]))
    events = oracle.random_history(rng, "", AS_OF, 40, 60)
    found = pairs_of(user_feature_batches(partial_batches(events, rng.choice([1, 3, 100]))))
    assert found == oracle.features(events, ASSIGNMENT, AS_OF)


@pytest.mark.parametrize("least_rows", [1, 2, 4, 100])
def test_chunks_hold_whole_users_in_order(least_rows):
    users = ["a", "a", "a", "b", "c", "c", "d"]
    batches = pa.table({"user_id": users}).to_batches(max_chunksize=2)
    chunks = [c["user_id"].to_pylist() for c in user_chunks(batches, least_rows)]
    assert [u for c in chunks for u in c] == users
    assert all(not set(one) & set(two) for n, one in enumerate(chunks) for two in chunks[:n])


def test_wide_and_list_forms_hold_the_oracles_counts():
    rng = random.Random(5)
    events = oracle.random_history(rng, "", AS_OF, 40, 300)
    rows = list(user_feature_batches(partial_batches(events, 50)))
    expected, slots = oracle.features(events, ASSIGNMENT, AS_OF), ["k2", "k1", ""]
    (wide,), (lists,) = list(wide_batches(rows, slots, ["click", "request"])), list(list_batches(rows, slots))
    for row, vector in zip(wide.to_pylist(), lists.to_pylist(), strict=True):
        assert row["user_id"] == vector["user_id"]
        for w, window in enumerate(oracle.WINDOWS):
            cells = [[expected.get((row["user_id"], c), (0,) * 12)[3 * w + t] for c in slots] for t in range(3)]
            assert vector[f"features_{window}d"] == [float(v) for event in cells for v in event]
            for t, name in ((0, "requests"), (2, "clicks")):
                assert [row[f"{name}_{window}d_c{s:02d}"] for s in (1, 2, 3)] == cells[t]
    assert wide.schema.names[:8] == [
        "user_id",
        *(f"{n}_1d_c0{s}" for n in ("clicks", "requests") for s in (1, 2, 3)),
        "clicks_7d_c01",
    ]
    assert wide.schema.field(1).type == pa.int32() and lists.schema.field(1).type == pa.list_(pa.float32())
    assert np.sum([len(b) for b in rows]) == len({u for u, _ in expected})
