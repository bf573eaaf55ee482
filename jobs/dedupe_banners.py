"""A day's banner log into the registry: every banner once, over all days."""

import sys

from bannermap.platform.cli import Job, main
from bannermap.registry.job import STAGE

JOB = Job("dedupe_banners", "A day's banner log into the registry: every banner once, over all days.", [STAGE])

if __name__ == "__main__":
    sys.exit(main(JOB))
