"""A clustering of a million members published again and again while a reader polls, by hand:

    python tests/bench/bench_publish.py
    python tests/bench/bench_publish.py --members 20000 --publications 3

Stores drawn clusterings in a warehouse, one for each day, and publishes them with the job, on Spark, to a server that speaks
MongoDB's protocol in a JVM of its own. A process beside it reads whole clusterings without pause and holds each against what its
day must have. The peer writes the documents of one of these publications with pymongo alone, from one process that has them all:
what the network, the server and the encoding cost without Spark, paging and guarantees. 1 where a reader saw anything else.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "publish"), str(ROOT / "src")]

from mongo_server import running_server  # noqa: E402 - ours are found by path

from bannermap.platform.cli import run_stage  # noqa: E402
from bannermap.platform.config import load_settings  # noqa: E402
from bannermap.platform.session import build_session  # noqa: E402
from bannermap.platform.storage import Warehouse  # noqa: E402
from bannermap.platform.tables import CLUSTER_LINEAGE, CLUSTER_MEMBERS, CLUSTERINGS, CLUSTERS  # noqa: E402
from bannermap.publish.job import STAGE  # noqa: E402
from bannermap.publish.publication import CLUSTERS as DOCUMENTS  # noqa: E402

FIRST = datetime.date(2026, 3, 1)
DATABASE = "bench"


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def store(warehouse: Warehouse, number: int, members: int, clusters: int) -> None:
    """A day: half of the members in cluster 0, the rest spread evenly; the number of clusters says which day it is."""
    spark, count = warehouse.spark, clusters + number
    name = f"{day(number)}-{number:012x}"
    home = f"CASE WHEN id % 2 = 0 THEN 0 ELSE 1 + (id div 2) % {count - 1} END"
    rows = spark.range(members).selectExpr(
        f"'{name}' AS clustering_id",
        "sha2(string(id), 256) AS banner_id",
        "sha2(string(id div 2), 256) AS pixel_hash",
        f"sha1(string({home})) AS cluster_id",
        f"array(sha1(string({home}))) AS path",
        "float(0.9) AS similarity_to_medoid",
        "false AS is_outlier",
        "map(5, 't') AS themes",
        "NULL AS duplicate_set_id",
        "false AS is_retired",
    )
    warehouse.overwrite_partition(CLUSTER_MEMBERS, rows, clustering_id=name)
    made = warehouse.read(CLUSTER_MEMBERS).where(f"clustering_id = '{name}'").groupBy("clustering_id", "cluster_id")
    heads = made.agg({"banner_id": "count", "pixel_hash": "min"}).selectExpr(
        *("clustering_id", "cluster_id", f"DATE'{FIRST}' AS born_dt", "`count(banner_id)` AS size", "1L AS nodes"),
        *("`min(pixel_hash)` AS medoid", "0.9D AS cohesion", "0.75D AS threshold", "0 AS depth", "NULL AS parent"),
        "map(5, 't') AS themes",
    )
    warehouse.overwrite_partition(CLUSTERS, heads, clustering_id=name)
    events = heads.selectExpr(
        *("clustering_id", "cluster_id", "'created' AS event", "NULL AS other_cluster_id", "size AS banners", "NULL AS fell_out")
    )
    warehouse.overwrite_partition(CLUSTER_LINEAGE, events, clustering_id=name)
    own = {"clustering_id": name, "dt": day(number), "sequence": 1, "state": "current", "encoder_id": "e", "settings": "{}"}
    figures = {"nodes": members, "banners": members, "clusters": count, "outliers": 0}
    row = tuple((own | figures).get(c) for c in CLUSTERINGS.columns)
    warehouse.merge(CLUSTERINGS, spark.createDataFrame([row], CLUSTERINGS.schema))


def poll(uri: str, members: int, clusters: int, ended: Any, said: Any) -> None:
    """Read whole clusterings, cluster by cluster, until told to end; what is not whole is counted as wrong."""
    from pymongo import MongoClient

    from bannermap.platform.errors import InputError
    from bannermap.publish.reading import WithdrawnError, clusters_of, published_job

    database: Any = MongoClient(uri)[DATABASE]
    reads, wrong, withdrawn, days = 0, 0, 0, set()
    while not ended.is_set():
        try:
            job = published_job(database)
            sizes = [len(c["members"]) for c in clusters_of(database, job)]
        except InputError:
            continue
        except WithdrawnError:
            withdrawn += 1
            continue
        number = (datetime.date.fromisoformat(job["dt"]) - FIRST).days
        wrong += sum(sizes) != members or len(sizes) != clusters + number
        reads, days = reads + 1, days | {number}
    said.put({"reads": reads, "wrong": wrong, "withdrawn": withdrawn, "days_seen": len(days)})


def peer_seconds(uri: str, rounds: int) -> float:
    """Best time in which one process writes the documents of the newest publication with pymongo alone."""
    from bson.raw_bson import RawBSONDocument
    from pymongo import MongoClient, ReplaceOne

    client: Any = MongoClient(uri, document_class=RawBSONDocument)
    newest = client[DATABASE]["clustering_jobs"].find_one({"state": "published"}, sort=[("dt", -1)])["publication_id"]
    documents = list(client[DATABASE][DOCUMENTS].find({"publication_id": newest}, batch_size=500))
    best = float("inf")
    for _ in range(rounds):
        client.drop_database("peer")
        began = time.monotonic()
        for start in range(0, len(documents), 500):
            writes = [ReplaceOne({"_id": d["_id"]}, d, upsert=True) for d in documents[start : start + 500]]
            client["peer"][DOCUMENTS].bulk_write(writes, ordered=False)
        best = min(best, time.monotonic() - began)
    return best


def main() -> int:
    """Run, print a line a publication, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--clusters", type=int, default=50_000)
    parser.add_argument("--publications", type=int, default=20)
    parser.add_argument("--heap", default="4g", help="of the server, which keeps two or three publications")
    parser.add_argument("--driver-memory", default="3g", help="of Spark")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="bannermap-publish-") as folder, running_server(args.heap) as port:
        uri = os.environ["BANNERMAP_MONGODB_URI"] = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        assignments = [f"publish.database={DATABASE}", "publish.keep_runs=2", "spark.progress_seconds=0"]
        settings = load_settings(ROOT / "conf/base.yaml", [ROOT / "conf/local.yaml"], assignments)
        extra = {"spark.driver.memory": args.driver_memory, "spark.ui.enabled": "false", "spark.local.dir": folder}
        spark = build_session(settings.spark.model_copy(update={"extra": extra}))
        warehouse = Warehouse(spark, f"{folder}/warehouse")
        for number in range(args.publications):
            store(warehouse, number, args.members, args.clusters)
        ended, said = context.Event(), context.Queue()
        reader = context.Process(target=poll, args=(uri, args.members, args.clusters, ended, said))
        reader.start()
        runs = [run_stage(STAGE, warehouse, settings, day(number)) for number in range(args.publications)]
        ended.set()
        seen = said.get()
        reader.join()
        spark.stop()
        peer = peer_seconds(uri, 3)
    writing = [run.phase_seconds["write the documents"] for run in runs]
    best, documents = min(writing), runs[-1].metrics["documents"]
    figures = {
        "members": args.members,
        "documents": documents,
        "megabytes": round(runs[-1].metrics["bytes"] / 1e6, 1),
        "job_s": [round(sum(run.phase_seconds.values()), 1) for run in runs],
        "writing_s": [round(s, 1) for s in writing],
        "documents_per_s": round(documents / best),
        "members_per_s": round(args.members / best),
        "peer_s": round(peer, 1),
        "writing_over_peer": round(best / peer, 2),
        "reader": seen,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figures))
    return 1 if seen["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
