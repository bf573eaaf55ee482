"""Taking single rows out of stored tables: the one exception to whole partitions, for `erase_user`.

Values to be erased never enter a table's history: rows are matched by a join, where a literal would stay in Delta's log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bannermap.platform.files import hadoop_path, path_exists, remove, rename
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import Table
from bannermap.platform.versions import delta_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGING, ASIDE = "_staging", "_aside"
"""Folders beside the partitions; readers of Parquet leave out what begins with an underscore."""
RETENTION_CHECK = "spark.databricks.delta.retentionDurationCheck.enabled"
DATA_FILE = "[.](parquet|bin)$"
LISTING_TASKS = "spark.sql.sources.parallelPartitionDiscovery.parallelism"


def delete_matching(warehouse: Warehouse, table: Table, rows: DataFrame, condition: str) -> None:
    """Delete the rows of a Delta table that match any of ``rows``, in one commit.

    Args:
        warehouse: where the table is.
        table: which.
        rows: the values to match; column names that the table has not.
        condition: SQL over the columns of both.
    """
    from delta.tables import DeltaTable

    DeltaTable.forPath(warehouse.spark, warehouse.path(table)).merge(rows, condition).whenMatchedDelete().execute()


def purge(warehouse: Warehouse, table: Table, retention_hours: float) -> bool:
    """Delete the files of older versions of a Delta table, and of writes that were killed.

    Args:
        warehouse: where the table is.
        table: which.
        retention_hours: files that were removed later stay; below Delta's own 168 no other job may be reading or writing.

    Returns:
        Whether none is left.
    """
    vacuum(warehouse, table, retention_hours)
    return not outdated_files(warehouse, table, 0.0)


def vacuum(warehouse: Warehouse, table: Table, retention_hours: float) -> None:
    """Delete the files of older versions of a Delta table; arguments as of `purge`."""
    from delta.tables import DeltaTable

    with vacuuming(warehouse.spark):
        DeltaTable.forPath(warehouse.spark, warehouse.path(table)).vacuum(retention_hours)


def outdated_files(warehouse: Warehouse, table: Table, retention_hours: float) -> int:
    """How many files `vacuum` would delete."""
    with vacuuming(warehouse.spark):
        found = warehouse.spark.sql(f"VACUUM {delta_name(warehouse.path(table))} RETAIN {retention_hours} HOURS DRY RUN")
        return found.where(f"path RLIKE '{DATA_FILE}'").count()  # it lists folders too, once they are empty


def compact(warehouse: Warehouse, table: Table) -> None:
    """Make few large files of the many small ones of a Delta table, partition by partition; no row changes.

    Args:
        warehouse: where the table is.
        table: which.
    """
    from delta.tables import DeltaTable

    warehouse.check(table)
    DeltaTable.forPath(warehouse.spark, warehouse.path(table)).optimize().executeCompaction()


def vacuuming(spark: SparkSession) -> contextlib.AbstractContextManager[None]:
    """What `vacuum` and `outdated_files` set for a while; those that run at once stand in one such block.

    VACUUM lists folders in as many tasks as the second says, and the default is 10,000.
    """
    tasks = str(spark.conf.get("spark.sql.shuffle.partitions"))
    return _configured(spark, {RETENTION_CHECK: "false", LISTING_TASKS: tasks})


@contextlib.contextmanager
def _configured(spark: SparkSession, wanted: Mapping[str, str]) -> Iterator[None]:
    former = {name: spark.conf.get(name, None) for name in wanted}
    for name, value in wanted.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, given in former.items():
            if given is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, given)


def stored_names(warehouse: Warehouse) -> list[str]:
    """Names of the folders of a warehouse: of tables, also of those that no declaration in use names any more."""
    folder, files = hadoop_path(warehouse.spark, warehouse.root)
    if not files.exists(folder):
        return []
    return sorted(entry.getPath().getName() for entry in files.listStatus(folder) if entry.isDirectory())


def rewrite_parquet_partition(warehouse: Warehouse, name: str, partition: Mapping[str, Any], unwanted: DataFrame) -> None:
    """Write a partition of a Parquet table again without some rows.

    The old files are moved aside before the new ones come and deleted after, so that one of both is whole whenever a run is
    killed; `tidy_parquet` brings them back. A reader finds the partition absent between the two renames.

    Args:
        warehouse: where the table is.
        name: of the table.
        partition: column name -> value.
        unwanted: rows of its columns are left out.
    """
    root, folder = f"{warehouse.root.rstrip('/')}/{name}", "/".join(f"{c}={v}" for c, v in partition.items())
    rows = warehouse.spark.read.parquet(f"{root}/{folder}")
    kept = rows.join(unwanted.hint("broadcast"), unwanted.columns, "left_anti").select(*rows.columns)
    kept.write.mode("overwrite").parquet(f"{root}/{STAGING}/{folder}")
    rename(warehouse.spark, f"{root}/{folder}", f"{root}/{ASIDE}/{folder}")
    rename(warehouse.spark, f"{root}/{STAGING}/{folder}", f"{root}/{folder}")
    tidy_parquet(warehouse, name, list(partition))


def tidy_parquet(warehouse: Warehouse, name: str, columns: list[str]) -> None:
    """Bring back partitions that a killed rewriting left aside, and delete what it or any killed write left beside the table.

    Args:
        warehouse: where the table is.
        name: of the table.
        columns: its partition columns.
    """
    root = f"{warehouse.root.rstrip('/')}/{name}"
    for folder in _partition_folders(warehouse.spark, f"{root}/{ASIDE}", len(columns)):
        if not path_exists(warehouse.spark, f"{root}/{folder}"):
            rename(warehouse.spark, f"{root}/{ASIDE}/{folder}", f"{root}/{folder}")
    for left in (ASIDE, STAGING):
        remove(warehouse.spark, f"{root}/{left}")


def _partition_folders(spark: SparkSession, path: str, depth: int) -> Iterator[str]:
    """Relative paths of the folders so many levels below one."""
    folder, files = hadoop_path(spark, path)
    if not files.exists(folder):
        return
    for entry in files.listStatus(folder):
        name = entry.getPath().getName()
        if entry.isDirectory():
            yield from (
                [name] if depth == 1 else (f"{name}/{rest}" for rest in _partition_folders(spark, f"{path}/{name}", depth - 1))
            )
