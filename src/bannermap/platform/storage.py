"""Reading and writing declared tables. Every write replaces whole partitions or merges by key, so a rerun changes nothing."""

from __future__ import annotations

import datetime as dt
import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bannermap.platform.errors import InputError
from bannermap.platform.files import modified_ms, path_exists, remove, replace_folder
from bannermap.platform.tables import Table
from bannermap.platform.threads import at_once
from bannermap.platform.versions import (
    TABLE_PROPERTY,
    VERSION_PROPERTY,
    newest_commit,
    note_parquet_version,
    refusal,
    stored_version,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


@dataclass
class Warehouse:
    """The tables below one folder.

    Attributes:
        spark: the session.
        root: folder or address.
        read_only: a dry run: writes compute everything and store nothing.
        versions_read: table name -> Delta version, for the run manifest.
    """

    spark: SparkSession
    root: str
    read_only: bool = False
    versions_read: dict[str, int] = field(default_factory=dict)
    _as_declared: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if "://" not in self.root:
            self.root = str(Path(self.root).resolve())  # Delta takes a relative location for a table's name

    def path(self, table: Table) -> str:
        """Where a table lies."""
        return f"{self.root.rstrip('/')}/{table.name}"

    def exists(self, table: Table) -> bool:
        """Whether a committed version of the table is there."""
        if table.format == "parquet":
            return path_exists(self.spark, self.path(table))
        from delta.tables import DeltaTable

        return DeltaTable.isDeltaTable(self.spark, self.path(table))

    def check(self, table: Table) -> None:
        """Refuse a stored table of another version or with other columns than declared; asked of each table once.

        Raises:
            InputError: it would be misread; the message says how to mend it.
        """
        if table.name in self._as_declared:
            return
        stored = stored_version(self.spark, table, self.path(table))
        problem = refusal(table, stored, self.path(table)) if stored else None
        if problem:
            raise InputError(problem)
        if stored:
            self._as_declared.add(table.name)

    def read(self, table: Table, made_by: str = "an earlier job") -> DataFrame:
        """The newest committed version, pinned; declared columns only.

        Args:
            table: which.
            made_by: the job that makes it, for the message when it is absent.

        Raises:
            InputError: the table is not there, or would be misread.
        """
        if not self.exists(table):
            raise InputError(
                f"There is no table {table.name} at {self.path(table)}. Run {made_by} first or check paths.warehouse."
            )
        self.check(table)
        if table.format == "parquet":
            return table.select(self.spark.read.schema(table.schema).parquet(self.path(table)))
        version = self.versions_read[table.name] = newest_commit(self.spark, self.path(table))
        return table.select(self.spark.read.format("delta").option("versionAsOf", version).load(self.path(table)))

    def read_or_empty(self, table: Table) -> DataFrame:
        """Like `read`, but a table that was never written is an empty frame."""
        return self.read(table) if self.exists(table) else self.spark.createDataFrame([], table.schema)

    def overwrite_partition(self, table: Table, frame: DataFrame, **partition: Any) -> None:
        """Replace exactly one partition, whole, in one commit; an empty frame leaves it empty.

        Args:
            table: which; the keyword names must be its leading partition columns.
            frame: rows of that partition only; others are refused by Delta.
            partition: column name -> value.
        """
        declared = table.select(frame)
        if self.read_only:
            self._compute_only(table, declared)
        elif table.format == "parquet":
            self._replace_parquet_partition(table, declared, partition)
        else:
            self._replace_delta_partition(table, declared, partition)

    def overwrite_onwards(self, table: Table, frame: DataFrame, column: str, **partition: Any) -> None:
        """`overwrite_partition` of a Delta table that also empties the partitions behind it, in the same commit.

        Args:
            table: which.
            frame: rows of the named partition only.
            column: one of ``partition``; partitions with the others' values and a greater value of this one are emptied.
            partition: column name -> value.
        """
        declared = table.select(frame)
        if self.read_only:
            self._compute_only(table, declared)
        else:
            self._replace_delta_partition(table, declared, partition, onwards=column)

    def overwrite_partition_of_each(self, frames: Sequence[tuple[Table, DataFrame]], **partition: Any) -> None:
        """`overwrite_partition` for several tables at once: small commits are mostly waiting. All end before an error is raised.

        Args:
            frames: different tables with their rows.
            partition: column name -> value, the same for all.
        """
        at_once(self.spark, [functools.partial(self.overwrite_partition, *item, **partition) for item in frames])

    def overwrite_partitions(self, table: Table, frame: DataFrame, column: str, values: Sequence[Any]) -> None:
        """Replace several partitions of a Delta table in one commit; those that the frame has no rows for end up empty.

        Args:
            table: which, partitioned by ``column``.
            frame: rows of those partitions only; others are refused by Delta.
            column: the leading partition column.
            values: its values, at least one.
        """
        declared = table.select(frame)
        if self.read_only:
            self._compute_only(table, declared)
        else:
            self._create(table)
            predicate = f"{column} IN ({', '.join(map(sql_literal, values))})"
            declared.write.format("delta").mode("overwrite").option("replaceWhere", predicate).save(self.path(table))

    def merge(self, table: Table, frame: DataFrame, delete_absent_where: str | None = None) -> None:
        """Insert new keys, update rows that differ, leave equal rows alone.

        Args:
            table: which; rows are matched by its key.
            frame: at most one row per key.
            delete_absent_where: SQL over columns of ``old``; rows that it covers and the frame lacks are deleted.
        """
        from pyspark.sql import functions as F

        declared = table.select(frame)
        if self.read_only:
            self._compute_only(table, declared)
            return
        rest = [c for c in table.columns if c not in table.key]
        differs: list[Column] = [~F.col(f"old.{c}").eqNullSafe(F.col(f"new.{c}")) for c in rest]
        merge = self._merge_into(table, declared).whenNotMatchedInsertAll()
        if differs:
            merge = merge.whenMatchedUpdateAll(condition=functools.reduce(operator.or_, differs))
        if delete_absent_where:
            merge = merge.whenNotMatchedBySourceDelete(condition=delete_absent_where)
        merge.execute()

    def insert_new(self, table: Table, frame: DataFrame) -> None:
        """Insert rows whose key is not there yet; rows of known keys are left as they were first written."""
        declared = table.select(frame)
        if self.read_only:
            self._compute_only(table, declared)
        else:
            self._merge_into(table, declared).whenNotMatchedInsertAll().execute()

    def append(self, table: Table, frame: DataFrame) -> None:
        """Add rows; only for the run manifest, whose key is new for each run."""
        if not self.read_only:
            self._create(table)
            table.select(frame).write.format("delta").mode("append").save(self.path(table))

    def _compute_only(self, table: Table, frame: DataFrame) -> None:
        self.check(table)
        frame.write.format("noop").mode("overwrite").save()

    def _merge_into(self, table: Table, frame: DataFrame) -> Any:
        target = self._create(table).alias("old")
        return target.merge(frame.alias("new"), " AND ".join(f"old.{c} <=> new.{c}" for c in table.key))

    def _create(self, table: Table) -> Any:
        from delta.tables import DeltaTable

        self.check(table)
        if self.exists(table):
            return DeltaTable.forPath(self.spark, self.path(table))
        _clear_unborn(self.spark, self.path(table))
        builder = DeltaTable.createIfNotExists(self.spark).location(self.path(table)).addColumns(table.schema)
        own = {TABLE_PROPERTY: table.name, VERSION_PROPERTY: str(table.version)}
        for name, value in (own | table.history_properties).items():
            builder = builder.property(name, value)
        made = builder.partitionedBy(*table.partition_by).execute()
        self._as_declared.add(table.name)
        return made

    def _replace_delta_partition(
        self, table: Table, frame: DataFrame, partition: dict[str, Any], onwards: str | None = None
    ) -> None:
        self._create(table)
        each = (f"{column} {'>=' if column == onwards else '='} {sql_literal(value)}" for column, value in partition.items())
        predicate = " AND ".join(each)
        frame.write.format("delta").mode("overwrite").option("replaceWhere", predicate).save(self.path(table))

    def _replace_parquet_partition(self, table: Table, frame: DataFrame, partition: dict[str, Any]) -> None:
        self.check(table)
        if not self.exists(table):
            note_parquet_version(self.spark, table, self.path(table), table.version)
        folder = "/".join(f"{column}={value}" for column, value in partition.items())
        staging = f"{self.path(table)}/_staging/{folder}"
        replace_folder(self.spark, frame.drop(*partition), f"{self.path(table)}/{folder}", staging)


def sql_literal(value: Any) -> str:
    """A partition value as SQL."""
    if isinstance(value, dt.date):
        return f"DATE'{value.isoformat()}'"
    if isinstance(value, bool | int | float):
        return str(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _clear_unborn(spark: SparkSession, path: str) -> None:
    """Remove what a run left that was killed between making a table's folder and its first commit; Delta refuses to create
    a table where anything lies. Only a log folder without a commit is removed; with anything else beside it, Delta says so."""
    commits = [name for name in modified_ms(spark, f"{path}/_delta_log") if name.endswith(".json")]
    if set(modified_ms(spark, path)) == {"_delta_log"} and not commits:
        remove(spark, path)
