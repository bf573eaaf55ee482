"""Learn what all vectors of an encoder share, so that strangers score near zero; writes a file for encoder.calibration."""

import argparse
import sys
from pathlib import Path

from bannermap.embedding.calibrating import Request, calibrate, encoder_to_calibrate
from bannermap.platform.cli import command_main
from bannermap.platform.runs import say
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings


def add_options(options: argparse.ArgumentParser) -> None:
    """Where the file goes, how it is learned, and from what."""
    options.add_argument("--out", type=Path, required=True, help="file to write, such as calibration.safetensors")
    options.add_argument("--method", choices=("centre", "whiten"), default="centre", help="centre without")
    options.add_argument("--dimensions", type=int, help="of whitened vectors; as many as there can be without")
    options.add_argument("--vectors", help="Parquet or Delta with a column 'vector'; the stored embeddings without")
    options.add_argument("--rows", type=int, default=20_000, help="most vectors to draw; 20000 without")
    options.add_argument("--seed", type=int, default=0, help="of the draw; 0 without")


def run(settings: Settings, given: argparse.Namespace) -> None:
    """Calibrate and print the figures."""
    request = Request(given.out, given.method, given.dimensions, given.vectors, given.rows, given.seed)
    encoder_id = encoder_to_calibrate(settings)
    spark = build_session(settings.spark, settings.paths)
    try:
        say(calibrate(spark, settings, request, encoder_id))
    finally:
        spark.stop()


if __name__ == "__main__":
    sys.exit(command_main("calibrate_encoder", __doc__, run, add_options))
