"""Random faults while jobs run, and whether tables and collections then are those of a run that nothing disturbed, by hand:

    python tests/bench/bench_faults.py --faults 100
    python tests/bench/bench_faults.py --faults 6 --seed 4 --kinds kill_driver,s3_reset

Jobs of the chain and `publish_clusters` run one after the other, day after day, with tables on a server that speaks S3's protocol
behind a proxy, and collections on one that speaks MongoDB's. Each run meets one fault, and is then repeated in calm weather until
it succeeds, three times at most:

    kill_driver    SIGKILL to all processes of the job, in a phase by chance
    kill_task      SIGKILL to a Python worker; the task is tried again, so the job itself should succeed
    kill_executor  SIGKILL to an executor of the standalone cluster (with --cluster)
    s3_error, s3_slow, s3_reset   a share of requests is answered by 503, late, or by a reset before or after the deed
    full_disk      files of this machine may not grow beyond some kilobytes: sorts, shuffles and uploads find no space
    clock          the job's clock is days ahead or behind (libfaketime; left out where it is not installed)

Prints a line a fault, and at the end the checksum of each table, without and with faults. 1 where any differs.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "publish"), str(ROOT / "src")]

from faulty_proxy import Weather, faulty_proxy  # noqa: E402 - ours are found by path
from mongo_server import running_server  # noqa: E402
from processes import ERRORS, checksums, overlay, runs_program, start  # noqa: E402
from pymongo import MongoClient  # noqa: E402
from s3_server import BUCKET, download, running_s3, s3_jars, variables  # noqa: E402
from standalone import on_cluster, running_cluster  # noqa: E402
from troubles import FAKETIME, full_disk, other_clock  # noqa: E402

from bannermap.platform.config import load_settings  # noqa: E402
from bannermap.platform.memory import family  # noqa: E402
from bannermap.platform.session import build_session  # noqa: E402
from bannermap.platform.settings import SampleSettings  # noqa: E402
from bannermap.platform.status import CHAIN  # noqa: E402
from bannermap.publish.reading import read_published  # noqa: E402
from bannermap.sample.world import days_of, write_world  # noqa: E402

JOBS = (*CHAIN, "publish_clusters")
KINDS = ("kill_driver", "kill_task", "kill_executor", "s3_error", "s3_slow", "s3_reset", "full_disk", "clock")
OF_ITS_OWN = ("publication_id", "published_at", "published_by", "run", "timings_s", "audit", "_id")


def kill_one(parents: list[int], wanted: str, rng: random.Random, ended: threading.Event) -> None:
    """Kill one of the processes below, as soon as there is one, after a while."""
    time.sleep(rng.uniform(0.0, 8.0))
    while not ended.wait(0.2):
        found = sorted(p for parent in parents for p in family([parent])[1:] if runs_program(p, wanted.encode()))
        if found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(found), signal.SIGKILL)
            return


def attempt(job, config, day, kind, rng, weather, cluster) -> int:
    """Exit code of a run that meets a fault."""
    weather.kind = kind.removeprefix("s3_") if kind.startswith("s3_") else None
    weather.share = rng.choice([0.01, 0.05, 0.2])
    with contextlib.ExitStack() as held:
        modules = ""
        if kind == "full_disk":
            held.enter_context(full_disk(rng.choice([4_000, 40_000, 400_000])))
        if kind == "clock":
            modules = held.enter_context(other_clock(rng.choice([-1, 1]) * rng.randint(1, 5), config.parent))
        process = start(job, config, day, modules=modules)
    return watched(process, kind, rng, cluster)


def watched(process: subprocess.Popen, kind: str, rng: random.Random, cluster: list[int]) -> int:
    ended = threading.Event()
    if kind in ("kill_task", "kill_executor"):
        parents, wanted = ([process.pid], "pyspark.daemon") if kind == "kill_task" else (cluster, "CoarseGrainedExecutorBackend")
        threading.Thread(target=kill_one, args=(parents, wanted, rng, ended), daemon=True).start()
    threading.Thread(target=end_with, args=(process,), daemon=True).start()
    phases = rng.randint(1, 4) if kind == "kill_driver" else 0
    for line in process.stdout:
        phases -= "(phase" in line
        if kind == "kill_driver" and phases == 0:
            time.sleep(rng.uniform(0.0, 2.0))
            os.killpg(process.pid, signal.SIGKILL)
            break
    code = process.wait()
    ended.set()
    return code


def end_with(process: subprocess.Popen) -> None:
    """Kill what a driver leaves behind: a JVM that failed to start holds the output open, which is read to its end."""
    process.wait()
    time.sleep(1.0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def calm_run(job, config, day) -> int:
    process = start(job, config, day)
    process.communicate()
    return process.returncode


def published(address: str, database: str) -> str:
    """Hash of what a reader of MongoDB finds, without what each run makes anew."""
    with MongoClient(address) as mongodb:
        whole = read_published(mongodb[database])
    job = {k: v for k, v in whole.job.items() if k not in OF_ITS_OWN}
    clusters = [{k: v for k, v in c.items() if k not in OF_ITS_OWN} for c in whole.clusters]
    return hashlib.sha256(json.dumps([job, clusters], sort_keys=True, default=str).encode()).hexdigest()


def steps(days):
    """Jobs in their order, all days, again and again from a new warehouse."""
    number = 0
    while True:
        yield from ((number, day, job) for day in days for job in JOBS)
        number += 1


def rough(arguments, configs, days, weather, cluster, rng) -> tuple[collections.Counter, int]:
    """Faults by kind and outcome, and how many warehouses were begun."""
    kinds = arguments.kinds.split(",")
    told: collections.Counter = collections.Counter()
    over = time.monotonic() + 60.0 * arguments.minutes
    for number, (world, day, job) in enumerate(steps(days)):
        if (number >= arguments.faults or time.monotonic() > over) and number and (day, job) == (days[0], JOBS[0]):
            return told, world
        config, kind = configs(world), rng.choice(kinds) if number < arguments.faults else "none"
        began = time.monotonic()
        code = attempt(job, config, day, kind, rng, weather, cluster)
        weather.kind, again = None, 0
        while code and again < 3:
            again, code = again + 1, calm_run(job, config, day)
        if kind != "none":
            told[kind, "repeated" if again else "survived"] += 1
            print(f"{number + 1:4d} {job} {day} {kind}: repeated {again} times, {time.monotonic() - began:.0f} s", flush=True)
        if code:
            print((config.parent / ERRORS).read_text()[-4000:], file=sys.stderr)
            raise SystemExit(f"{job} of {day} fails in calm weather, with {code}")
    raise AssertionError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=600.0, help="no warehouse is begun after as many minutes of faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--cluster", action="store_true", help="on a standalone cluster, whose executors can be killed")
    parser.add_argument("--kinds", default=None, help="comma-separated; all that can be had without")
    arguments = parser.parse_args()
    left_out = {*([] if arguments.cluster else ["kill_executor"]), *([] if FAKETIME else ["clock"])}
    arguments.kinds = arguments.kinds or ",".join(k for k in KINDS if k not in left_out)
    print(f"kinds: {arguments.kinds}; seed {arguments.seed}")
    s3_jars()
    rng = random.Random(arguments.seed)
    weather = Weather(random.Random(arguments.seed), delay_s=0.2)  # jobs make thousands of requests, one after the other
    with contextlib.ExitStack() as held:
        home = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="bannermap-")))
        s3, mongo = held.enter_context(running_s3()), held.enter_context(running_server())
        proxy = held.enter_context(faulty_proxy(s3, weather))
        address = f"mongodb://127.0.0.1:{mongo}/?directConnection=true"
        os.environ.update(variables(proxy) | {"BANNERMAP_MONGODB_URI": address})
        spark, cluster = {"spark.master": "local[2,4]"}, []
        if arguments.cluster:
            (home / "logs").mkdir()
            running = held.enter_context(running_cluster(home / "logs", variables(proxy)))
            spark = on_cluster(running) | {"spark.executorEnv.PYTHONPATH": f"{ROOT}/src"}
            cluster = [worker.pid for worker in running.workers]
        sample = SampleSettings(size="tiny", days=arguments.days, seed=5, out=str(home / "world"))
        write_world(sample)
        days = days_of(sample)

        def configured(name: str) -> Path:
            config = overlay(home / "world", home / name, spark, f"s3a://{BUCKET}/{name}")
            config.write_text(
                config.read_text() + f"publish: {{database: {name}}}\nclaims: {{heartbeat_s: 2.0, expire_s: 8.0}}\n"
            )
            return config

        for day in days:
            for job in JOBS:
                if calm_run(job, configured("calm"), day):
                    raise SystemExit(f"{job} of {day} fails without any fault: {(home / 'calm' / ERRORS).read_text()[-4000:]}")
        print("without faults: done", flush=True)
        told, worlds = rough(arguments, lambda n: configured(f"rough{n}"), days, weather, cluster, rng)
        for (kind, outcome), count in sorted(told.items()):
            print(f"{kind}: {outcome} {count}")
        print(f"{weather.struck} requests to S3 struck")
        return compared(home, s3, address, [f"rough{n}" for n in range(worlds)])


def compared(home: Path, s3: int, address: str, names: list[str]) -> int:
    """1 where any table or collection differs from those of the undisturbed run."""
    sums: dict[str, dict[str, str]] = {}
    settings = load_settings(ROOT / "conf/base.yaml", [overlay(home / "world", home / "reading")])
    spark = build_session(settings.spark)
    try:
        for name in ("calm", *names):
            download(s3, name, home / "back" / name / "warehouse")
            sums[name] = checksums(spark, home / "back" / name) | {"in MongoDB": published(address, name)}
    finally:
        spark.stop()
    for table, wanted in sorted(sums["calm"].items()):
        print(
            f"  {table}: {wanted[:16]} "
            + " ".join("=" if sums[n].get(table) == wanted else sums[n].get(table, "none")[:16] for n in names)
        )
    equal = all(sums[name] == sums["calm"] for name in names)
    print("all equal" if equal else "DIFFERENT")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
