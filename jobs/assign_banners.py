"""Give a day's banners a cluster, or none, by a stored clustering that stays as it is; or by a model that train_strategy kept."""

import argparse
import sys

from bannermap.clustering.assignment_job import STAGE
from bannermap.clustering.lending import seen_pictures
from bannermap.lab.assigning import stage
from bannermap.platform.cli import Job, Request, main


def add_options(parser: argparse.ArgumentParser) -> None:
    """The model, in place of a clustering."""
    parser.add_argument("--model", metavar="FOLDER", help="folder of a model that train_strategy kept, in place of a clustering")


REQUEST = Request(add_options, lambda given: stage(given.model, seen_pictures) if given.model else STAGE)
JOB = Job("assign_banners", "Give a day's banners a cluster, or none, by a stored clustering or a model.", [], request=REQUEST)

if __name__ == "__main__":
    sys.exit(main(JOB))
