"""Clustering against its peers on the same vectors, cores and caps, by hand:

    python tests/bench/bench_peers.py --rows 20000 100000                  # makes an environment for the peers below --work
    python tests/bench/bench_peers.py --rows 20000 --peers-python PATH     # uses one with scikit-learn, hdbscan and faiss-cpu

Each contender runs alone in a process of its own and is ended over the time cap (of the whole process) or the memory cap (of
resident memory of all its processes). Seconds are those of the fit: reading the vectors and starting Spark don't count, but that
Spark's jobs read Parquet does. The truth is planted (`planted.py`); rows in no group count as groups of one.

    scikit-learn KMeans     told the true number of groups, which no one knows
    HDBSCAN, both           min_cluster_size 2, Euclidean, which on unit vectors has the cosine's neighbours
    SemDeDup                k-means with 8,800 rows per centroid, as published, or sqrt(n) centroids; components of pairs with a
                            cosine of 0.75 or more within a centroid, which is our first threshold

Groups that all lie apart are what one threshold finds: with --siblings 4 they lie in fours, their centres at a cosine of about
0.8, and one threshold joins them. Prints a table, and JSON last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_cluster import pairs_kept
from contenders import OURS, PEERS
from planted import CHUNK, planted, write_world

from bannermap.platform.memory import Peak, family, peak_memory
from bannermap.sample.agreement import agreement

HEADS = ("contender", "seconds", "peak MB", "B-cubed F1", "ARI", "pair recall", "pair precision", "clusters")
HERE = Path(__file__).parent


def environment(given: str | None, work: Path) -> str:
    """The interpreter that has the peers; none of them is a dependency of ours."""
    if given:
        return given
    python = work / "peers/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "scikit-learn", "hdbscan", "faiss-cpu"], check=True)
    return str(python)


def written(rows: int, args: argparse.Namespace) -> tuple[np.ndarray, dict[str, Any]]:
    """The truth, and options of the contenders; vectors are written where they are not there yet."""
    world = planted(rows, args.dimensions, seed=1, siblings=args.siblings)
    folder = args.work / f"planted-{rows}-{args.dimensions}-{args.siblings}"
    if not folder.exists():
        write_world(world, folder)
    vectors = folder.with_suffix(".npy")
    chunks = [world.rows(low, min(low + CHUNK, rows)) for low in range(0, rows, CHUNK)]
    np.save(vectors, np.concatenate(chunks).astype(np.float32))
    options = {"vectors": str(vectors), "parquet": str(folder), "labels": str(args.work / "labels.npy"), "cores": args.cores}
    return world.group_of, options | {"groups": int(world.group_of.max()) + 1, "driver_memory": args.driver_memory}


def ended(process: subprocess.Popen, peak: Peak, args: argparse.Namespace) -> str | None:
    """Wait for a contender; says what was wrong with it, if anything."""
    over = time.monotonic() + args.time_cap_s
    while process.poll() is None:
        time.sleep(0.2)
        late, large = time.monotonic() > over, peak.mb > args.memory_cap_mb
        if late or large:
            for pid in family([process.pid]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            return "over the memory cap" if large else "over the time cap"
    return f"failed with {process.returncode}, see {args.work / 'log.txt'}" if process.returncode else None


def outcome(name: str, options: dict[str, Any], truth: np.ndarray, args: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    python = sys.executable if name in OURS else args.peers_python
    threads = {f"{library}_NUM_THREADS": str(args.cores) for library in ("OMP", "OPENBLAS", "NUMBA")}
    with (args.work / "log.txt").open("ab") as log, (args.work / "said.txt").open("w") as said:
        command = [python, str(HERE / "contenders.py"), name, json.dumps(options)]
        process = subprocess.Popen(command, env={**os.environ, **threads}, stdout=said, stderr=log)
        with peak_memory([process.pid]) as peak:
            problem = ended(process, peak, args)
    row = {"contender": name, "rows": len(truth), "peak MB": round(peak.mb)}
    if problem:
        return row | {"seconds": problem}
    seconds = json.loads((args.work / "said.txt").read_text().splitlines()[-1])["seconds"]
    return row | {"seconds": round(seconds, 1)} | quality(np.load(options["labels"]), truth)


def quality(labels: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Agreement with the truth; pairs are those of rows that share a group.

    Args:
        labels: int64 (n,), -1 for none.
        truth: int64 (n,), -1 for none.
    """
    agreed = agreement(labels, np.where(truth < 0, len(truth) + np.arange(len(truth)), truth))
    found = {"B-cubed F1": agreed.b_cubed_f1, "ARI": agreed.adjusted_rand, "pair recall": pairs_kept(truth, labels)}
    found["pair precision"] = pairs_kept(labels, truth)
    return {key: round(value, 4) for key, value in found.items()} | {"clusters": len(np.unique(labels[labels >= 0]))}


def printed(row: dict[str, Any]) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(str(row.get(head, "-")) for head in HEADS) + " |"


def main() -> None:
    """Run, print tables, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000])
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--siblings", type=int, default=1, help="groups that lie near each other; 1: all lie apart")
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--time-cap-s", type=float, default=600.0)
    parser.add_argument("--memory-cap-mb", type=float, default=16_000.0)
    parser.add_argument("--driver-memory", default="5g", help="of Spark")
    parser.add_argument("--only", nargs="+", choices=[*OURS, *PEERS], default=[*OURS, *PEERS])
    parser.add_argument("--peers-python", help="interpreter that has the peers; else an environment is made")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "bannermap-bench-peers")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    args.peers_python = environment(args.peers_python, args.work) if set(args.only) & set(PEERS) else None
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    found = []
    for rows in args.rows:
        truth, options = written(rows, args)
        about = f"{rows} x {args.dimensions}, {options['groups']} groups, {args.siblings} near each other, {args.cores} cores"
        print(f"\n{about}\n\n{printed({h: h for h in HEADS})}")
        print(printed(dict.fromkeys(HEADS, "---")), flush=True)
        for name in args.only:
            found.append(outcome(name, options, truth, args))
            print(printed(found[-1]), flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
