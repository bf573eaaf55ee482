"""Draw the sample world: logs, images and the truth, without Spark."""

import sys

from bannermap.platform.cli import config_main
from bannermap.platform.runs import say
from bannermap.platform.settings import Settings
from bannermap.sample.world import write_world


def run(settings: Settings) -> None:
    """Write the world that the sample section describes and say what is in it."""
    drawn = write_world(settings.sample)
    world = f"the {settings.sample.size} world of {settings.sample.days} days in {settings.sample.out}"
    say(f"drew {world}\n{drawn}" if drawn else f"found {world}")


if __name__ == "__main__":
    sys.exit(config_main("sample_world", __doc__, run))
