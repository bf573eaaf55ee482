"""The maximum spanning forest at size, by hand: from neighbour lists in Parquet to the order of all components.

    python tests/bench/bench_forest.py --nodes 10_000_000 --edges-per-node 10 --work FOLDER
    python tests/bench/bench_forest.py --nodes 100_000_000 --driver-memory 3g --work FOLDER

Prints seconds by step, peak memory of all processes and room on disk. The forest is checked: no candidate edge of a sample may be
stronger than the weakest edge between its ends (which makes a spanning forest a maximum one), and up to --naive nodes it must
equal one made in plain Python. The graph is that of `neighbour_lists`.
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
import pyarrow.parquet as pq
from bench_cluster import Phases
from drawn_banners import ROOT
from neighbour_lists import Graph, naive_forest, write_lists

from bannermap.clustering.forest import Edges
from bannermap.clustering.forest_merge import forest_of
from bannermap.clustering.hierarchy import Hierarchy, build_hierarchy, level_thresholds
from bannermap.platform.config import load_settings
from bannermap.platform.memory import peak_memory
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings

SAMPLE = 300
"""Candidate edges that are checked of each of the first, the middle and the last file."""


def size_mb(folder: Path) -> float:
    """Of all files in it."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6


def stronger_candidates(hierarchy: Hierarchy, folder: Path) -> int:
    """Of a sample, those that are stronger than the weakest edge between their ends: the weakest gap between two places."""
    files, position, found = sorted(folder.glob("*.parquet")), hierarchy.position(), 0
    for file in (files[0], files[len(files) // 2], files[-1]):
        rows = pq.read_table(file)
        chosen = rows.take(np.random.default_rng(1).integers(0, rows.num_rows, SAMPLE))
        for src, dst, cosine in zip(*(chosen[c].to_numpy() for c in ("src", "dst", "cosine")), strict=True):
            low, high = sorted((position[src], position[dst]))
            found += int(cosine > hierarchy.gap[low + 1 : high + 1].min())
    return found


def equals_naive(forest: Edges, folder: Path, min_cosine: float) -> bool:
    """Edge by edge, in order."""
    rows = pq.read_table(folder)
    expected = naive_forest(rows.filter(np.asarray(rows["cosine"]) >= min_cosine))
    return list(zip((-forest.cosine).tolist(), forest.low.tolist(), forest.high.tolist(), strict=True)) == expected


def run(settings: Settings, graph: Graph, folder: Path, naive: int, home: str) -> dict:
    """One forest: figures."""
    phases = Phases()
    with peak_memory([os.getpid()]) as peak:
        with phases("start Spark"):
            spark = build_session(settings.spark)
        with phases("merge forests"):
            rows = spark.read.schema("src bigint, dst bigint, cosine float").parquet(str(folder))
            forest = forest_of(rows, graph.nodes, settings.clustering, f"{home}/runs")
        merged_mb = peak.mb
        with phases("order the nodes"):
            hierarchy = build_hierarchy(graph.nodes, forest, level_thresholds(settings.clustering))
    facts = {"nodes": graph.nodes, "edges": len(forest), "trees": int(np.isneginf(hierarchy.gap).sum()), **phases.seconds}
    facts |= {"peak_mb": round(peak.mb), "merge_peak_mb": round(merged_mb)}
    spark.stop()
    facts["stronger_candidates"] = stronger_candidates(hierarchy, folder)
    if graph.nodes <= naive:
        facts["equals_naive"] = equals_naive(forest, folder, settings.clustering.initial_threshold)
    return facts


def main() -> int:
    """Run, print text, and JSON last; 1 where the forest is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1_000_000, help="a multiple of 40")
    parser.add_argument("--edges-per-node", type=int, default=10)
    parser.add_argument("--naive", type=int, default=200_000, help="nodes up to which the forest is made in plain Python too")
    parser.add_argument("--work", type=Path, help="folder for the lists, kept; without, a temporary one")
    parser.add_argument("--master", default="local[4,4]")
    parser.add_argument("--driver-memory", default="3g")
    parser.add_argument("--threads", type=int, default=4, help="that write the lists")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bannermap-forest-") as home:
        graph = Graph(args.nodes, args.edges_per_node)
        folder = (args.work or Path(home)) / f"lists-{graph.nodes}-{graph.edges_per_node}"
        began = time.monotonic()
        if not folder.exists():
            write_lists(graph, folder, args.threads)
            print(f"  write lists: {time.monotonic() - began:.1f} s, {size_mb(folder):.0f} MB", flush=True)
        extra = {"spark.ui.enabled": "false", "spark.driver.memory": args.driver_memory, "spark.master": args.master}
        given = [f"spark.extra={json.dumps({**extra, 'spark.local.dir': f'{home}/local'})}"]
        facts = run(load_settings(ROOT / "conf/base.yaml", [], given), graph, folder, args.naive, home)
    print(json.dumps({**facts, "lists_mb": 0 if not folder.exists() else round(size_mb(folder))}))
    return int(bool(facts["stronger_candidates"]) or not facts.get("equals_naive", True))


if __name__ == "__main__":
    sys.exit(main())
