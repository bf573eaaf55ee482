"""Reading and writing declared tables. Every write replaces whole partitions or merges by key, so a rerun changes nothing."""

from __future__ import annotations

import datetime as dt
import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bannermap.platform.errors import BusyError, InputError
from bannermap.platform.files import modified_ms, path_exists, place_folder, remove
from bannermap.platform.tables import Table
from bannermap.platform.threads import at_once
from bannermap.platform.versions import (
    DEFINITION_PROPERTY,
    TABLE_PROPERTY,
    VERSION_PROPERTY,
    newest_commit,
    note_parquet_version,
    refusal,
    stored_version,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from bannermap.platform.claims import Claim


@dataclass
class Warehouse:
    """The tables below one folder.

    Attributes:
        spark: the session.
        root: folder or address.
        read_only: a dry run: writes compute everything and store nothing.
        versions_read: table name -> Delta version, for the run manifest.
        claims: what the run that uses it holds against others; nothing is written once one of them is lost.
    """

    spark: SparkSession
    root: str
    read_only: bool = False
    versions_read: dict[str, int] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    _as_declared: set[tuple[str, str | None]] = field(default_factory=set)

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
        """Refuse a stored table of another version, definition or with other columns than declared; asked of each once.

        Raises:
            InputError: it would be misread; the message says how to mend it.
        """
        if (table.name, table.semantic_hash) in self._as_declared:
            return
        stored = stored_version(self.spark, table, self.path(table))
        problem = refusal(table, stored, self.path(table)) if stored else None
        if problem:
            raise InputError(problem)
        if stored:
            self._as_declared.add((table.name, table.semantic_hash))

    def check_claims(self) -> None:
        """Write only while no other run took over.

        Raises:
            BusyError: one did.
        """
        for claim in self.claims:
            claim.check()

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
        self._overwrite_each(table, frame, [partition])

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
            each = (f"{c} {'>=' if c == column else '='} {sql_literal(value)}" for c, value in partition.items())
            self._replace_where(table, declared, " AND ".join(each))

    def overwrite_partitions_of_each(
        self, frames: Sequence[tuple[Table, DataFrame]], partitions: Sequence[Mapping[str, Any]]
    ) -> None:
        """Replace partitions of several tables at once, those of a Delta table in one commit: small commits are mostly waiting.

        All tables end before an error is raised. Partitions that a frame has no rows for end up empty.

        Args:
            frames: different tables with their rows.
            partitions: column name -> value of each partition, the same for all tables; at least one.
        """
        at_once(self.spark, [functools.partial(self._overwrite_each, *item, partitions) for item in frames])

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
            self._replace_where(table, declared, f"{column} IN ({', '.join(map(sql_literal, values))})")

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

        self.check_claims()
        self.check(table)
        if self.exists(table):
            return DeltaTable.forPath(self.spark, self.path(table))
        _clear_unborn(self.spark, self.path(table))
        builder = DeltaTable.createIfNotExists(self.spark).location(self.path(table)).addColumns(table.schema)
        own = {TABLE_PROPERTY: table.name, VERSION_PROPERTY: str(table.version)}
        own |= {DEFINITION_PROPERTY: table.semantic_hash} if table.semantic_hash else {}
        for name, value in (own | table.history_properties | dict(table.properties)).items():
            builder = builder.property(name, value)
        made = builder.partitionedBy(*table.partition_by).execute()
        self._as_declared.add((table.name, table.semantic_hash))
        return made

    def _overwrite_each(self, table: Table, frame: DataFrame, partitions: Sequence[Mapping[str, Any]]) -> None:
        declared = table.select(frame)
        if self.read_only:
            self._compute_only(table, declared)
        elif table.format == "parquet":
            self._replace_parquet_partitions(table, declared, partitions)
        else:
            each = (" AND ".join(f"{c} = {sql_literal(value)}" for c, value in p.items()) for p in partitions)
            self._replace_where(table, declared, " OR ".join(f"({p})" for p in each))

    def _replace_where(self, table: Table, frame: DataFrame, predicate: str) -> None:
        self._create(table)
        frame.write.format("delta").mode("overwrite").option("replaceWhere", predicate).save(self.path(table))

    def _replace_parquet_partitions(self, table: Table, frame: DataFrame, partitions: Sequence[Mapping[str, Any]]) -> None:
        self.check(table)
        stored = stored_version(self.spark, table, self.path(table))
        if stored is None or stored.semantic_hash != table.semantic_hash:  # none is noted in tables of earlier times
            note_parquet_version(self.spark, table, self.path(table), table.version)
        folders = ["/".join(f"{column}={value}" for column, value in p.items()) for p in partitions]
        staging = f"{self.path(table)}/_staging/{folders[0]}"  # of its own for each day: runs of two days may go on at once
        self.check_claims()
        frame.write.mode("overwrite").partitionBy(*partitions[0]).parquet(staging)
        self.check_claims()
        if not path_exists(self.spark, staging):  # a partition without rows has no folder in it, but it is there
            raise BusyError(f"What was written to {staging} is gone: another run removed it. Run this again when that is done.")
        for folder in folders:
            place_folder(self.spark, f"{staging}/{folder}", f"{self.path(table)}/{folder}", frame.drop(*partitions[0]))
        remove(self.spark, staging)


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
