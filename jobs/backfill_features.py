"""Publish user features of a range of days from the counts that were taken in, in one pass."""

import argparse
import datetime
import sys

from bannermap.features.backfill import Backfill, backfill_stage
from bannermap.platform.cli import Job, Request, Stage, main
from bannermap.platform.errors import ConfigError


def add_options(options: argparse.ArgumentParser) -> None:
    """Where the range ends, and what is written again."""
    options.add_argument("--until", type=datetime.date.fromisoformat, help="last as-of day, YYYY-MM-DD; --date is the first")
    options.add_argument("--rewrite", action="store_true", help="also write again what is published from equal inputs")


def stage(arguments: argparse.Namespace) -> Stage:
    """The stage that the options ask for."""
    if arguments.until is None:
        raise ConfigError("backfill_features needs --until YYYY-MM-DD: the last as-of day; --date is the first.")
    if arguments.date and arguments.until < arguments.date:
        raise ConfigError(f"--until {arguments.until} lies before --date {arguments.date}: it is the last as-of day.")
    return backfill_stage(Backfill(arguments.until, arguments.rewrite))


JOB = Job("backfill_features", "Publish user features of a range of days.", [], request=Request(add_options, stage))

if __name__ == "__main__":
    sys.exit(main(JOB))
