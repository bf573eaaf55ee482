"""Draw the sample world and run the whole chain over its days."""

import sys
import time

from daily_pipeline import REPORT, STAGES

from bannermap.platform.cli import check_before_start, config_main, run_stage
from bannermap.platform.runs import say
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings
from bannermap.platform.storage import Warehouse
from bannermap.sample.summary import summary
from bannermap.sample.world import days_of, write_world


def run(settings: Settings) -> None:
    """All stages for each day; the report once, when the last day is in."""
    began = time.monotonic()
    check_before_start(STAGES, settings)
    drawn = write_world(settings.sample)
    say(f"sample world of {settings.sample.days} days in {settings.sample.out}" + (": drawn" if drawn else ": there already"))
    spark, days, runs = build_session(settings.spark, settings.paths), days_of(settings.sample), []
    warehouse = Warehouse(spark, settings.paths.warehouse)
    for day in days:
        runs += [run_stage(stage, warehouse, settings, day) for stage in STAGES if stage is not REPORT or day == days[-1]]
    print(f"\nbannermap demo: {time.monotonic() - began:.0f} s\n{summary(warehouse, settings, days[-1], runs)}\n", flush=True)
    spark.stop()


if __name__ == "__main__":
    sys.exit(config_main("demo", __doc__, run))
