"""Clusters that rise and fall: counts by day in, tested windows out, as Arrow batches around the tests of `significance`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.analytics.significance import benjamini_hochberg, changed_rates

MEASURES = ("impression_share", "ctr")
LEAST_DAYS = 2


@dataclass(frozen=True)
class Span:
    """The days that trends look at, the newest first: age 0 is the last day of the windows.

    Attributes:
        totals: impressions of all clusters by age.
        min_events: a cluster with fewer events in both windows together is not tested.
    """

    totals: tuple[int, ...]
    min_events: int

    def usable(self, windows: Iterable[int]) -> list[int]:
        """The windows whose both halves have impressions on half of their days, and on `LEAST_DAYS`."""
        return [w for w in windows if min(self._days(0, w), self._days(w, 2 * w)) >= max(LEAST_DAYS, -(-w // 2))]

    def _days(self, first: int, end: int) -> int:
        return sum(total > 0 for total in self.totals[first:end])


def trend_batches(batches: Iterable[pa.RecordBatch], span: Span, windows: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Per cluster, window and measure: columns of `CLUSTER_TRENDS` from window_days to p_value.

    Args:
        batches: cluster_id and days, a list of structs of age, impressions and clicks.
        span: of the days.
        windows: days of each window.
    """
    for batch in batches:
        impressions, clicks = dense_days(batch.column("days"), len(span.totals))
        totals = np.array([span.totals], float)
        for window in windows:
            for measure, (events, trials) in zip(MEASURES, ((impressions, totals), (clicks, impressions)), strict=True):
                yield _tested(batch.column("cluster_id"), window, measure, events, trials, span.min_events)


def dense_days(days: pa.ListArray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Impressions and clicks as float64 (clusters, length) from lists of structs; days without an entry are 0."""
    inside = days.flatten()
    row = pc.list_parent_indices(days).to_numpy(zero_copy_only=False)
    age = inside.field("age").to_numpy(zero_copy_only=False)
    found = []
    for name in ("impressions", "clicks"):
        dense = np.zeros((len(days), length))
        dense[row, age] = inside.field(name).to_numpy(zero_copy_only=False)
        found.append(dense)
    return found[0], found[1]


def _tested(
    clusters: pa.Array, window: int, measure: str, events: np.ndarray, trials: np.ndarray, min_events: int
) -> pa.RecordBatch:
    now, before = slice(0, window), slice(window, 2 * window)
    test = changed_rates(events[:, now], trials[:, now], events[:, before], trials[:, before])
    sums = {
        "events": events[:, now],
        "trials": trials[:, now],
        "events_before": events[:, before],
        "trials_before": trials[:, before],
    }
    counts = {name: np.broadcast_to(days.sum(1), len(clusters)).astype(np.int64) for name, days in sums.items()}
    p = np.where(counts["events"] + counts["events_before"] >= min_events, test.p_value, np.nan)
    untested = np.isnan(p)
    columns = {
        "cluster_id": clusters,
        "window_days": pa.array(np.full(len(clusters), window, np.int32)),
        "measure": pa.array([measure] * len(clusters), pa.string()),
        **{name: pa.array(values) for name, values in counts.items()},
        "rate": _nullable(test.rate),
        "rate_before": _nullable(test.rate_before),
        "dispersion": pa.array(test.dispersion, mask=untested),
        "degrees_of_freedom": pa.array(test.degrees_of_freedom.astype(np.int32), mask=untested),
        "p_value": _nullable(p),
    }
    return pa.RecordBatch.from_pydict(columns)


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def with_q_values(family: pa.Table, max_false_discoveries: float) -> pa.Table:
    """All tests of one window and measure with q_value and trend.

    Args:
        family: with rate, rate_before and p_value.
        max_false_discoveries: a q-value within it says that a cluster rises or falls.
    """
    p = family.column("p_value").to_numpy()  # nulls come as NaN
    q = benjamini_hochberg(p)
    up = family.column("rate").to_numpy() > family.column("rate_before").to_numpy()
    with np.errstate(invalid="ignore"):
        trend = np.where(np.isnan(q), "untested", np.where(q > max_false_discoveries, "steady", np.where(up, "rises", "falls")))
    return family.append_column("q_value", _nullable(q)).append_column("trend", pa.array(trend.astype(object), pa.string()))
