"""Hashes of rows as a multiset: sums of 64-bit hashes, the same for any order and any partitioning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column

SEEDS = (0, 1)
"""Two sums: rows that change one of them by nothing change the other."""


def hash_sums(*columns: str | Column) -> list[Column]:
    """Aggregates, one for each of `SEEDS`; a null is skipped by `xxhash64`.

    Args:
        columns: what is hashed of a row, in this order.
    """
    return [F.sum(F.xxhash64(F.lit(seed), *columns).cast("decimal(38,0)")) for seed in SEEDS]
