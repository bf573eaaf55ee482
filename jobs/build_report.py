"""The page that people look at, as of a day."""

import sys

from bannermap.platform.cli import Job, main
from bannermap.report.job import STAGE

JOB = Job("build_report", "The page that people look at, as of a day.", [STAGE])

if __name__ == "__main__":
    sys.exit(main(JOB))
