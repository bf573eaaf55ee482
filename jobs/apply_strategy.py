"""Cluster the pictures known by a day by a model that train_strategy kept; features and report then go by assignment.model_id."""

import argparse
import sys

from bannermap.clustering.lending import seen_pictures
from bannermap.lab.applying import stage
from bannermap.platform.cli import Job, Request, Stage, main
from bannermap.platform.errors import ConfigError


def add_options(parser: argparse.ArgumentParser) -> None:
    """The model."""
    parser.add_argument("--model", metavar="FOLDER", help="folder of a model that train_strategy kept")


def chosen(given: argparse.Namespace) -> Stage:
    """The stage for the model."""
    if not given.model:
        raise ConfigError("apply_strategy needs --model FOLDER: train_strategy says where it put one.")
    return stage(given.model, seen_pictures)


JOB = Job("apply_strategy", "Cluster the pictures known by a day by a saved model.", [], request=Request(add_options, chosen))

if __name__ == "__main__":
    sys.exit(main(JOB))
