"""Windows over partials against other tools, on the same files and in one run, by hand:

    python tests/bench/bench_features.py
    python tests/bench/bench_features.py --events 450000000 --buckets 64 --only ours --job-events 0
    python tests/bench/bench_features.py --events 0 --job-events 4500000

Writes partials of drawn users, then counts windows of 1, 7, 15 and 30 days as of the last day: ours, polars, DuckDB, and Spark
with a groupBy for each window; each in a process of its own, best of some rounds, with peak memory of all its processes. All must
find the same sums. Then ours as of thirty days with a clustering each, and with a giant user, and with a giant cluster, each
against the even world. Last whole jobs: a day taken in and published, the same of a giant user, and thirty days published again.
The load of the machine stands in each line: figures of a busy one say little.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "src"), str(ROOT / "jobs")]

import pyarrow.parquet as pq  # noqa: E402 - ours are found by path
from feature_contenders import CONTENDERS, session  # noqa: E402
from feature_world import World, assignment, note_log_days, write_clusterings, write_log, write_partials  # noqa: E402

from bannermap.features.backfill import Backfill, backfill_stage  # noqa: E402
from bannermap.features.job import STAGE  # noqa: E402
from bannermap.platform.cli import run_stage  # noqa: E402
from bannermap.platform.config import load_settings  # noqa: E402
from bannermap.platform.memory import peak_memory  # noqa: E402
from bannermap.platform.storage import Warehouse  # noqa: E402

HEADS = ("what", "seconds", "against", "ratio", "CPU s", "CPU ratio", "peak MB", "load")
BACKFILLED = 30


class Table:
    """Lines of figures, printed as they come."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        print("| " + " | ".join(HEADS) + " |\n" + "|---" * len(HEADS) + "|", flush=True)

    def add(self, what: str, seconds: float, peak_mb: float, against: str | None = None, cpu: float = 0.0) -> None:
        """Add a line; its ratios are to an earlier one. A busy machine stretches seconds more than processor time."""
        other = next((line for line in self.lines if line["what"] == against), None)
        ratio = round(seconds / other["seconds"], 2) if other else "-"
        found = {"what": what, "seconds": round(seconds, 2), "against": against or "-", "ratio": ratio, "CPU s": round(cpu, 2)}
        found["CPU ratio"] = round(cpu / other["CPU s"], 2) if other and other["CPU s"] else "-"
        self.lines.append({**found, "peak MB": round(peak_mb), "load": round(os.getloadavg()[0], 1)})
        print("| " + " | ".join(str(self.lines[-1][h]) for h in HEADS) + " |", flush=True)


def prepared(world: World, home: Path, args: argparse.Namespace) -> dict[str, Any]:
    """A warehouse with partials, in a session of its own, and the clusters of the last days as files."""
    options = {"cores": args.cores, "rounds": args.rounds, "driver_memory": args.driver_memory, "compare": True}
    worlds, place = f"b.World(**{dataclasses.asdict(world)})", f"b.Path({str(home)!r})"
    code = f"import bench_features as b; b.write({worlds}, {place}, {args.buckets}, {options})"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE)
    print(f"{world}: partials written in {time.monotonic() - began:.0f} s, {_mb(home):.0f} MB", file=sys.stderr, flush=True)
    last = world.days - 1
    return options | {
        "table": str(home / "warehouse/user_banner_days"),
        "as_of": [world.dates[last].isoformat()],
        "assignments": [str(home / f"assignment-{last}.parquet")],
    }


def write(world: World, home: Path, buckets: int, options: dict[str, Any]) -> None:
    """What `prepared` says."""
    spark = session(options)
    rows = write_partials(Warehouse(spark, str(home / "warehouse")), world, buckets, home / "aside")
    for number in range(world.days - BACKFILLED, world.days):
        pq.write_table(assignment(world, number), home / f"assignment-{number}.parquet")
    spark.stop()
    print(f"{rows} partials", file=sys.stderr, flush=True)


def _mb(folder: Path) -> float:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6


