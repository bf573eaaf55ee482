"""Reading the input logs: one day's partition, its declared columns only, refused when it is absent or empty."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from bannermap.platform.errors import InputError
from bannermap.platform.files import path_exists
from bannermap.platform.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read_log_day(spark: SparkSession, table: Table, root: str, day: datetime.date) -> DataFrame:
    """The log of one day, ``root/dt=YYYY-MM-DD``: declared columns, absent ones as nulls, unknown ones left out.

    Args:
        table: declaration of the log.
        root: folder or address that holds the ``dt=`` folders.
        day: which.

    Raises:
        InputError: the folder is not there or holds no rows.
    """
    from pyspark.sql import functions as F

    folder = f"{root.rstrip('/')}/dt={day.isoformat()}"
    if not path_exists(spark, folder):
        raise InputError(
            f"There is no {table.name} for {day}: {folder} does not exist. Wait for the log, or check paths.{table.name}."
        )
    raw = spark.read.parquet(folder)
    if raw.isEmpty():
        raise InputError(f"The {table.name} of {day} has no rows: {folder}. Nothing was changed; deliver the log and run again.")
    columns = {c: F.col(c) if c in raw.columns else F.lit(None) for c in table.columns if c != "dt"}
    return table.select(raw.select(*[v.alias(c) for c, v in columns.items()]).withColumn("dt", F.lit(day)))
