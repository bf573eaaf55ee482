"""Ten days, one after the other, against a search of everything, by hand:

    python tests/bench/bench_replay.py --first 60000 --daily 2000 --dimensions 256

The first day has ``--first`` banners, each further one ``--daily`` new ones; pictures of a banner never change. Prints, per day,
seconds of the search and the share of all distances that it computed, against its share of the rows; then whether a search of
everything on the same cells gives the same tables, and how many banners kept their cluster's id. Ends with 1 where they differ.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from drawn_banners import ROOT
from planted import CHUNK, planted
from pyspark.sql import functions as F

from bannermap.clustering.arrow import list_array
from bannermap.clustering.job import STAGE
from bannermap.platform.cli import run_stage
from bannermap.platform.config import load_settings
from bannermap.platform.files import remove
from bannermap.platform.session import build_session
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    BANNER_DAYS,
    CLUSTER_LINEAGE,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    EMBEDDINGS,
    IMAGE_FETCHES,
    NEIGHBOURS,
    RUNS,
)

FIRST_DAY = datetime.date(2026, 1, 1)
COMPARED = (CLUSTER_MEMBERS, CLUSTERS, CLUSTER_LINEAGE)
PHASES = ("recall lists", "search neighbours", "write neighbours")


def write_vectors(folder: Path, rows: int, dimensions: int) -> None:
    """Parquet of a row's number and its vector."""
    world = planted(rows, dimensions, seed=3)
    for low in range(0, rows, CHUNK):
        vectors = world.rows(low, min(low + CHUNK, rows))
        numbers = pa.array(np.arange(low, low + len(vectors)))
        pq.write_table(pa.table({"row": numbers, "vector": list_array(vectors)}), folder / f"{low:09d}.parquet")


def store_day(warehouse: Warehouse, vectors, day: datetime.date, low: int, high: int) -> None:
    """Rows ``low .. high - 1`` are new: their banners, files and vectors, as the stages before would leave them."""
    new = vectors.where(F.col("row").between(low, high - 1)).withColumn("name", F.sha2(F.col("row").cast("string"), 256))
    facts = {"banner_id": F.col("name"), "image_url": F.col("name"), "content_hash": F.col("name"), "pixel_hash": F.col("name")}
    facts |= {"dt": F.lit(day), "fetched_dt": F.lit(day), "status": F.lit("ok"), "encoder_id": F.lit("planted")}
    facts |= {"width": F.lit(10), "height": F.lit(10), "frames": F.lit(1), "bytes": F.lit(100), "format": F.lit("png")}
    whole = new.withColumns(facts).persist()
    for table in (BANNER_DAYS, IMAGE_FETCHES, EMBEDDINGS):
        absent = {c: F.lit(None).cast(table.type_of(c)) for c in table.columns if c not in whole.columns}
        warehouse.append(table, whole.withColumns(absent))
    whole.unpersist()


def run_of(warehouse: Warehouse, day: datetime.date):
    """Newest run of a day."""
    rows = warehouse.read(RUNS).where(F.col("dt") == F.lit(day)).collect()
    return max(rows, key=lambda r: r["started_at"])


def day_figures(run, new: int, rows: int, whole: float) -> dict[str, float]:
    """A day against a search of everything, which computes ``whole`` of all distances."""
    seconds = {f"{name} s": round(run["phase_seconds"][name], 1) for name in PHASES}
    computed = run["metrics"]["share_of_all_distances"]
    return {
        "rows": rows,
        "new": new,
        **seconds,
        "all s": round(run["seconds"], 1),
        "of its share": computed / (whole * new / rows),
    }


def rows_of(warehouse: Warehouse) -> dict[str, int]:
    """Table -> sum of hashes of its rows, in any order."""
    found = {}
    for table in COMPARED:
        hashed = F.sum(F.xxhash64(F.to_json(F.struct(*table.columns))).cast("decimal(38,0)"))
        found[table.name] = warehouse.read(table).agg(hashed).collect()[0][0]
    return found


def kept_ids(warehouse: Warehouse) -> tuple[int, int]:
    """Banner-days that were in a cluster the day before and are in one now; those whose id is not the same. All of the second
    kind must stand in `cluster_lineage` as moved."""
    made = [r["clustering_id"] for r in warehouse.read(CLUSTERINGS).orderBy("dt").collect()]
    members = warehouse.read(CLUSTER_MEMBERS).where("cluster_id IS NOT NULL").select("clustering_id", "banner_id", "cluster_id")
    both = moved = 0
    for before, after in itertools.pairwise(made):
        old = members.where(F.col("clustering_id") == before).select("banner_id", F.col("cluster_id").alias("old"))
        pairs = members.where(F.col("clustering_id") == after).join(old, "banner_id")
        counts = pairs.agg(F.count("*"), F.sum((F.col("old") != F.col("cluster_id")).cast("long"))).collect()[0]
        both, moved = both + counts[0], moved + counts[1]
    return both, moved


def logged_moves(warehouse: Warehouse) -> int:
    """Banner-days in rows of merges and splits."""
    rows = warehouse.read(CLUSTER_LINEAGE).where("other_cluster_id IS NOT NULL")
    return int(rows.agg(F.sum("banners")).collect()[0][0] or 0)


def main() -> int:
    """Run, print a table, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=60_000)
    parser.add_argument("--daily", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--driver-memory", default="5g")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bannermap-replay-") as home:
        extra = f"spark.extra={{spark.ui.enabled: 'false', spark.driver.memory: '{args.driver_memory}'}}"
        settings = load_settings(ROOT / "conf/base.yaml", [], [extra, "clustering.search=cells", "clustering.encoder_id=planted"])
        spark = build_session(settings.spark)
        warehouse, source = Warehouse(spark, f"{home}/warehouse"), Path(home) / "vectors"
        source.mkdir()
        write_vectors(source, args.first + args.daily * (args.days - 1), args.dimensions)
        vectors, runs, low = spark.read.parquet(str(source)), [], 0
        for number in range(args.days):
            day, new = FIRST_DAY + datetime.timedelta(number), args.daily if number else args.first
            store_day(warehouse, vectors, day, low, low + new)
            low += new
            run_stage(STAGE, warehouse, settings, day)
            runs.append((run_of(warehouse, day), new, low))
        replayed, last = rows_of(warehouse), FIRST_DAY + datetime.timedelta(args.days - 1)
        remove(spark, warehouse.path(NEIGHBOURS))
        run_stage(STAGE, warehouse, settings, last)
        whole, same = run_of(warehouse, last), rows_of(warehouse) == replayed
        share = whole["metrics"]["share_of_all_distances"]
        found = [day_figures(run, new, rows, share) for run, new, rows in runs[1:]]
        for figures in found:
            print(
                ", ".join(
                    f"{name}: {value:,.2f}" if isinstance(value, float) else f"{name}: {value:,}"
                    for name, value in figures.items()
                )
            )
        print(
            "search of everything:", {name: round(whole["phase_seconds"][name], 1) for name in PHASES}, round(whole["seconds"], 1)
        )
        (both, moved), logged = kept_ids(warehouse), logged_moves(warehouse)
        print(f"the same tables: {same}; {both:,} banner-days, {moved:,} in another cluster, {logged:,} of them logged")
        print(json.dumps({"days": found, "same": same, "banner_days": both, "moved": moved, "logged": logged}))
        spark.stop()
    return 0 if same and moved == logged else 1


if __name__ == "__main__":
    sys.exit(main())
