"""From partials and one clustering to feature rows; frames in, frames out."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from bannermap.features.arrow import list_batches, user_feature_batches, wide_batches
from bannermap.features.digests import RowSums, sha256_of
from bannermap.platform.tables import (
    EVENT_TYPES,
    UNCLUSTERED,
    USER_FEATURES,
    WINDOWS_DAYS,
    Table,
    count_column,
    user_feature_lists,
    user_features_wide,
    window_columns,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row

LONGEST_WINDOW_DAYS = max(WINDOWS_DAYS)
ASSIGNMENT_COLUMNS = ("banner_id", "cluster_id")
PARTIAL_COLUMNS = ("dt", "user_id", "banner_id", *map(count_column, EVENT_TYPES))
LANES = (0, 1)
PUBLISHED_COLUMNS = ("dt", "clustering_id", "revision", "available_at")


def clustered_banners(cluster_members: DataFrame, clustering_id: str) -> DataFrame:
    """The assignment of one clustering: banner_id, cluster_id; outliers are absent."""
    return inside_clusters(cluster_members.where(F.col("clustering_id") == clustering_id)).select(*ASSIGNMENT_COLUMNS)


def inside_clusters(cluster_members: DataFrame) -> DataFrame:
    """The members that are in a cluster."""
    return cluster_members.where(~F.col("is_outlier") & F.col("cluster_id").isNotNull())


def themed_banners(cluster_members: DataFrame, clustering_id: str, themes: int) -> DataFrame:
    """The assignment of one clustering to a number of themes: banner_id, cluster_id (the theme's); outliers have one too."""
    theme = F.col("themes")[themes]
    inside = (F.col("clustering_id") == clustering_id) & theme.isNotNull()
    return cluster_members.where(inside).select("banner_id", theme.alias("cluster_id"))


def partials_in_reach(partials: DataFrame, as_of: datetime.date) -> DataFrame:
    """Partials of the longest window that ends with ``as_of``: nothing after that day goes in."""
    first = as_of - datetime.timedelta(days=LONGEST_WINDOW_DAYS - 1)
    return partials.where(F.col("dt").between(F.lit(first), F.lit(as_of)))


def inputs_digest(reach: DataFrame, assignment: DataFrame) -> str:
    """A hash of what features are made from, the same for any order of rows."""
    return digest_of_inputs(sums_of(reach, PARTIAL_COLUMNS), sums_of(assignment, ASSIGNMENT_COLUMNS))


def digest_of_inputs(reach: RowSums, assignment: RowSums) -> str:
    """`inputs_digest` from the sums of the partials and of the assignment."""
    return sha256_of([reach.digest(), assignment.digest()])


def order_free_hash(frame: DataFrame, columns: Sequence[str]) -> str:
    """A hash of a frame's rows as a multiset: two sums of 64-bit row hashes, and the number of rows."""
    return sums_of(frame, columns).digest()


def sums_of(frame: DataFrame, columns: Sequence[str]) -> RowSums:
    """The sums behind `order_free_hash`."""
    return row_sums(frame.agg(*sum_columns(columns)).collect()[0])


def sum_columns(columns: Sequence[str]) -> list[Column]:
    """Aggregates whose values `row_sums` reads; a null counts as a value of its own, which `xxhash64` alone would skip."""
    values = [F.col(c) for c in columns] + [F.col(c).isNull() for c in columns]
    lanes = [F.sum(F.xxhash64(F.lit(seed), *values).cast("decimal(38,0)")).alias(f"lane_{seed}") for seed in LANES]
    return [F.count("*").alias("rows"), *lanes]


def row_sums(row: Row) -> RowSums:
    """The values of `sum_columns` in a collected row."""
    return RowSums(row["rows"], tuple(int(row[f"lane_{seed}"]) for seed in LANES)) if row["rows"] else RowSums()


def user_feature_rows(reach: DataFrame, assignment: DataFrame, as_of: datetime.date) -> DataFrame:
    """One row per user: user_id, cluster_ids and the windowed counts, as in `USER_FEATURES`.

    The partials are shuffled once, by user; the assignment is sent to every executor (11 million banners are about a gigabyte),
    since joining it by shuffle would move all partials twice and pile popular banners on one task.

    Args:
        reach: partials of the longest window.
        assignment: banner_id, cluster_id, one row per banner.
        as_of: last day of the windows.
    """
    joined = reach.join(F.broadcast(assignment), "banner_id", "left")
    rows = joined.select(
        "user_id",
        F.coalesce("cluster_id", F.lit(UNCLUSTERED)).alias("cluster_id"),
        F.datediff(F.lit(as_of), "dt").alias("age_days"),
        *[count_column(e) for e in EVENT_TYPES],
    )
    by_user = rows.repartition("user_id").sortWithinPartitions("user_id", "cluster_id")
    return by_user.mapInArrow(user_feature_batches, _part(USER_FEATURES, ["user_id", "cluster_ids", *window_columns()]))


def long_rows(features: DataFrame) -> DataFrame:
    """One row per user and cluster from one row per user; all other columns are kept."""
    aligned = F.arrays_zip(F.col("cluster_ids").alias("cluster_id"), *window_columns())
    rest = [c for c in features.columns if c not in ("cluster_ids", *window_columns())]
    return features.select(*rest, F.inline(aligned))


def wide_rows(features: DataFrame, slots: Sequence[str], events: Sequence[str]) -> DataFrame:
    """Rows of `user_features_wide`, less what a publication adds.

    Args:
        features: see `user_feature_rows`, by theme.
        slots: the theme of slot 1, 2, ...; "" where a slot has none.
        events: event types that get columns.
    """
    convert = functools.partial(wide_batches, slots=slots, events=events)
    return features.mapInArrow(convert, _part(*_unpublished(user_features_wide(len(slots), events))))


def list_rows(features: DataFrame, slots: Sequence[str]) -> DataFrame:
    """Rows of `user_feature_lists`, less what a publication adds; arguments as `wide_rows`."""
    convert = functools.partial(list_batches, slots=slots)
    return features.mapInArrow(convert, _part(*_unpublished(user_feature_lists(len(slots)))))


def _unpublished(table: Table) -> tuple[Table, list[str]]:
    return table, [c for c in table.columns if c not in PUBLISHED_COLUMNS]


def _part(table: Table, columns: Sequence[str]) -> StructType:
    return StructType([table.schema[c] for c in columns])
