"""Figures of one cluster and day that need more than sums: click rates with intervals, users with the sketch's error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import pyarrow as pa

from bannermap.platform.intervals import Z_95, wilson_bounds


def click_rate(clicks: int, impressions: int) -> tuple[float | None, float | None, float | None]:
    """Clicks per impression with Wilson's 95 % interval.

    Args:
        clicks: at least 0.
        impressions: at least 0.

    Returns:
        Rate, lower and upper bound; all null without impressions, the bounds also where clicks came without their impressions
        and outnumber them.
    """
    if not impressions:
        return None, None, None
    rate = clicks / impressions
    return (rate, *wilson_bounds(rate, impressions)) if clicks <= impressions else (rate, None, None)


def users_interval(users: int, lg_k: int) -> tuple[int, int]:
    """95 % interval of a theta sketch's estimate.

    A sketch that has dropped no hash has counted all of them; it keeps up to 2^lg_k. Else its relative standard error is
    1 / sqrt(2^lg_k - 1). Source: Dasgupta, Lang, Rhodes, Thaler 2016, "A framework for estimating stream expression
    cardinalities", ICDT.

    Args:
        users: the estimate, at least 0.
        lg_k: binary logarithm of the hashes that the sketch keeps.

    Returns:
        Lower and upper bound.
    """
    if users <= 2**lg_k:
        return users, users
    reach = Z_95 * users / math.sqrt(2**lg_k - 1)
    return math.floor(users - reach), math.ceil(users + reach)


def rated_batches(batches: Iterable[pa.RecordBatch], lg_k: int) -> Iterator[pa.RecordBatch]:
    """Batches with ctr, ctr_low, ctr_high, users_low and users_high added.

    Args:
        batches: clicks, impressions, users (bigint, not null) and any other columns.
        lg_k: see `users_interval`.
    """
    for batch in batches:
        clicks, impressions, users = (batch.column(c).to_pylist() for c in ("clicks", "impressions", "users"))
        rates = [click_rate(c, i) for c, i in zip(clicks, impressions, strict=True)]
        bounds = [users_interval(u, lg_k) for u in users]
        added = {f"ctr{end}": pa.array([r[n] for r in rates], pa.float64()) for n, end in enumerate(("", "_low", "_high"))}
        added |= {f"users{end}": pa.array([b[n] for b in bounds], pa.int64()) for n, end in enumerate(("_low", "_high"))}
        yield pa.RecordBatch.from_arrays([*batch.columns, *added.values()], [*batch.schema.names, *added])
