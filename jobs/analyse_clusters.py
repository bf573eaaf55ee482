"""Clusters by day, their trends, tags and audiences, for analysts."""

import sys

from bannermap.analytics.job import STAGE
from bannermap.platform.cli import Job, main

JOB = Job("analyse_clusters", "Clusters by day, their trends, tags and audiences, for analysts.", [STAGE])

if __name__ == "__main__":
    sys.exit(main(JOB))
