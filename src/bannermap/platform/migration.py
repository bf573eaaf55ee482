"""Bringing stored tables to their declared versions, by the steps that are declared beside them.

A step is up to three commits: the new columns, their values (or both at once, where the layout changes), and last the version.
Until the last one the table keeps its old version and is refused to every job; each commit gives the same when it is repeated.
So a migration can be killed anywhere and run again. Columns without values rewrite no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import WAREHOUSE_TABLES, AddColumns, Rebuild, Relay, Table
from bannermap.platform.versions import (
    VERSION_PROPERTY,
    Stored,
    delta_name,
    differences,
    note_parquet_version,
    refusal,
    stored_version,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Plan:
    """What is to be done with one table.

    Attributes:
        table: which.
        stored: version and columns on disk; None where there is no such table.
        problem: why it cannot be brought to the declared version, and how to mend it; None where it can.
    """

    table: Table
    stored: Stored | None
    problem: str | None

    @property
    def steps(self) -> list[tuple[int, AddColumns | Relay]]:
        """The steps to apply, each with the version that it makes; none where there is a problem."""
        found = self.table.steps_from(self.stored.version) if self.stored and not self.problem else []
        return [(version, step) for version, step in found if not isinstance(step, Rebuild)]

    def text(self) -> str:
        """A line for people."""
        if self.stored is None:
            return f"not there; will be made with version {self.table.version}"
        versions = f"stored {self.stored.version}, declared {self.table.version}"
        if self.problem:
            return f"{versions}: refused. {self.problem}"
        return "; ".join([versions, *(f"to {version}: {step.text()}" for version, step in self.steps)])


def plans(warehouse: Warehouse, tables: Iterable[Table] = WAREHOUSE_TABLES) -> Iterator[Plan]:
    """What each table needs; nothing is changed."""
    for table in tables:
        stored = stored_version(warehouse.spark, table, warehouse.path(table))
        yield Plan(table, stored, _problem(table, stored, warehouse.path(table)) if stored else None)


def migrate_tables(warehouse: Warehouse, tables: Iterable[Table]) -> int:
    """List every table with its stored and its declared version, and apply the steps; tables with a problem stay as they are.

    Args:
        warehouse: where; one that is read-only is left as it is, and only listed.
        tables: which.

    Returns:
        How many tables have a problem; their lines say which and how to mend it.
    """
    problems = 0
    for plan in plans(warehouse, tables):
        print(f"{plan.table.name:<32} {plan.text()}", flush=True)
        problems += plan.problem is not None
        if not warehouse.read_only:
            migrate(warehouse, plan)
    return problems


def migrate(warehouse: Warehouse, plan: Plan) -> None:
    """Apply the steps of a plan in order; repeating it, or the rest of it, changes nothing more."""
    for version, step in plan.steps:
        if isinstance(step, Relay):
            _relay(warehouse, plan.table, step)
        elif plan.table.format == "delta":
            _add_columns(warehouse, plan.table, step)
            if step.values:
                _fill(warehouse, plan.table, step)
        _note_version(warehouse, plan.table, version)


def _problem(table: Table, stored: Stored, path: str) -> str | None:
    """The refusal that no step can lift: a newer version, one that cannot be derived, or columns that no step explains."""
    steps = [step for _, step in table.steps_from(stored.version)]
    if not steps or any(isinstance(step, Rebuild) for step in steps):
        return refusal(table, stored, path)
    added = {c: table.column_types[c] for step in steps if not isinstance(step, Rebuild) for c in step.names}
    wrong = differences(table, {**added, **stored.columns}) if stored.columns is not None else ""
    mend = f"restore an earlier state of {path}, or move it away and run its job again"
    return f"Beside the columns to come, {wrong}: {mend}." if wrong else None


def _add_columns(warehouse: Warehouse, table: Table, step: AddColumns) -> None:
    stored = stored_version(warehouse.spark, table, warehouse.path(table))
    there = stored.columns or {} if stored else {}
    new = ", ".join(f"`{c}` {table.type_of(c)}" for c in step.names if c not in there)
    if new:
        warehouse.spark.sql(f"ALTER TABLE {delta_name(warehouse.path(table))} ADD COLUMNS ({new})")


def _fill(warehouse: Warehouse, table: Table, step: AddColumns) -> None:
    """Give values to old rows; rows that have one keep it."""
    from delta.tables import DeltaTable

    frames: dict[str, Any] = {name: _as_stored(warehouse, name) for name in step.reads}
    values = warehouse.spark.sql(str(step.values), **frames)
    typed = values.selectExpr(*table.key, *(f"CAST(`{c}` AS {table.type_of(c)}) AS `{c}`" for c in step.names))
    to_fill = " OR ".join(f"(old.`{c}` IS NULL AND new.`{c}` IS NOT NULL)" for c in step.names)
    merge = DeltaTable.forPath(warehouse.spark, warehouse.path(table)).alias("old")
    matched = merge.merge(typed.alias("new"), " AND ".join(f"old.{c} <=> new.{c}" for c in table.key))
    matched.whenMatchedUpdate(to_fill, {c: f"coalesce(old.`{c}`, new.`{c}`)" for c in step.names}).execute()


def _relay(warehouse: Warehouse, table: Table, step: Relay) -> None:
    """Write all rows again as the table is declared; files of one partition come from one task."""
    stored = _as_stored(warehouse, table.name)
    rows = table.select(stored.selectExpr("*", *(f"{sql} AS `{c}`" for c, sql in step.values.items() if c not in stored.columns)))
    write = rows.repartition(*table.partition_by).sortWithinPartitions(*table.partition_by, *table.key).write.format("delta")
    whole = write.mode("overwrite").option("overwriteSchema", "true").partitionBy(*table.partition_by)
    whole.save(warehouse.path(table))


def _as_stored(warehouse: Warehouse, name: str) -> DataFrame:
    """A stored table whatever its version; a table that is not there has no rows."""
    table = next(t for t in WAREHOUSE_TABLES if t.name == name)
    if warehouse.exists(table):
        return warehouse.spark.read.format("delta").load(warehouse.path(table))
    return warehouse.spark.createDataFrame([], table.schema)


def _note_version(warehouse: Warehouse, table: Table, version: int) -> None:
    path = warehouse.path(table)
    if table.format == "parquet":
        note_parquet_version(warehouse.spark, table, path, version)
    else:
        properties = {**table.properties, VERSION_PROPERTY: str(version)}
        each = ", ".join(f"'{name}' = '{value}'" for name, value in properties.items())
        warehouse.spark.sql(f"ALTER TABLE {delta_name(path)} SET TBLPROPERTIES ({each})")
