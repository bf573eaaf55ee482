"""Spark's classes as a Java virtual machine wants them, read and checked once: tests start more than a hundred machines, and each
spent a quarter of its time on that.

Run by itself, this file makes the archive named on its command line.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from repository import ROOT
from small_spark import ARCHIVE, BARE_JVM, SMALL

from bannermap.platform.config import load_settings
from bannermap.platform.session import build_session
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def make_beside() -> None:
    """Start a process that makes the archive while the first tests run; none where it is there."""
    if not ARCHIVE.exists():
        subprocess.Popen([sys.executable, __file__, str(ARCHIVE)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make(archive: Path) -> None:
    """Do with Spark what most tests do, and keep the classes that it took, whole or not at all."""
    part = archive.with_suffix(f".{os.getpid()}")
    extra = {**SMALL, "spark.driver.extraJavaOptions": f"{BARE_JVM} -XX:ArchiveClassesAtExit={part}"}
    spark = build_session(load_settings(ROOT / "conf/base.yaml").spark.model_copy(update={"extra": extra}))
    machine = spark.sparkContext._gateway.proc
    with tempfile.TemporaryDirectory() as folder:
        _use(spark, folder)
        spark.stop()
    machine.stdin.close()  # it ends with its input, and writes the archive last
    machine.wait()
    part.replace(archive)


def _use(spark: SparkSession, folder: str) -> None:
    """Tables of both formats: written, merged, joined, grouped, handed to Python and read."""
    from pyspark.sql import functions as F

    columns = {"part": "int: partition", "number": "bigint: row"}
    delta = Table("delta", "rows", columns, key=("number",), partition_by=("part",))
    warehouse, rows = Warehouse(spark, folder), spark.range(100).select(F.lit(1).alias("part"), F.col("id").alias("number"))
    for table in (delta, dataclasses.replace(delta, name="plain", format="parquet")):
        for _ in range(2):
            warehouse.overwrite_partition(table, rows, part=1)
        other = warehouse.read(table).groupBy("number").agg(F.countDistinct("part").alias("parts"))
        joined = warehouse.read(table).join(F.broadcast(other), "number").orderBy("number")
        assert joined.mapInArrow(lambda batches: batches, joined.schema).count() == 100
    warehouse.merge(delta, rows.withColumn("number", F.col("number") + 50))
    assert warehouse.read(delta).count() == 150


if __name__ == "__main__":
    make(Path(sys.argv[1]))
