"""SIGKILLs of `build_user_features` at random points, by hand:

    python tests/bench/bench_feature_kills.py --kills 50

Each time a day with late events is started as a process, killed with its JVM in a random phase, and run again twice; after each
run all tables must equal those of an undisturbed run, with each key once and no day missing. Ends with exit code 1 where not.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/features"), str(ROOT / "src"), str(ROOT / "jobs")]

from feature_kills import copied, killed_somewhere, prepared, rows_of  # noqa: E402 - tests are found by path
from small_spark import SMALL  # noqa: E402

from bannermap.platform.config import load_settings  # noqa: E402
from bannermap.platform.session import build_session  # noqa: E402


def main() -> int:
    """Run, print a line each, and JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    extra = {**SMALL, "spark.driver.memory": "1g"}
    spark = build_session(load_settings(ROOT / "conf/base.yaml").spark.model_copy(update={"extra": extra}))
    rng, killed, unequal, began = random.Random(args.seed), Counter(), 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bannermap-feature-kills-") as folder:
        scene = prepared(spark, Path(folder), args.seed)
        calm = copied(scene, Path(folder) / "calm")
        calm.rerun()
        expected = rows_of(calm.warehouse)
        for number in range(args.kills):
            rough = copied(scene, Path(folder) / f"rough-{number}")
            phase = killed_somewhere(rough, rng)
            while phase is None:
                rough = copied(scene, Path(folder) / f"rough-{number}-{rng.random()}")
                phase = killed_somewhere(rough, rng)
            killed[phase] += 1
            for _ in range(2):
                rough.rerun()
                unequal += rows_of(rough.warehouse) != expected
            print(f"kill {number + 1} in '{phase}': {unequal} runs unequal so far", flush=True)
    spark.stop()
    seconds = round(time.monotonic() - began)
    print(json.dumps({"kills": sum(killed.values()), "phases": killed, "unequal_runs": unequal, "seconds": seconds}))
    return 1 if unequal else 0


if __name__ == "__main__":
    sys.exit(main())
