"""Count each user's events per cluster as of a day; or from files."""

import sys

from bannermap.features.job import FILES, STAGE
from bannermap.platform.cli import Job, main

JOB = Job("build_user_features", "Count each user's events per cluster as of a day; or from files.", [STAGE], FILES)

if __name__ == "__main__":
    sys.exit(main(JOB))
