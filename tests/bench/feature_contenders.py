"""What bench_features compares: one contender per process, `python feature_contenders.py NAME OPTIONS`.

Options are JSON: table (folder of user_banner_days), assignments (Parquet files of banner_id and cluster_id, one per as-of day),
as_of (days, ISO), cores, rounds, driver_memory. Each reads the same files and ends with all counts of all users in memory, ours
and Spark's in the JVM. Printed last: JSON with the best of the rounds in seconds and in seconds of processor time, and
sums by which results are compared.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src")]

WINDOWS = (1, 7, 15, 30)
EVENTS = ("requests", "impressions", "clicks")
COLUMNS = [f"{e}_{w}d" for w in WINDOWS for e in EVENTS]
Found = tuple[Callable[[], Any], Callable[[Any], dict[str, int]]]
"""What is timed, and the sums of what it returned."""


def days_of(options: dict[str, Any]) -> tuple[datetime.date, datetime.date]:
    """First and last event day of the one as-of day."""
    last = datetime.date.fromisoformat(options["as_of"][0])
    return last - datetime.timedelta(days=max(WINDOWS) - 1), last


def polars(options: dict[str, Any]) -> Found:
    """Lazy, on its streaming engine."""
    import polars as pl

    first, last = days_of(options)
    files = f"{options['table']}/dt=*/user_bucket=*/*.parquet"

    def run() -> pl.DataFrame:
        rows = pl.scan_parquet(files, hive_partitioning=True, try_parse_hive_dates=True)
        near = rows.filter(pl.col("dt").is_between(first, last))
        joined = near.join(pl.scan_parquet(options["assignments"][0]), on="banner_id", how="left")
        age = (pl.lit(last) - pl.col("dt")).dt.total_days()
        sums = [pl.col(e).filter(age < w).sum().alias(f"{e}_{w}d") for w in WINDOWS for e in EVENTS]
        pairs = joined.group_by("user_id", pl.col("cluster_id").fill_null("unclustered")).agg(sums)
        return pairs.collect(engine="streaming")

    return run, lambda frame: {"pairs": len(frame), **{c: int(frame[c].sum()) for c in COLUMNS}}


def duckdb(options: dict[str, Any]) -> Found:
    """One query."""
    import duckdb as db

    first, last = days_of(options)
    sums = ", ".join(
        f"sum({e}) FILTER (date_diff('day', dt, DATE '{last}') < {w})::INT AS {e}_{w}d" for w in WINDOWS for e in EVENTS
    )
    files = f"{options['table']}/dt=*/user_bucket=*/*.parquet"
    query = f"""
        SELECT user_id, coalesce(cluster_id, 'unclustered') AS cluster_id, {sums}
        FROM read_parquet('{files}', hive_partitioning = true, hive_types = {{'dt': DATE}})
        LEFT JOIN read_parquet('{options["assignments"][0]}') USING (banner_id)
        WHERE dt BETWEEN DATE '{first}' AND DATE '{last}' GROUP BY ALL"""
    connection = db.connect(config={"threads": options["cores"]})
    total = ", ".join(f"sum({c})" for c in COLUMNS)

    def summed(_: Any) -> dict[str, int]:
        values = connection.sql(f"SELECT count(*), {total} FROM found").fetchall()[0]
        return dict(zip(["pairs", *COLUMNS], map(int, values), strict=True))

    return lambda: connection.sql(f"CREATE OR REPLACE TEMP TABLE found AS {query}"), summed


def session(options: dict[str, Any]) -> Any:
    """As a job's, with as many cores as the others have."""
    from bannermap.platform.config import load_settings
    from bannermap.platform.session import build_session

    os.environ["PYTHONPATH"] = str(ROOT / "src")
    settings = load_settings(ROOT / "conf/base.yaml")
    quiet = {
        "spark.ui.enabled": "false",
        "spark.driver.memory": options["driver_memory"],
        "spark.master": f"local[{options['cores']}]",
    }
    return build_session(settings.spark.model_copy(update={"extra": quiet, "shuffle_partitions": 2 * options["cores"]}))


