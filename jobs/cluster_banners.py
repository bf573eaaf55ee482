"""Cluster the pictures known by a day; or a file of vectors."""

import sys

from bannermap.clustering.job import FILES, STAGE
from bannermap.platform.cli import Job, main

JOB = Job("cluster_banners", "Cluster the pictures known by a day; or a file of vectors.", [STAGE], FILES)

if __name__ == "__main__":
    sys.exit(main(JOB))
