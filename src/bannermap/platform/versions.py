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
VERSION_FILE = "_bannermap.json"
"""Beside the partitions of a Parquet table, which has no properties; readers of Parquet pass over the underscore."""
MIGRATE = "./spark-submit.sh migrate_warehouse"


@dataclass(frozen=True)
class Stored:
    """What lies on disk.

    Attributes:
        version: 1 where none was noted, as before there were versions.
        columns: name -> type as Spark writes it; null where a Parquet table notes none and holds no file.
    """

    version: int
    columns: Mapping[str, str] | None


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
    wrong = differences(table, stored.columns)
    if wrong:
        return (
            f"Table {table.name} at {path} is not as version {table.version} is declared: {wrong}. Something else changed it, "
            "and it would be misread: restore an earlier state of it, or move it away and run its job again."
        )
    return None


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
    """Note version and columns beside the partitions of a Parquet table."""
    note = {"table": table.name, "version": version, "columns": table.column_types}
    write_text(spark, f"{path}/{VERSION_FILE}", json.dumps(note, indent=1))


def _stored_delta(spark: SparkSession, path: str) -> Stored | None:
    from delta.tables import DeltaTable

    if not DeltaTable.isDeltaTable(spark, path):
        return None
    fields = DeltaTable.forPath(spark, path).toDF().schema.fields
    rows = spark.sql(f"SHOW TBLPROPERTIES {delta_name(path)}").collect()
    version = {r["key"]: r["value"] for r in rows}.get(VERSION_PROPERTY, "1")
    return Stored(int(version), {f.name: f.dataType.simpleString() for f in fields})


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
        return Stored(int(note["version"]), dict(note["columns"]))
    except (ValueError, KeyError, TypeError):  # none, or cut off by a kill: the files themselves say what they hold
        return Stored(1, _columns_of_files(spark, path))


def _columns_of_files(spark: SparkSession, path: str) -> dict[str, str] | None:
    from pyspark.errors import AnalysisException

    try:
        return {f.name: f.dataType.simpleString() for f in spark.read.parquet(path).schema.fields}
    except AnalysisException:  # no partition yet
        return None
