"""20 SIGKILLs of a run over 5,000 images, by hand:

    python tests/bench/bench_kills.py

`embed_banners` runs as a process on all cores of this machine; Python workers, and in some cases the driver with its JVM, are
killed at random points and the job is started again until it is done. Its tables must then equal those of an undisturbed run, one
row per key. The encoder is a server in this process, which counts what it is asked for: images that were encoded more than once
are what the kills cost. A worker may lose one batch; a run that ends (killed, or given up by Spark after one task failed four
times) one batch for each task that it was running.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/embedding"), str(ROOT / "src"), str(ROOT / "jobs")]

from embedding_server import Endpoint  # noqa: E402 - tests are found by path
from killing import DAY, Kill, Story, rows_written, run_with_kills, sections, serve_banners, write_pictures  # noqa: E402

from bannermap.embedding.job import STAGE  # noqa: E402
from bannermap.platform.cli import run_stage  # noqa: E402
from bannermap.platform.config import load_settings  # noqa: E402
from bannermap.platform.session import build_session  # noqa: E402
from bannermap.platform.storage import Warehouse  # noqa: E402

IN_PHASES = ("write bytes and vectors", "write image_fetches")


def planned(images: int, batch: int, workers: int, jobs: int, rng: random.Random) -> list[Kill]:
    """Kills at random numbers of batches, then one of the job in each phase that writes."""
    after = sorted(rng.sample(range(1, int(0.95 * images / batch)), workers + jobs))
    of_job = set(rng.sample(range(len(after)), jobs))
    making = [Kill("job" if number in of_job else "worker", requests) for number, requests in enumerate(after)]
    return [*making, *(Kill("job", phase) for phase in IN_PHASES)]


def told(story: Story, batch: int, equal: bool, seconds: float) -> dict:
    """The figures, and whether they hold."""
    tasks = len(os.sched_getaffinity(0))
    allowed = batch * (story.kills["worker"] + tasks * story.ended)
    again = story.encoded - story.distinct
    facts = {"kills": dict(story.kills), "runs_that_ended": story.ended, "batch_images": batch, "tasks_at_once": tasks}
    facts |= {"encoded": story.encoded, "distinct": story.distinct, "encoded_again": again, "allowed_again": allowed}
    return facts | {"rows_equal": equal, "seconds": round(seconds, 1), "holds": equal and again <= allowed}


def main() -> None:
    """Run, print text, and JSON last; exits 1 where a row or more than the allowed batches were lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--batch-images", type=int, default=32)
    parser.add_argument("--worker-kills", type=int, default=15)
    parser.add_argument("--job-kills", type=int, default=3, help="beside one in each phase that writes")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng, endpoint = random.Random(args.seed), Endpoint()
    with tempfile.TemporaryDirectory(prefix="bannermap-kills-") as folder:
        home = Path(folder)
        names = write_pictures(home / "images", args.images)
        config = sections(home / "rough", home / "images", endpoint, args.batch_images)
        base = load_settings(ROOT / "conf/base.yaml")
        spark = build_session(base.spark.model_copy(update={"extra": {**config["spark"]["extra"], "spark.driver.memory": "2g"}}))
        calm, rough = (Warehouse(spark, str(home / name / "warehouse")) for name in ("calm", "rough"))
        for warehouse in (calm, rough):
            serve_banners(warehouse, names)
        kills = planned(args.images, args.batch_images, args.worker_kills, args.job_kills, rng)
        began = time.monotonic()
        story = run_with_kills(home / "rough", config, endpoint, kills, rng)
        seconds = time.monotonic() - began
        endpoint.always = None
        run_stage(STAGE, calm, load_settings(ROOT / "conf/base.yaml", [home / "rough/overlay.yaml"]), DAY)
        facts = told(story, args.batch_images, rows_written(rough) == rows_written(calm), seconds)
        spark.stop()
    endpoint.close()
    print(f"{sum(story.kills.values())} kills, {facts['encoded_again']} images encoded again, {facts['allowed_again']} allowed")
    print(json.dumps(facts))
    sys.exit(0 if facts["holds"] else 1)


if __name__ == "__main__":
    main()
