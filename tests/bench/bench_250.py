"""250 images from URLs to clusters with a model of DINOv2-base's shape on 4 cores, by hand:

    python tests/bench/bench_250.py

Drawn banners are served over HTTP on loopback, and the stages run one after the other in one session, each worker loading the
weights (random ones: speed does not depend on them). Seconds are those of the stages' phases; starting Spark is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from drawn_banners import ROOT, SHAPES, Served, draw_files, random_checkpoint

from bannermap.clustering.job import STAGE as CLUSTER
from bannermap.embedding.job import STAGE as EMBED
from bannermap.platform.cli import run_stage
from bannermap.platform.config import load_settings
from bannermap.platform.session import build_session
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import BANNER_LOG, CLUSTERS, EMBEDDINGS
from bannermap.registry.job import STAGE as DEDUPE
from bannermap.registry.own_images import DAY


def write_log(folder: Path, urls: list[str]) -> None:
    """A day of the banner log."""
    place = folder / f"dt={DAY}"
    place.mkdir(parents=True)
    rows = dict.fromkeys(c for c in BANNER_LOG.columns if c != "dt") | {"image_url": urls}
    rows |= {"banner_id": [f"banner-{n}" for n in range(len(urls))]}
    pd.DataFrame(rows, dtype="string").to_parquet(place / "part.parquet")


def main() -> None:
    """Run, print text, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=250)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="base")
    parser.add_argument("--cores", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bannermap-250-") as home:
        names = draw_files(Path(home) / "images", args.images)
        served = Served(Path(home) / "images")
        write_log(Path(home) / "log", [f"{served.address}/{name}" for name in names])
        weights = random_checkpoint(args.shape, Path(home) / "weights")
        given = {"paths.banner_log": f"{home}/log", "paths.warehouse": f"{home}/warehouse", "encoder.name": "dinov2"}
        given |= {"encoder.weights": str(weights), "fetch.allow_private_addresses": "true"}
        given |= {"spark.master": f"local[{args.cores},4]", "spark.extra": "{spark.ui.enabled: 'false'}"}
        pairs = [f"{key}={value}" for key, value in given.items()]
        settings = load_settings(ROOT / "conf/base.yaml", [ROOT / "conf/local.yaml"], pairs)
        load, began = os.getloadavg()[0], time.monotonic()
        spark = build_session(settings.spark)
        started_s = time.monotonic() - began
        warehouse, phases = Warehouse(spark, settings.paths.warehouse), {}
        began = time.monotonic()
        for stage in (DEDUPE, EMBED, CLUSTER):
            run = run_stage(stage, warehouse, settings, DAY)
            phases[stage.name] = {name: round(s, 1) for name, s in run.phase_seconds.items()} | {
                "in all": round(run.seconds(), 1)
            }
        seconds = time.monotonic() - began
        vectors, clusters = warehouse.read(EMBEDDINGS).count(), warehouse.read(CLUSTERS).count()
        spark.stop()
        served.close()
    for stage_name, parts in phases.items():
        print(stage_name, ", ".join(f"{name} {s} s" for name, s in parts.items()))
    print(f"{args.images} images, {vectors} vectors, {clusters} clusters: {seconds:.1f} s, and {started_s:.1f} s to start Spark")
    facts = {"images": args.images, "shape": args.shape, "cores": args.cores, "seconds": seconds, "spark_start_s": started_s}
    print(json.dumps({**facts, "load_before": load, "phases": phases, "vectors": vectors, "clusters": clusters}))


if __name__ == "__main__":
    sys.exit(main())
