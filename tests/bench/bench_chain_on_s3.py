"""The whole chain as in production, all of it on this machine, by one command:

    python tests/bench/bench_chain_on_s3.py
    python tests/bench/bench_chain_on_s3.py --size small --days 3 --compare

Starts a server that speaks S3's protocol, one that speaks MongoDB's, and a standalone cluster of Spark with two workers; runs
`daily_pipeline` on the cluster for each day, with all tables on S3, publishes each day's clusters to MongoDB, and reads the last
one back as a consumer would. With --compare the same days run in one process on a disk: 1 where any table differs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "publish"), str(ROOT / "src")]

from mongo_server import running_server  # noqa: E402 - ours are found by path
from processes import ERRORS, checksums, complete, overlay, start  # noqa: E402
from pymongo import MongoClient  # noqa: E402
from s3_server import BUCKET, client, download, running_s3, s3_jars, variables  # noqa: E402
from standalone import on_cluster, running_cluster  # noqa: E402

from bannermap.platform.config import load_settings  # noqa: E402
from bannermap.platform.session import build_session  # noqa: E402
from bannermap.platform.settings import SampleSettings  # noqa: E402
from bannermap.publish.reading import read_published  # noqa: E402
from bannermap.sample.world import days_of, write_world  # noqa: E402

WAREHOUSE = f"s3a://{BUCKET}/warehouse"


def run(job: str, config: Path, day) -> float:
    """Seconds of a job; what it says goes to the terminal."""
    began = time.monotonic()
    process = start(job, config, day)
    for line in process.stdout:
        print(f"  {line}", end="", flush=True)
    if process.wait():
        print((config.parent / ERRORS).read_text()[-6000:], file=sys.stderr)
        raise SystemExit(f"{job} of {day} ended with {process.returncode}")
    return time.monotonic() - began


def in_production(world: Path, home: Path, days, s3: int, mongo: int) -> None:
    """All days on the cluster, and what a reader of MongoDB finds."""
    address = f"mongodb://127.0.0.1:{mongo}/?directConnection=true"
    os.environ.update(variables(s3) | {"BANNERMAP_MONGODB_URI": address})
    (home / "logs").mkdir(parents=True)
    with running_cluster(home / "logs", variables(s3)) as cluster:
        own = on_cluster(cluster) | {"spark.executorEnv.PYTHONPATH": f"{ROOT}/src"}
        config = overlay(world, home / "cluster", own, WAREHOUSE)
        for day in days:
            chain, published = run("daily_pipeline", config, day), run("publish_clusters", config, day)
            print(f"{day}: chain {chain:.0f} s, publication {published:.0f} s", flush=True)
    stored = client(s3).get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    sizes = [item["Size"] for page in stored for item in page.get("Contents", [])]
    print(f"on S3: {len(sizes)} objects, {sum(sizes) / 1e6:.1f} MB")
    with MongoClient(address) as mongodb:
        whole = read_published(mongodb["bannermap"])
        statistics = whole.job["statistics"]
        print(f"in MongoDB: {whole.job['dt']}, {statistics['clusters']} clusters, {statistics['banners']} banners")


def equal_on_a_disk(world: Path, home: Path, days, s3: int) -> bool:
    """Whether one process with tables on a disk gives the same."""
    config = overlay(world, home / "plain")
    for day in days:
        complete(start("daily_pipeline", config, day), config)
    download(s3, "warehouse", home / "back/warehouse")
    settings = load_settings(ROOT / "conf/base.yaml", [config])
    spark = build_session(settings.spark)
    try:
        there, here = checksums(spark, home / "back"), checksums(spark, home / "plain")
    finally:
        spark.stop()
    for name in sorted({*there, *here}):
        same = there.get(name) == here.get(name)
        print(f"  {name}: {str(there.get(name))[:16]} {'=' if same else '!='} {str(here.get(name))[:16]}")
    return there == here


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="tiny", choices=("tiny", "small", "large"))
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--compare", action="store_true", help="hold all tables against those of one process on a disk")
    arguments = parser.parse_args()
    began = time.monotonic()
    s3_jars()
    with tempfile.TemporaryDirectory(prefix="bannermap-") as folder, running_s3() as s3, running_server() as mongo:
        home = Path(folder)
        sample = SampleSettings(size=arguments.size, days=arguments.days, seed=7, out=str(home / "world"))
        write_world(sample)
        in_production(home / "world", home, days_of(sample), s3, mongo)
        print(f"{(time.monotonic() - began) / 60:.1f} minutes in all")
        return 0 if not arguments.compare or equal_on_a_disk(home / "world", home, days_of(sample), s3) else 1


if __name__ == "__main__":
    sys.exit(main())
