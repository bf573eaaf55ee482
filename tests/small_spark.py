"""How Spark is set up where a test runs it: hundreds of plans of a few rows each, several test processes on one machine."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ARCHIVE = Path(sys.prefix) / f"test-classes-{pyspark.__version__}.jsa"
"""Spark's classes, read and checked once, see `class_archive`. Where it is absent, or of another Java or of other jars, a virtual
machine goes without it, and says nothing."""

BARE_JVM = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
"""One compiler and one collector thread: a JVM of tests lives for minutes, and the second compiler never pays. Java's code cache
is 48 MB with one compiler, and a thread that sweeps it takes a seventh of all processor time; 256 MB need no sweeping."""

JVM = f"{BARE_JVM} -XX:SharedArchiveFile={ARCHIVE} -Xlog:cds=off -Xlog:class+path=off"

INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
"""Plans of a few rows never earn the source that Spark would write and compile for them, a third of the processor time of
a test that runs stages. The test on a cluster compiles, and compares its tables with those of one that interprets."""

COMPILED = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
"""What Spark has by default."""

SMALL = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.extraJavaOptions": JVM,
    **INTERPRETED,
}


@contextlib.contextmanager
def changed(spark: SparkSession, wanted: Mapping[str, str]) -> Iterator[None]:
    """Settings of a session meanwhile."""
    before = {name: spark.conf.get(name) for name in wanted}
    for name, value in wanted.items():
        spark.conf.set(name, value)
    yield
    for name, value in before.items():
        spark.conf.set(name, value)
