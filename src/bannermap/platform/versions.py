"""The version that a table was stored with, and the refusal of one that would be misread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bannermap.platform.errors import InputError
from bannermap.platform.files import last_match, path_exists, read_text, write_text
from bannermap.platform.tables import Rebuild, Table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TABLE_PROPERTY = "bannermap.table"
VERSION_PROPERTY = "bannermap.schema_version"
DEFINITION_PROPERTY = "bannermap.semantic_hash"
VERSION_FILE = "_bannermap.json"
"""Beside the partitions of a Parquet table, which has no properties; readers of Parquet pass over the underscore."""
MIGRATE = "./spark-submit.sh migrate_warehouse"


@dataclass(frozen=True)
class Stored:
    """What lies on disk.

    Attributes:
        version: 1 where none was noted, as before there were versions.
        columns: name -> type as Spark writes it; null where a Parquet table notes none and holds no file.
        semantic_hash: of the definition that its rows follow; null where none was noted, as before there were any.
    """

    version: int
    columns: Mapping[str, str] | None
    semantic_hash: str | None = None


def stored_version(spark: SparkSession, table: Table, path: str) -> Stored | None:
    """Version and columns of a stored table; None where there is none."""
    return _stored_parquet(spark, path) if table.format == "parquet" else _stored_delta(spark, path)


def refusal(table: Table, stored: Stored, path: str) -> str | None:
    """Why a stored table may be neither read nor written, and how to mend it; None where it is as declared."""
    head = f"Table {table.name} at {path} has version {stored.version}, this bannermap knows version {table.version}"
    if stored.version > table.version:
        return f"{head}: a newer bannermap wrote it, and it would be misread. Use that one, or another paths.warehouse."
    steps = [step for _, step in table.steps_from(stored.version)]
    rebuild = next((step for step in steps if isinstance(step, Rebuild)), None)
    if rebuild:
        return f"{head}, which {rebuild.text()}."
    if steps:
        what = "; ".join(step.text() for step in steps)
        return f"{head}. Run {MIGRATE} once, with the same --config and --set: it {what}."
    if _means_something_else(table, stored):
        return (
            f"Table {table.name} at {path} follows another definition ({stored.semantic_hash or 'of rule 1'}) than is now given "
            f"to that name ({table.semantic_hash}, {json.dumps(table.definition)}), and its numbers would be mixed. Give the "
            "new definition another name, go back to the former one, or move the table away."
        )
    wrong = differences(table, stored.columns)
    if wrong:
        return (
            f"Table {table.name} at {path} is not as version {table.version} is declared: {wrong}. Something else changed it, "
            "and it would be misread: restore an earlier state of it, or move it away and run its job again."
        )
    return None


def _means_something_else(table: Table, stored: Stored) -> bool:
    if stored.semantic_hash is None:  # of the time before definitions were noted, when there was one rule
        return table.definition.get("rule", 1) != 1
    return stored.semantic_hash != table.semantic_hash


def differences(table: Table, columns: Mapping[str, str] | None) -> str:
    """How stored columns differ from the declared ones, order aside; empty where they do not."""
    if columns is None:
        return ""
    # The folders' names hold the partition columns of Parquet, and readers guess their types.
    aside = set(table.partition_by) if table.format == "parquet" else set()
    declared = {c: t for c, t in table.column_types.items() if c not in aside}
    found = {c: t for c, t in columns.items() if c not in aside}
    lacks = [f"it lacks {c}" for c in declared if c not in found]
    more = [f"it has {c}, which is not declared" for c in found if c not in declared]
    types = [f"{c} is {found[c]}, not {t}" for c, t in declared.items() if c in found and found[c] != t]
    return "; ".join([*lacks, *more, *types])


def note_parquet_version(spark: SparkSession, table: Table, path: str, version: int) -> None:
    """Note version, columns and definition beside the partitions of a Parquet table."""
    note = {"table": table.name, "version": version, "columns": table.column_types}
    if table.definition:
        note |= {"semantic_hash": table.semantic_hash, "definition": table.definition}
    write_text(spark, f"{path}/{VERSION_FILE}", json.dumps(note, indent=1))


def _stored_delta(spark: SparkSession, path: str) -> Stored | None:
    from delta.tables import DeltaTable

    if not DeltaTable.isDeltaTable(spark, path):
        return None
    fields = DeltaTable.forPath(spark, path).toDF().schema.fields
    noted = table_properties(spark, path)
    columns = {f.name: f.dataType.simpleString() for f in fields}
    return Stored(int(noted.get(VERSION_PROPERTY, "1")), columns, noted.get(DEFINITION_PROPERTY))


def table_properties(spark: SparkSession, path: str) -> dict[str, str]:
    """Properties of a stored Delta table."""
    return {r["key"]: r["value"] for r in spark.sql(f"SHOW TBLPROPERTIES {delta_name(path)}").collect()}


def newest_commit(spark: SparkSession, path: str) -> int:
    """The newest committed version of a Delta table: commit n is the file n.json of its log, by Delta's protocol.

    ``DeltaTable.history`` says the same by way of a Spark job, ten times as slow.

    Raises:
        InputError: there is no commit.
    """
    name = last_match(spark, f"{path}/_delta_log", f"{'[0-9]' * 20}.json")
    if name is None:
        raise InputError(f"{path} has no commit of Delta. Restore it, or move it away and run its job again.")
    return int(name.removesuffix(".json"))


def delta_name(path: str) -> str:
    """The Delta table of a folder, as SQL names it."""
    return f"delta.`{path.replace('`', '``')}`"


def _stored_parquet(spark: SparkSession, path: str) -> Stored | None:
    if not path_exists(spark, path):
        return None
    try:
        note = json.loads(read_text(spark, f"{path}/{VERSION_FILE}") or "")
        return Stored(int(note["version"]), dict(note["columns"]), note.get("semantic_hash"))
    except (ValueError, KeyError, TypeError):  # none, or cut off by a kill: the files themselves say what they hold
        return Stored(1, _columns_of_files(spark, path))


def _columns_of_files(spark: SparkSession, path: str) -> dict[str, str] | None:
    from pyspark.errors import AnalysisException

    try:
        return {f.name: f.dataType.simpleString() for f in spark.read.parquet(path).schema.fields}
    except AnalysisException:  # no partition yet
        return None
