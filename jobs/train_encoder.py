"""Train a small encoder on drawn banners and a folder of photos, without Spark."""

import sys

from bannermap.platform.cli import command_main
from bannermap.training.command import add_options, run

if __name__ == "__main__":
    sys.exit(command_main("train_encoder", __doc__, run, add_options))
