"""Publish a day's clustering to MongoDB, visible as a whole or not at all."""

import sys

from bannermap.platform.cli import Job, main
from bannermap.publish.job import STAGE

JOB = Job("publish_clusters", "Publish a day's clustering to MongoDB, visible as a whole or not at all.", [STAGE])

if __name__ == "__main__":
    sys.exit(main(JOB))
