"""Show which jobs of the last days are done, missing, stale or failed, and what mends them.

Reads only. A report is asked for of one day alone, the last of which it is due or done, since there is one page. With
monitoring.due_hours, what is not done by its hour is late, and what waits for its hour is well. A run on another machine is
watched for up to two claims.heartbeat_s. --run shows one run whole. Exit codes: 0 all is well (a job that is running is, unless
it is late), 1 something is late, missing, stale, failed, never ended, unreadable, or there is nothing at all, 2 bad
configuration, 3 no such run; with --run 1 where it failed or never ended.
"""

import argparse
import datetime
import shlex
import sys

from bannermap.platform.cli import command_main
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings
from bannermap.platform.status import Schedule, State, days_between, judged
from bannermap.platform.status_facts import gather, with_log_times, with_signs_of_life
from bannermap.platform.status_run import find_run, run_json, run_text
from bannermap.platform.status_text import Overview, as_json, as_text
from bannermap.platform.storage import Warehouse

DAYS_SHOWN = 14


def overview(warehouse: Warehouse, settings: Settings, days_shown: int, options: str = "") -> Overview:
    """The last days of a warehouse; days before them are not judged."""
    schedule = Schedule(settings.monitoring.due_hours, datetime.datetime.now(datetime.UTC))
    facts, problems = gather(warehouse, settings.paths)
    days = days_between(facts, schedule)[-days_shown:]
    timed = with_log_times(facts, warehouse, settings.paths, days)
    known = with_signs_of_life(timed, warehouse, days, settings.claims.heartbeat_s)
    return Overview(warehouse.root, judged(known, days, schedule), problems, options)


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the view; 0 when all is well, else 1."""
    given = [
        w for name, values in (("--config", arguments.config), ("--set", arguments.overrides)) for v in values for w in (name, v)
    ]
    spark = build_session(settings.spark, settings.paths)
    try:
        warehouse = Warehouse(spark, settings.paths.warehouse, read_only=True)
        if arguments.run:
            return show_run(warehouse, arguments.run, settings.claims.heartbeat_s, arguments.json)
        view = overview(warehouse, settings, arguments.days, f" {shlex.join(given)}" if given else "")
    finally:
        spark.stop()
    print(as_json(view) if arguments.json else as_text(view), flush=True)
    return 0 if view.well else 1


def show_run(warehouse: Warehouse, asked: str, heartbeat_s: float, as_program: bool) -> int:
    """Print one run whole; 0 where it succeeded or still runs, else 1."""
    found = find_run(warehouse, asked, heartbeat_s)
    print(run_json(found) if as_program else run_text(found), flush=True)
    return 0 if found["status"] in ("succeeded", State.RUNNING) else 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--days", type=_positive, default=DAYS_SHOWN, help=f"how many of the last days; {DAYS_SHOWN} without")
    parser.add_argument("--run", help="one run: its run_id or the start of it, or JOB/YYYY-MM-DD for the newest of a day")
    parser.add_argument("--json", action="store_true", help="for programs")


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of days; 1 is the least")
    return int(text)


if __name__ == "__main__":
    sys.exit(command_main("status", __doc__, run, add_options))
