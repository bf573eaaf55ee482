"""The input logs: which days there are, and one day's declared columns, refused when it is absent or empty."""

from __future__ import annotations

import contextlib
import datetime
from typing import TYPE_CHECKING

from bannermap.platform.errors import InputError
from bannermap.platform.files import modified_ms, path_exists
from bannermap.platform.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY_PREFIX = "dt="


def log_folder(root: str, day: datetime.date) -> str:
    """Where a log has a day, ``root/dt=YYYY-MM-DD``."""
    return f"{root.rstrip('/')}/{DAY_PREFIX}{day.isoformat()}"


def log_days(spark: SparkSession, root: str) -> list[datetime.date]:
    """The days that a log has a folder of, ascending; none where there is no log."""
    days = []
    for name in modified_ms(spark, root):
        with contextlib.suppress(ValueError):  # a folder of another name is none of ours
            days.append(datetime.date.fromisoformat(name.removeprefix(DAY_PREFIX)))
    return sorted(days)


def log_day_changed_ms(spark: SparkSession, root: str, day: datetime.date) -> int | None:
    """When the newest file of a log's day was written, milliseconds since 1970; None where it has none."""
    times = modified_ms(spark, log_folder(root, day))
    return max((time for name, time in times.items() if not name.startswith(("_", "."))), default=None)


def read_log_day(spark: SparkSession, table: Table, root: str, day: datetime.date) -> DataFrame:
    """The log of one day: declared columns, absent ones as nulls, unknown ones left out.

    Args:
        table: declaration of the log.
        root: folder or address that holds the ``dt=`` folders.
        day: which.

    Raises:
        InputError: the folder is not there or holds no rows.
    """
    from pyspark.sql import functions as F

    folder = log_folder(root, day)
    if not path_exists(spark, folder):
        raise InputError(
            f"There is no {table.name} for {day}: {folder} does not exist. Wait for the log, or check paths.{table.name}."
        )
    raw = spark.read.parquet(folder)
    if raw.isEmpty():
        raise InputError(f"The {table.name} of {day} has no rows: {folder}. Nothing was changed; deliver the log and run again.")
    columns = {c: F.col(c) if c in raw.columns else F.lit(None) for c in table.columns if c != "dt"}
    return table.select(raw.select(*[v.alias(c) for c, v in columns.items()]).withColumn("dt", F.lit(day)))
