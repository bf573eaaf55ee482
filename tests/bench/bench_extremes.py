"""Worlds that a search by cells could hang on, at size, by hand:

    python tests/bench/bench_extremes.py --rows 1_000_000 --dimensions 64

    tied    every row is the same vector
    few     every row is one of a thousand vectors
    half    half of the rows lie so near each other that they share a cell; the others are planted groups in noise

Prints seconds by phase, distances for each row, peak memory and clusters. Ends with 1 where tied or few do not come out as the
vectors that they are made of, or half parts the rows that lie together.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_cluster import Phases, labels_of, pairs_kept
from drawn_banners import ROOT
from planted import CHUNK, planted

from bannermap.clustering.arrow import list_array
from bannermap.clustering.engine import cluster_nodes
from bannermap.clustering.transforms import numbered_nodes
from bannermap.platform.config import load_settings
from bannermap.platform.memory import peak_memory
from bannermap.platform.session import build_session

NEAR = 1e-3
"""Distance of the rows of `half` from their point."""
Rows = tuple[np.ndarray, np.ndarray]
"""float32 (n, d), unit rows; int64 (n,), what belongs together: -1 for what is not asked."""


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def tied(rows: int, dimensions: int) -> Rows:
    """One vector."""
    return np.repeat(unit(np.ones((1, dimensions))), rows, axis=0), np.zeros(rows, np.int64)


def few(rows: int, dimensions: int) -> Rows:
    """A thousand vectors."""
    rng = np.random.default_rng(1)
    which = rng.integers(0, 1000, rows)
    return unit(rng.normal(size=(1000, dimensions)))[which], which


def half(rows: int, dimensions: int) -> Rows:
    """A point with half of the rows around it."""
    rng, world = np.random.default_rng(2), planted(rows, dimensions, seed=1)
    vectors = np.concatenate([world.rows(low, min(low + CHUNK, rows)) for low in range(0, rows, CHUNK)]).astype(np.float32)
    inside = rng.random(rows) < 0.5
    point = unit(rng.normal(size=(1, dimensions)))
    vectors[inside] = unit(point + NEAR * unit(rng.normal(size=(int(inside.sum()), dimensions))))
    return vectors, np.where(inside, 0, -1)


WORLDS = {"tied": tied, "few": few, "half": half}


def main() -> int:
    """Run, print text, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--driver-memory", default="5g")
    args = parser.parse_args()
    extra = f"spark.extra={{spark.ui.enabled: 'false', spark.driver.memory: '{args.driver_memory}'}}"
    settings = load_settings(
        ROOT / "conf/base.yaml", [], [extra, "clustering.search=cells", "clustering.audit.below_min_recall=warn"]
    )
    spark, found = build_session(settings.spark), []
    for name in args.worlds:
        with tempfile.TemporaryDirectory(prefix="bannermap-extremes-") as home:
            vectors, truth = WORLDS[name](args.rows, args.dimensions)
            for low in range(0, args.rows, CHUNK):
                part = vectors[low : low + CHUNK]
                names = pa.array([f"{low + i:09d}" for i in range(len(part))])
                pq.write_table(pa.table({"node_id": names, "vector": list_array(part)}), Path(home) / f"{low:09d}.parquet")
            print(f"{name}: {args.rows:,} x {args.dimensions}", flush=True)
            phases, began = Phases(), time.monotonic()
            with peak_memory([os.getpid()]) as peak:
                nodes = numbered_nodes(spark.read.parquet(home).selectExpr("node_id", "1L banners", "vector"))
                clustered = cluster_nodes(nodes, settings.clustering, "bench", phases, {})
                labels = labels_of(clustered, nodes.count())
            whole = pairs_kept(truth, labels)
            found.append({"world": name, "seconds": round(time.monotonic() - began, 1), "peak_mb": round(peak.mb)})
            found[-1] |= {"distances_per_row": round(clustered.found.distances / args.rows, 1), "pairs_kept": whole}
            found[-1] |= {"clusters": len(np.unique(labels[labels >= 0])), "outliers": int((labels < 0).sum())}
            print(json.dumps(found[-1]), flush=True)
            spark.catalog.clearCache()
    spark.stop()
    return int(any(f["pairs_kept"] < 1 for f in found))


if __name__ == "__main__":
    sys.exit(main())
