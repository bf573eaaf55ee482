"""Give a day's banners a cluster, or none, by a stored clustering that stays as it is."""

import sys

from bannermap.clustering.assignment_job import STAGE
from bannermap.platform.cli import Job, main

JOB = Job("assign_banners", "Give a day's banners a cluster, or none, by a stored clustering that stays as it is.", [STAGE])

if __name__ == "__main__":
    sys.exit(main(JOB))
