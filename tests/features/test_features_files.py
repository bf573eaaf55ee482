"""build_user_features on plain files: a hundred histories in one run, typed rejects, refused inputs, plain readers."""

from __future__ import annotations

import datetime
import random

import feature_oracle as oracle
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bannermap.features.files import run_on_files
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.tables import window_columns

AS_OF = datetime.date(2026, 3, 31)
ASSIGNMENT = {"a": "k1", "b": "k1", "c": "k2", "d": "k3"}
CONTEXT = {"surplus": 1, "app_id": "app"}


def write_inputs(tmp_path, events, assignment=None) -> dict[str, str]:
    rows = [e | CONTEXT for e in events]
    frame = pd.DataFrame(rows, columns=[*oracle.LOGGED, *CONTEXT])
    frame["event_ts"] = pd.to_datetime(frame["event_ts"]).dt.as_unit("ns")  # as pandas users have it
    frame.astype(dict.fromkeys(("event_id", "event_type", "user_id", "banner_id"), "string")).to_parquet(
        tmp_path / "events.parquet"
    )
    pairs = list(ASSIGNMENT.items()) if assignment is None else assignment
    pd.DataFrame([*pairs], columns=["banner_id", "cluster_id"]).astype("string").to_parquet(tmp_path / "assignments.parquet")
    paths = {"events": "events.parquet", "assignments": "assignments.parquet", "out": "out"}
    return {name: str(tmp_path / path) for name, path in paths.items()} | {"as_of": AS_OF.isoformat()}


def long_pairs(frame: pd.DataFrame) -> dict[tuple, tuple]:
    return {(r.user_id, r.cluster_id): tuple(getattr(r, c) for c in window_columns()) for r in frame.itertuples()}


def array_pairs(frame: pd.DataFrame) -> dict[tuple, tuple]:
    return {
        (r.user_id, cluster): tuple(int(getattr(r, c)[place]) for c in window_columns())
        for r in frame.itertuples()
        for place, cluster in enumerate(r.cluster_ids)
    }


def test_a_hundred_random_histories_in_one_run_equal_the_oracle(spark, base_settings, tmp_path):
    rng = random.Random(11)
    events = [e for n in range(120) for e in oracle.random_history(rng, f"{n:03d}", AS_OF + datetime.timedelta(days=3), 45, 40)]
    shuffled = rng.sample(events, len(events))
    expected = oracle.features(events, ASSIGNMENT, AS_OF)
    assignment = [*ASSIGNMENT.items(), *ASSIGNMENT.items(), ("e", None)]
    values = write_inputs(tmp_path, shuffled, assignment)
    run_on_files(spark, base_settings, values)
    long = pd.read_parquet(tmp_path / "out/user_cluster_counts")
    arrays = pd.read_parquet(tmp_path / "out/user_features")
    assert list(long.columns) == ["dt", "user_id", "cluster_id", *window_columns()]
    assert list(arrays.columns) == ["dt", "user_id", "cluster_ids", *window_columns()]
    assert long_pairs(long) == array_pairs(arrays) == expected
    assert arrays.user_id.is_unique and set(long.dt) == set(arrays.dt) == {AS_OF}
    schema = pq.read_table(tmp_path / "out/user_features").schema
    assert schema.field("clicks_30d").type == pa.list_(pa.field("element", pa.int32()))
    totals = sum(1 for e in oracle.counted(events) if e["event_ts"].date() == AS_OF and e["event_type"] == "click")
    assert long.clicks_1d.sum() == totals > 0


def test_events_after_the_day_change_nothing(spark, base_settings, tmp_path):
    rng = random.Random(12)
    events = oracle.random_history(rng, "", AS_OF, 35, 80)
    later = [e | {"event_ts": e["event_ts"] + datetime.timedelta(days=60)} for e in oracle.random_history(rng, "", AS_OF, 20, 80)]
    results = []
    for rows in (events, events + later):
        run_on_files(spark, base_settings, write_inputs(tmp_path, rows))
        results.append(long_pairs(pd.read_parquet(tmp_path / "out/user_cluster_counts")))
    assert results[0] == results[1] == oracle.features(events, ASSIGNMENT, AS_OF)


def test_unusable_events_are_kept_with_their_reason(spark, base_settings, tmp_path):
    noon = datetime.datetime(2026, 3, 31, 12)
    good = oracle.event("e1", "click", noon, "u", "a")
    bad = [good | {"user_id": None}, good | {"user_id": " "}, good | {"event_type": "view"}, good | {"event_ts": None}]
    run_on_files(spark, base_settings, write_inputs(tmp_path, [good, *bad, good | {"event_id": None}]))
    rejects = pd.read_parquet(tmp_path / "out/rejects")
    assert dict(rejects.groupby("reason").rows.sum()) == {
        "no_user": 2,
        "unknown_event_type": 1,
        "no_event_ts": 1,
        "no_event_id": 1,
    }
    assert pd.read_parquet(tmp_path / "out/user_cluster_counts").clicks_1d.tolist() == [1]


def test_what_cannot_be_right_is_refused(spark, base_settings, tmp_path):
    good = oracle.event("e1", "click", datetime.datetime(2026, 3, 31, 12), "u", "a")
    with pytest.raises(InputError, match="no rows"):
        run_on_files(spark, base_settings, write_inputs(tmp_path, []))
    with pytest.raises(InputError, match="more than one cluster"):
        run_on_files(spark, base_settings, write_inputs(tmp_path, [good], [("a", "k1"), ("a", "k2")]))
    values = write_inputs(tmp_path, [good])
    with pytest.raises(ConfigError, match="as-of"):
        run_on_files(spark, base_settings, values | {"as_of": "31.3.2026"})
    with pytest.raises(InputError, match="nothing at"):
        run_on_files(spark, base_settings, values | {"events": str(tmp_path / "absent")})
    with pytest.raises(InputError, match="lacks cluster_id"):
        only = pd.DataFrame({"banner_id": ["a"]})
        only.to_parquet(tmp_path / "assignments.parquet")
        run_on_files(spark, base_settings, values)
    assert not (tmp_path / "out/user_features").exists()
