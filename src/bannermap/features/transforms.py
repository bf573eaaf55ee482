"""From partials and one clustering to feature rows; frames in, frames out."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StringType, StructType

from bannermap.features.arrow import (
    Bucket,
    Wanted,
    feature_batches_of_files,
    feature_batches_of_rows,
    feature_lists,
    list_batches,
    long_batches,
    wide_batches,
)
from bannermap.features.digests import RowSums, sha256_of
from bannermap.features.sets import set_batches
from bannermap.platform.row_hashes import SEEDS, hash_sums
from bannermap.platform.tables import (
    EVENT_TYPES,
    USER_CLUSTER_COUNTS,
    USER_FEATURES,
    WINDOWS_DAYS,
    FeatureSet,
    Table,
    count_column,
    user_feature_lists,
    user_features_wide,
    window_columns,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, SparkSession

LONGEST_WINDOW_DAYS = max(WINDOWS_DAYS)
ASSIGNMENT_COLUMNS = ("banner_id", "cluster_id")
PARTIAL_COLUMNS = ("dt", "user_id", "banner_id", *map(count_column, EVENT_TYPES))
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


def days_in_reach(as_of: datetime.date) -> list[datetime.date]:
    """Event days of the longest window that ends with ``as_of``, newest first: nothing after that day goes in."""
    return [as_of - datetime.timedelta(days=n) for n in range(LONGEST_WINDOW_DAYS)]


def partials_in_reach(partials: DataFrame, as_of: Collection[datetime.date]) -> DataFrame:
    """Partials of the longest windows of some days."""
    return partials.where(F.col("dt").isin(sorted({day for d in as_of for day in days_in_reach(d)})))


def digest_of_inputs(reach: Iterable[RowSums], assignment: RowSums) -> str:
    """A hash of what features are made from, the same for any order of rows.

    Args:
        reach: sums of the partials, in any parts.
        assignment: sums of the assignment.
    """
    return sha256_of([sum(reach, RowSums()).digest(), assignment.digest()])


def sums_by(frame: DataFrame, key: str, columns: Sequence[str]) -> dict[Any, RowSums]:
    """Sums of a frame's rows by a column, in one pass over it."""
    return {r[key]: row_sums(r) for r in frame.groupBy(key).agg(*sum_columns(columns)).collect()}


def order_free_hash(frame: DataFrame, columns: Sequence[str]) -> str:
    """A hash of a frame's rows as a multiset: two sums of 64-bit row hashes, and the number of rows."""
    return sums_of(frame, columns).digest()


def sums_of(frame: DataFrame, columns: Sequence[str]) -> RowSums:
    """The sums behind `order_free_hash`."""
    return row_sums(frame.agg(*sum_columns(columns)).collect()[0])


def sum_columns(columns: Sequence[str]) -> list[Column]:
    """Aggregates whose values `row_sums` reads; a null counts as a value of its own, which `xxhash64` alone would skip."""
    values = [F.col(c) for c in columns] + [F.col(c).isNull() for c in columns]
    lanes = zip(SEEDS, hash_sums(*values), strict=True)
    return [F.count("*").alias("rows"), *(total.alias(f"lane_{seed}") for seed, total in lanes)]


def row_sums(row: Row) -> RowSums:
    """The values of `sum_columns` in a collected row."""
    return RowSums(row["rows"], tuple(int(row[f"lane_{seed}"]) for seed in SEEDS)) if row["rows"] else RowSums()


def user_feature_rows(reach: DataFrame, wanted: Wanted) -> DataFrame:
    """Feature rows of partials: target, user_id, cluster_ids and `Wanted.lists`, one row per target and user.

    The partials are shuffled once, by user; the assignments go to every task, since joining them by shuffle would move all
    partials twice and pile popular banners on one task.

    Args:
        reach: partials of all windows.
        wanted: what is to be made.
    """
    rows = reach.select("user_id", "banner_id", F.unix_date("dt").alias("day"), *map(count_column, EVENT_TYPES))
    by_user = rows.repartition("user_id").sortWithinPartitions("user_id")
    return by_user.mapInArrow(functools.partial(feature_batches_of_rows, wanted=wanted), _feature_rows(wanted.lists))


def stored_feature_rows(spark: SparkSession, tasks: Sequence[Sequence[Bucket]], wanted: Wanted) -> DataFrame:
    """`user_feature_rows` of partials as they are stored: a task reads the files of a bucket, and nothing is shuffled.

    Args:
        spark: the session.
        tasks: the buckets of each task; tasks start in the given order.
        wanted: what is to be made.
    """
    read = functools.partial(feature_batches_of_files, buckets=tasks, wanted=wanted)
    return spark.range(0, len(tasks), 1, max(len(tasks), 1)).mapInArrow(read, _feature_rows(wanted.lists))


def long_rows(features: DataFrame) -> DataFrame:
    """One row per target, user and cluster from feature rows."""
    return features.mapInArrow(long_batches, _with_target(USER_CLUSTER_COUNTS, ["user_id", "cluster_id", *window_columns()]))


def wide_rows(features: DataFrame, slots: Mapping[int, Sequence[str]], events: Sequence[str]) -> DataFrame:
    """Rows of `user_features_wide` by target, less what a publication adds.

    Args:
        features: see `user_feature_rows`, by theme.
        slots: target -> the theme of slot 1, 2, ...; "" where a slot has none.
        events: event types that get columns.
    """
    convert = functools.partial(wide_batches, slots=slots, events=events)
    return features.mapInArrow(convert, _with_target(*_unpublished(user_features_wide(_slots(slots), events))))


def list_rows(features: DataFrame, slots: Mapping[int, Sequence[str]]) -> DataFrame:
    """Rows of `user_feature_lists` by target, less what a publication adds; arguments as `wide_rows`."""
    convert = functools.partial(list_batches, slots=slots)
    return features.mapInArrow(convert, _with_target(*_unpublished(user_feature_lists(_slots(slots)))))


def set_rows(features: DataFrame, feature_set: FeatureSet, slots: Mapping[int, Sequence[str]]) -> DataFrame:
    """Rows of a feature set's table by target, less what a publication adds.

    Args:
        features: see `user_feature_rows`, by what the set counts by, with recency where it has one.
        feature_set: which.
        slots: as in `wide_rows`; of no matter to the layout ``arrays``.
    """
    convert = functools.partial(set_batches, feature_set=feature_set, slots=slots)
    return features.mapInArrow(convert, _with_target(*_unpublished(feature_set.table())))


def counted_rows(recency: bool) -> StructType:
    """Feature rows with ``form``, by which a publication tells rows by cluster from rows by numbers of themes.

    Args:
        recency: whether any of them have recencies.
    """
    return _feature_rows(feature_lists(recency)).add("form", StringType())


def _feature_rows(lists: Sequence[str]) -> StructType:
    schema = _with_target(USER_FEATURES, ["user_id", "cluster_ids"])
    for name in lists:
        schema = schema.add(name, USER_FEATURES.schema[window_columns()[0]].dataType)
    return schema


def _slots(slots: Mapping[int, Sequence[str]]) -> int:
    return len(next(iter(slots.values())))


def _unpublished(table: Table) -> tuple[Table, list[str]]:
    return table, [c for c in table.columns if c not in PUBLISHED_COLUMNS]


def _with_target(table: Table, columns: Sequence[str]) -> StructType:
    schema = StructType().add("target", IntegerType())
    for name in columns:
        schema = schema.add(table.schema[name])
    return schema
