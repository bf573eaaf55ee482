"""The Spark session: Delta, UTC, and a Python for the workers that has our packages."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import Paths, SparkSettings
from bannermap.platform.settings.places import SECRETS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOCAL = "local[*,4]"
"""All cores of this machine, each task tried four times as on a cluster: with local[*] a job fails with its first Python worker
that the system kills for memory."""
OPEN_FILES = "spark.sql.maxConcurrentOutputFileWriters"
S3 = "s3a://"
UNASKED = "local[*]"
"""What spark-submit sets where nobody names a master."""
GATEWAY = "PYSPARK_GATEWAY_PORT"
"""Of the environment that spark-submit gives a driver in Python."""
EXTENSIONS = "spark.sql.extensions"
RESULTS_DEPEND_ON = frozenset({"spark.sql.session.timeZone", "spark.sql.legacy.parquet.nanosAsLong"})
"""Settings that are ours whatever a cluster's defaults say: by another zone, events would be of another day."""


def our_jars(paths: Paths | None = None) -> list[str]:
    """Jars that set-up put beside the interpreter, for S3 where a path needs them; empty where the cluster brings its own."""
    on_s3 = paths is not None and any(path.startswith(S3) for path in paths.model_dump().values())
    folders = ["jars", *(["s3-jars"] if on_s3 else [])]
    return [str(p) for folder in folders for p in sorted((Path(sys.prefix) / folder).glob("*.jar"))]


def build_session(settings: SparkSettings, paths: Paths | None = None) -> SparkSession:
    """A session for one job; under spark-submit the options given there win over ours.

    Args:
        settings: the ``spark`` section.
        paths: what the job reads and writes.

    Raises:
        ConfigError: a path needs S3A, and the jars that spark-submit was given have none.
    """
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(settings.app_name)
    for name, value in {**_defaults(settings, our_jars(paths)), **settings.extra}.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel(settings.log_level)
    try:
        check_s3(session, paths)
    except ConfigError:
        session.stop()
        raise
    return session


def check_s3(session: SparkSession, paths: Paths | None) -> None:
    """Refuse tables on S3 where nothing reads them; jars that spark-submit was given take the place of ours.

    Raises:
        ConfigError: Spark finds no class for the scheme.
    """
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

    read_by_spark = [paths.warehouse, paths.banner_log, paths.event_log] if paths else []
    if not any(path.startswith(S3) for path in read_by_spark):
        return
    jvm: Any = session.sparkContext._jvm
    context: Any = session.sparkContext._jsc
    try:
        jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass("s3a", context.hadoopConfiguration())
    except Py4JJavaError:
        raise ConfigError(
            f"The configuration names {S3} and no jar that Spark was given reads it. Start the job with ./spark-submit.sh, which "
            "fetches such jars and hands them over, or name those of .venv/s3-jars to spark-submit, in --jars beside the others."
        ) from None


def is_one_process(spark: SparkSession) -> bool:
    """Whether tasks run inside the driver; such a master refuses resources per stage, and its tasks see this machine's disk."""
    master = str(spark.sparkContext.master)
    return master == "local" or master.startswith("local[")


def partitions_at_once(spark: SparkSession) -> int | None:
    """How many partitions a task can fill without sorting its rows, one less than it keeps open; None where every task sorts."""
    most = int(spark.conf.get(OPEN_FILES, "0") or 0)
    return max(most - 1, 1) if most else None


def our_settings(settings: SparkSettings, jars: list[str]) -> dict[str, str]:
    """What a session has where nobody says otherwise.

    Args:
        settings: the ``spark`` section.
        jars: see `our_jars`.
    """
    ours = {
        "spark.master": settings.master or LOCAL,
        EXTENSIONS: "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(settings.arrow_batch_rows),
        # Of files of several megabytes, fewer: a worker that holds one batch, decodes it and writes another stays under 512 MB.
        "spark.sql.execution.arrow.maxBytesPerBatch": "16m",
        # Each broadcast relation holds a page at least. By default pages grow with the heap, to 64 MiB: a few dozen broadcasts
        # of a hundred rows each then fill a driver.
        "spark.buffer.pageSize": "4m",
        # Delta reads its log with 50 partitions by default: a small commit then takes 2.1 s instead of 0.8 s.
        "spark.databricks.delta.snapshotPartitions": "2",
        # A task that writes rows of few partitions keeps a file of each open, where it would sort all its rows first by default;
        # of more it sorts the rest beside the open files, and a heap of 2 GB dies of that: writers of many partitions write so
        # many at a time. An open file holds up to a megabyte a column, most of it beyond Parquet's own account.
        OPEN_FILES: "6",
        # What Parquet does account for, over all open files; by default 0.95 of the heap, beside 0.6 that Spark sorts in. A
        # least size would fail a write.
        "spark.hadoop.parquet.memory.pool.ratio": "0.25",
        "spark.hadoop.parquet.memory.min.chunk.size": "0",
        # A task that reads holds a row group's columns whole; by default 128 MB.
        "spark.hadoop.parquet.block.size": str(32 << 20),
        "spark.ui.showConsoleProgress": "false",
        "spark.redaction.regex": SECRETS,
        # pandas writes nanoseconds, which Spark refuses to read as a timestamp; the readers of logs convert them.
        "spark.sql.legacy.parquet.nanosAsLong": "true",
        "spark.driver.memory": "4g",
        # What drivers collect is bounded by numbers of pictures and by settings (docs/sizing.md); 1 GiB, Spark's default, would
        # end a clustering at 30 million pictures, or one whose cells are learned from vectors of 4,096 dimensions.
        "spark.driver.maxResultSize": "0",
        # The same chain as boto3's and pyarrow's; Hadoop's own default leaves out shared files and the roles of containers.
        "spark.hadoop.fs.s3a.aws.credentials.provider": "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
    }
    if jars:
        ours["spark.jars"] = ",".join(jars)
    if os.environ.get("AWS_ENDPOINT_URL"):  # a store of one's own: few have a name in DNS for each bucket
        ours["spark.hadoop.fs.s3a.path.style.access"] = "true"
    return ours


def _defaults(settings: SparkSettings, jars: list[str]) -> dict[str, str]:
    """Ours, less what spark-submit was given."""
    from pyspark import SparkConf, SparkContext

    if GATEWAY in os.environ:  # until Python is connected to spark-submit's JVM, a SparkConf is empty
        SparkContext._ensure_initialized()
    ours, given = our_settings(settings, jars), SparkConf()
    kept = {name for name in ours if given.contains(name)} - RESULTS_DEPEND_ON
    if given.get("spark.master", "") == UNASKED:
        kept.remove("spark.master")
    if EXTENSIONS in kept:  # of the cluster: others stay beside Delta's
        kept.remove(EXTENSIONS)
        ours[EXTENSIONS] = ",".join(dict.fromkeys([*str(given.get(EXTENSIONS)).split(","), ours[EXTENSIONS]]))
    return {name: value for name, value in ours.items() if name not in kept}