def group_bys(options: dict[str, Any]) -> Found:
    """Plain Spark: one groupBy for each window, and joins of the four."""
    from pyspark.sql import functions as F

    spark, (_, last) = session(options), days_of(options)
    assigned = spark.read.parquet(options["assignments"][0])
    keys = ["user_id", "cluster_id"]

    def rows() -> Any:
        partials = spark.read.format("delta").load(options["table"]).join(F.broadcast(assigned), "banner_id", "left")
        named = partials.withColumn("cluster_id", F.coalesce("cluster_id", F.lit("unclustered")))
        whole = None
        for w in WINDOWS:
            near = named.where(F.col("dt").between(F.lit(last - datetime.timedelta(days=w - 1)), F.lit(last)))
            counted = near.groupBy(*keys).agg(*[F.sum(e).cast("int").alias(f"{e}_{w}d") for e in EVENTS])
            whole = counted if whole is None else whole.join(counted, keys, "full")
        return whole.fillna(0, COLUMNS)

    return lambda: rows().write.format("noop").mode("overwrite").save(), lambda _: _spark_sums(rows(), COLUMNS)


def ours(options: dict[str, Any]) -> Found:
    """The pass of the stage over stored partials: one as-of day, or many with a clustering each."""
    import numpy as np
    import pyarrow.parquet as pq

    from bannermap.features import transforms as t
    from bannermap.features.arrow import Wanted
    from bannermap.features.assignments import coded
    from bannermap.features.layout import EPOCH, stored_files, tasks_of
    from bannermap.platform.storage import Warehouse
    from bannermap.platform.tables import USER_BANNER_DAYS

    spark, days = session(options), [datetime.date.fromisoformat(day) for day in options["as_of"]]
    warehouse = Warehouse(spark, str(Path(options["table"]).parent))

    def rows() -> Any:
        assignments = coded([pq.read_table(path) for path in options["assignments"]])
        numbers = np.array([(day - EPOCH).days for day in days], np.int32)
        wanted = Wanted(numbers, np.arange(len(days), dtype=np.int32), assignments)
        files = stored_files(warehouse, t.partials_in_reach(warehouse.read(USER_BANNER_DAYS), days))
        return t.stored_feature_rows(spark, tasks_of(files or [], options["cores"]), wanted)

    def summed(_: Any) -> dict[str, int]:
        return _spark_sums(t.long_rows(rows()), COLUMNS)

    return lambda: rows().write.format("noop").mode("overwrite").save(), summed


def _spark_sums(frame: Any, columns: list[str]) -> dict[str, int]:
    row = frame.selectExpr("count(*) AS pairs", *[f"sum({c}) AS {c}" for c in columns]).collect()[0]
    return {name: int(value) for name, value in row.asDict().items()}


def cpu_seconds() -> float:
    """Processor time so far of this process and all that it started, those of Spark's workers that still live."""
    from bannermap.platform.memory import family

    ticks = 0
    for pid in family([os.getpid()]):
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


CONTENDERS = {f.__name__: f for f in (ours, polars, duckdb, group_bys)}


def main() -> None:
    """Run one; JSON last."""
    name, options = sys.argv[1], json.loads(sys.argv[2])
    os.environ["POLARS_MAX_THREADS"] = str(options["cores"])
    run, summed = CONTENDERS[name](options)
    rounds, result = [], None
    for _ in range(options["rounds"]):
        began, used = time.monotonic(), cpu_seconds()
        result = run()
        rounds.append((time.monotonic() - began, cpu_seconds() - used))
    seconds, cpu = (min(column) for column in zip(*rounds, strict=True))
    print(json.dumps({"seconds": seconds, "cpu": cpu, "sums": summed(result) if options["compare"] else None}))


if __name__ == "__main__":
    main()