def outcome(name: str, options: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """What a contender said, and the peak memory of its processes in MB."""
    command = [sys.executable, str(HERE / "feature_contenders.py"), name, json.dumps(options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with peak_memory([process.pid]) as peak:
        printed = process.communicate()[0]
    if process.returncode:
        sys.exit(f"{name} failed with {process.returncode}")
    return json.loads(printed.splitlines()[-1]), peak.mb


def compare(world: World, home: Path, args: argparse.Namespace, table: Table) -> bool:
    """All contenders on one world, then ours as of many days; whether all found the same."""
    options, sums = prepared(world, home, args), []
    for name in args.only:
        said, peak = outcome(name, options)
        table.add(name, said["seconds"], peak, "ours" if name != "ours" else None, said["cpu"])
        sums.append(said["sums"])
    last = world.days - 1
    days = range(last - BACKFILLED + 1, last + 1)
    many = {
        "as_of": [world.dates[n].isoformat() for n in days],
        "assignments": [str(home / f"assignment-{n}.parquet") for n in days],
    }
    said, peak = outcome("ours", options | many | {"compare": False})
    table.add(f"ours, {BACKFILLED} days at once", said["seconds"], peak, "ours", said["cpu"])
    return all(s == sums[0] for s in sums)


def skewed(world: World, home: Path, args: argparse.Namespace, table: Table) -> None:
    """Ours on worlds that are not even."""
    for what, change in (("giant user", {"giant_user": 0.2}), ("giant cluster", {"giant_cluster": 0.8})):
        options = prepared(dataclasses.replace(world, **change), home / what.replace(" ", "-"), args)
        said, peak = outcome("ours", options | {"compare": False})
        table.add(f"ours, {what}", said["seconds"], peak, "ours", said["cpu"])
        shutil.rmtree(home / what.replace(" ", "-"))


def jobs(world: World, home: Path, args: argparse.Namespace, table: Table) -> None:
    """Whole jobs: the last day taken in and published, of three worlds; then the days before it."""
    base = load_settings(ROOT / "conf/base.yaml")
    spark = session({"cores": args.cores, "driver_memory": args.driver_memory})
    for what, change in (("even", {}), ("giant user", {"giant_user": 0.2}), ("giant cluster", {"giant_cluster": 0.8})):
        mine, place = dataclasses.replace(world, **change), home / f"job-{what.replace(' ', '-')}"
        warehouse, last = Warehouse(spark, str(place / "warehouse")), world.days - 1
        write_partials(warehouse, dataclasses.replace(mine, days=world.days), args.buckets, place / "aside")
        for number in range(world.days):
            write_log(mine, number, place / "log")
        wanted = range(last - BACKFILLED, last + 1) if what == "even" else [last]
        write_clusterings(warehouse, mine, list(wanted), base.features.wide_themes)
        note_log_days(warehouse, mine, range(last))
        gate = base.features.gate.model_copy(update={"max_clicks_over_impressions_share": 1.0})  # types are drawn one by one
        settings = base.model_copy(
            update={
                "paths": base.paths.model_copy(update={"event_log": str(place / "log")}),
                "features": base.features.model_copy(update={"user_buckets": args.buckets, "gate": gate}),
            }
        )
        for turn in ("first", "warm"):
            run = run_stage(STAGE, warehouse, settings, mine.dates[last])
            peak = max(v for k, v in run.metrics.items() if k.startswith("peak_memory_mb"))
            table.add(f"job, {what}, {turn}", run.seconds(), peak, f"job, even, {turn}" if what != "even" else None)
        if what == "even":
            backfill = backfill_stage(Backfill(mine.dates[last - 1]))
            run = run_stage(backfill, warehouse, settings, mine.dates[last - BACKFILLED])
            peak = max(v for k, v in run.metrics.items() if k.startswith("peak_memory_mb"))
            table.add(f"job, backfill of {BACKFILLED} days", run.seconds(), peak, "job, even, warm")
            print(json.dumps({k: round(v, 1) for k, v in run.phase_seconds.items()}), file=sys.stderr)
        shutil.rmtree(place)
    spark.stop()


def main() -> int:
    """Run, print the table, and JSON last; 1 where contenders disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=45_000_000, help="0 leaves out the comparison")
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--banners", type=int, default=100_000)
    parser.add_argument("--clusters", type=int, default=256)
    parser.add_argument(
        "--days", type=int, default=60, help=f"those in reach of {BACKFILLED} days; events are those of 45 of them"
    )
    parser.add_argument("--buckets", type=int, default=16)
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--driver-memory", default="2g", help="of Spark")
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--skip-skewed", action="store_true")
    parser.add_argument(
        "--job-events", type=int, default=4_500_000, help="events of the world that whole jobs run on; 0 for none"
    )
    parser.add_argument("--work", type=Path, help="folder for the worlds; a temporary one by default")
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    table, same = Table(), True
    with tempfile.TemporaryDirectory(prefix="bannermap-features-", dir=args.work) as folder:
        home = Path(folder)
        world = World(args.events * args.days // 45, args.users, args.banners, args.clusters, args.days)
        if args.events:
            same = compare(world, home, args, table)
            shutil.rmtree(home / "warehouse")
            if not args.skip_skewed:
                skewed(world, home, args, table)
        if args.job_events:
            share = args.job_events / 45_000_000
            small = dataclasses.replace(world, events=args.job_events * args.days // 45, users=max(int(args.users * share), 1))
            jobs(small, home, args, table)
    print(json.dumps({"same": same, "lines": table.lines}))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
