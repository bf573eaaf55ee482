"""Clustering at size, by hand: planted groups of every size in noise, from Parquet to clusters.

    python tests/bench/bench_cluster.py --rows 125000 1000000 --work FOLDER
    python tests/bench/bench_cluster.py --rows 100000 --against-exact
    python tests/bench/bench_cluster.py --cached FOLDER/dinov2*.npz --against-exact --set clustering.cells.rows_per_cell=64

Prints seconds by phase, peak memory of all processes, the share of all distances that was computed, the audit, and agreement
with the planted truth; with --against-exact also how many pairs of the exact clustering the one by cells has. With several sizes
the exponents of growth. Groups lie on 8 dimensions, a fifth of the rows is one group, a tenth is in none. Pictures that
bench_policy has encoded (its --cache) are clustered in place of planted groups where they are named.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from drawn_banners import ROOT
from planted import planted, write_world

from bannermap.clustering.arrow import list_array
from bannermap.clustering.auditing import search_figures
from bannermap.clustering.engine import Clustered, cluster_nodes
from bannermap.clustering.transforms import numbered_nodes
from bannermap.platform.config import load_settings
from bannermap.platform.memory import peak_memory
from bannermap.platform.session import build_session
from bannermap.platform.settings import ClusteringSettings
from bannermap.sample.agreement import agreement


class Phases:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)
        print(f"  {name}: {self.seconds[name]} s", flush=True)


def labels_of(clustered: Clustered, total: int) -> np.ndarray:
    """int64 (n,): cluster of each row, -1 for none."""
    accepted = clustered.groups.where("accepted").select("group_number")
    rows = clustered.clusters.join(accepted, "group_number").select("node", "group_number").toArrow()
    labels = np.full(total, -1)
    labels[rows["node"].to_numpy()] = rows["group_number"].to_numpy()
    return labels


def pairs_kept(exact: np.ndarray, found: np.ndarray) -> float:
    """Of the pairs that share a cluster of the exact clustering, the share that do in the other."""

    def pairs(*labels: np.ndarray) -> float:
        inside = np.all([part >= 0 for part in labels], axis=0)
        counts = np.unique(np.stack([part[inside] for part in labels]), axis=1, return_counts=True)[1].astype(float)
        return float((counts * (counts - 1) / 2).sum())

    return pairs(exact, found) / pairs(exact)


def run(spark, folder: Path, settings: ClusteringSettings, truth: np.ndarray) -> tuple[dict, np.ndarray]:
    """One clustering: figures and labels."""
    phases, began = Phases(), time.monotonic()
    with peak_memory([os.getpid()]) as peak:
        with phases("number the rows"):
            rows = spark.read.parquet(str(folder)).selectExpr("content_hash node_id", "1L banners", "vector")
            nodes = numbered_nodes(rows)
            total = nodes.count()
        clustered = cluster_nodes(nodes, settings, "bench", phases, {})
        with phases("place the clusters"):
            labels = labels_of(clustered, total)
    seconds = time.monotonic() - began
    alone = np.where(truth < 0, total + np.arange(total), truth)
    agreed = agreement(labels, alone)
    found = clustered.found
    facts = {"rows": total, "search": found.cells.cells_id, "seconds": seconds, "phases": phases.seconds, "peak_mb": peak.mb}
    computed = found.distances + total * (0 if found.cell_rows is None else len(found.cell_rows))
    facts |= {"distances": computed / total**2, "clusters": len(set(labels[labels >= 0].tolist()))}
    facts |= {"b_cubed_f1": agreed.b_cubed_f1, **search_figures(clustered.audit, clustered.weakest_link)}
    spark.catalog.clearCache()
    print(json.dumps(facts), flush=True)
    return facts, labels


def write_cached(files: list[Path], folder: Path) -> np.ndarray:
    """What bench_policy encoded, as one world; the groups: int64 (n,)."""
    stored = [np.load(file) for file in files]
    folder.mkdir(parents=True)
    vectors, truth = np.concatenate([s["matrix"] for s in stored]), []
    for s in stored:
        truth.append(np.unique(s["groups"], return_inverse=True)[1] + sum(int(t.max()) + 1 for t in truth))
    names = pa.array([f"{i:09d}" for i in range(len(vectors))])
    pq.write_table(pa.table({"content_hash": names, "vector": list_array(vectors)}), folder / "all.parquet")
    return np.concatenate(truth)


def worlds(args: argparse.Namespace, home: str) -> Iterator[tuple[Path, np.ndarray]]:
    """Folder of the vectors and true groups, one after the other."""
    if args.cached:
        folder = Path(home) / "cached"
        yield folder, write_cached(args.cached, folder)
        return
    for rows in args.rows:
        world = planted(rows, args.dimensions, seed=1)
        folder = (args.work or Path(home)) / f"planted-{rows}-{args.dimensions}"
        if not folder.exists():
            write_world(world, folder)
        yield folder, world.group_of


def exponent(first: dict, last: dict, value) -> float:
    """Of growth between two sizes."""
    return math.log(value(last) / value(first)) / math.log(last["rows"] / first["rows"])


def main() -> None:
    """Run, print text, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[125_000])
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--cached", type=Path, nargs="+", help="files of vectors in place of planted ones")
    parser.add_argument("--work", type=Path, help="folder for the vectors, kept; without, a temporary one")
    parser.add_argument("--driver-memory", default="5g")
    parser.add_argument("--against-exact", action="store_true")
    parser.add_argument("--set", action="append", default=[], help="as of a job: section.key=value")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bannermap-cluster-") as home:
        extra = f"spark.extra={{spark.ui.enabled: 'false', spark.driver.memory: '{args.driver_memory}'}}"
        given = [extra, "clustering.search=cells", *args.set]
        settings = load_settings(ROOT / "conf/base.yaml", [], given)
        spark, found = build_session(settings.spark), []
        for folder, groups in worlds(args, home):
            facts, labels = run(spark, folder, settings.clustering, groups)
            if args.against_exact:
                exact, truth = run(spark, folder, settings.clustering.model_copy(update={"search": "exact"}), groups)
                facts |= {"exact": exact, "pairs_of_exact": pairs_kept(truth, labels)}
                print(f"{facts['pairs_of_exact']:.4%} of the exact clustering's pairs", flush=True)
            found.append(facts)
        spark.stop()
    if len(found) > 1:
        computed = exponent(found[0], found[-1], lambda f: f["distances"] * f["rows"] ** 2)
        print(f"growth: distances {computed:.2f}, seconds {exponent(found[0], found[-1], lambda f: f['seconds']):.2f}")
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
