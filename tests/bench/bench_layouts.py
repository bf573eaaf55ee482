"""Whether a clustering's bytes depend on its layout, at size, by hand:

    python tests/bench/bench_layouts.py --rows 100000 --dimensions 256 --seeds 1 2 3 --search exact cells
    python tests/bench/bench_layouts.py --rows 1000000 --dimensions 256 --seeds 1 --search cells --layouts 2

Clusters one planted world in up to six layouts (1, 7 and 64 partitions, adaptive planning on and off, every other one shuffled)
and prints for each a sha256 of the canonical labels, and which of ids, paths, cohesions, medoids, themes and duplicates differ
from the first one's. Ends with exit code 1 where anything does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from drawn_banners import ROOT
from planted import planted, write_world

from bannermap.platform.config import load_settings
from bannermap.platform.session import build_session
from bannermap.platform.settings import ClusteringSettings

sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests/clustering"))
from layouts import digests, six_layouts


def all_equal(spark, folder: Path, settings: ClusteringSettings, seed: int, count: int) -> bool:
    """Cluster in each layout and print what came out."""
    rows, found = spark.read.parquet(str(folder)).withColumnRenamed("content_hash", "node_id"), []
    for layout in six_layouts(seed)[:count]:
        began = time.monotonic()
        came = digests(spark, rows, layout, settings)
        found.append(came)
        order = "given" if layout.shuffled_by is None else "shuffled"
        about = f"{layout.partitions:3} partitions, adaptive {layout.adaptive!s:5}, {order:8}"
        others = [name for name, digest in came.said if digest != dict(found[0].said)[name]]
        print(f"  {about}: labels {came.labels[:32]}, {came.clusters} clusters, other ", end="")
        print(f"{', '.join(others) or 'nothing'}, {time.monotonic() - began:.0f} s", flush=True)
    return len(set(found)) == 1


def main() -> int:
    """Run; 1 where layouts differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--search", nargs="+", choices=["exact", "cells"], default=["exact", "cells"])
    parser.add_argument("--layouts", type=int, choices=range(2, 7), default=6)
    parser.add_argument("--driver-memory", default="5g")
    args = parser.parse_args()
    extra = f"spark.extra={{spark.ui.enabled: 'false', spark.driver.memory: '{args.driver_memory}'}}"
    settings, same = load_settings(ROOT / "conf/base.yaml", [], [extra]), []
    spark = build_session(settings.spark)
    with tempfile.TemporaryDirectory(prefix="bannermap-layouts-") as home:
        for seed in args.seeds:
            folder = Path(home) / str(seed)
            write_world(planted(args.rows, args.dimensions, seed), folder)
            for search in args.search:
                print(f"{args.rows} x {args.dimensions}, seed {seed}, {search}", flush=True)
                rule = settings.clustering.model_copy(update={"search": search})
                same.append(all_equal(spark, folder, rule, seed, args.layouts))
                print("  the same" if same[-1] else "  DIFFERENT", flush=True)
    spark.stop()
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
