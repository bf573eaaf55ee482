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

_MEMORY = "-XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
"""One collector thread. Java's code cache is 48 MB with one compiler, and a thread that sweeps it takes a seventh of all
processor time; 256 MB need no sweeping."""

BARE_JVM = f"-XX:TieredStopAtLevel=1 {_MEMORY}"
"""Without the second compiler, which never pays in a machine that lives for a few minutes."""

_SHARED = f"-XX:SharedArchiveFile={ARCHIVE} -Xlog:cds=off -Xlog:class+path=off"

JVM = f"{BARE_JVM} {_SHARED}"

LASTING_JVM = f"{_MEMORY} {_SHARED}"
"""Of a machine that runs many files of tests: with the second compiler the first of them take half as much again, and from
some minutes on each takes a third less."""

QUICK = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.databricks.delta.stats.collect": "false",
    "spark.sql.ui.explainMode": "simple",
}
"""Plans of a few rows never earn what Spark spends on large ones: source that it writes and compiles, a third of the processor
time of a test that runs stages; plans made anew after each stage, statistics of each file, and plans told in full to a page that
nobody has open, a quarter of what is left. The test on a cluster has `DEFAULTS`, and compares its tables with those of one that
has these."""

DEFAULTS = {
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.adaptive.enabled": "true",
    "spark.databricks.delta.stats.collect": "true",
    "spark.sql.ui.explainMode": "formatted",
}
"""What Spark and Delta have of these by themselves."""

SMALL = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.extraJavaOptions": JVM,
    **QUICK,
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
