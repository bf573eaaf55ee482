"""Batches around the tests: days to arrays, windows that can be tested, families and their trends."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from bannermap.analytics.frames import TESTED, TESTS
from bannermap.analytics.significance import benjamini_hochberg, changed_rates
from bannermap.analytics.trends import Span, dense_days, trend_batches, with_q_values


def batch_of(counts: dict[str, dict[int, tuple[int, int]]]) -> pa.RecordBatch:
    """cluster -> age -> impressions and clicks."""
    lists = [[{"age": a, "impressions": i, "clicks": c} for a, (i, c) in sorted(days.items())] for days in counts.values()]
    kind = pa.list_(pa.struct([("age", pa.int32()), ("impressions", pa.int64()), ("clicks", pa.int64())]))
    return pa.RecordBatch.from_pydict({"cluster_id": pa.array(list(counts)), "days": pa.array(lists, kind)})


@pytest.mark.parametrize(
    ("totals", "usable"),
    [
        ([5] * 56, [7, 28]),
        ([5] * 14 + [0] * 42, [7]),
        ([5] * 7 + [5, 5, 5, 5, 0, 0, 0] + [0] * 42, [7]),
        ([5] * 10 + [0] * 46, []),
        ([0] * 56, []),
    ],
)
def test_a_window_needs_half_of_its_days_in_both_halves(totals, usable):
    assert Span(tuple(totals), 1).usable([7, 28]) == usable


def test_batches_of_any_size_give_the_tests_of_dense_arrays():
    rng = np.random.default_rng(4)
    impressions = rng.poisson(30, (9, 8)) * rng.integers(0, 2, (9, 8))
    clicks = rng.binomial(impressions, 0.2)
    days = {f"k{n}": {a: (int(impressions[n, a]), int(clicks[n, a])) for a in range(8) if impressions[n, a]} for n in range(9)}
    span = Span(tuple(int(v) for v in impressions.sum(0)), 10)
    whole = batch_of(days)
    assert [d.tolist() for d in dense_days(whole.column("days"), 8)] == [impressions.tolist(), clicks.tolist()]
    tables = [
        pa.Table.from_batches(trend_batches(batches, span, [2, 4])).sort_by([(c, "ascending") for c in TESTS.key])
        for batches in ([whole], [whole.slice(0, 4), whole.slice(4, 1), whole.slice(5)])
    ]
    assert tables[0] == tables[1] and tables[0].column_names == list(TESTS.columns)
    rows = {(r["window_days"], r["measure"], r["cluster_id"]): r for r in tables[0].to_pylist()}
    for window in (2, 4):
        for measure, events, trials in (
            ("impression_share", impressions, impressions.sum(0)[None]),
            ("ctr", clicks, impressions),
        ):
            now, before = slice(0, window), slice(window, 2 * window)
            test = changed_rates(*(np.asarray(a, float)[:, s] for s in (now, before) for a in (events, trials)))
            for n in range(9):
                row = rows[window, measure, f"k{n}"]
                counted = events[n, now].sum() + events[n, before].sum()
                assert row["events"] + row["events_before"] == counted
                expected = None if counted < 10 or np.isnan(test.p_value[n]) else pytest.approx(test.p_value[n])
                assert row["p_value"] == expected and (row["dispersion"] is None) == (expected is None)


def test_a_family_says_what_rises_and_falls_within_the_rate():
    p = [0.001, 0.02, 0.9, None]
    family = pa.table({"rate": [0.2, 0.1, 0.1, None], "rate_before": [0.1, 0.2, 0.1, 0.1], "p_value": p})
    found = with_q_values(family, 0.05)
    assert found.column("trend").to_pylist() == ["rises", "falls", "steady", "untested"]
    q = benjamini_hochberg(np.array([0.001, 0.02, 0.9]))
    assert found.column("q_value").to_pylist() == [*(pytest.approx(v) for v in q), None]
    assert with_q_values(family, 0.002).column("trend").to_pylist()[:2] == ["steady", "steady"]
    assert set(found.column_names) <= set(TESTED.columns)
