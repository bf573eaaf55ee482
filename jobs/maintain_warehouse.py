"""Remove old clusterings, unused pictures and files of older table versions; make few files of many."""

import sys

from bannermap.platform.cli import Job, main
from bannermap.platform.maintenance import STAGE

JOB = Job("maintain_warehouse", "Remove what is old and unused, and make few files of many; ages count from --date.", [STAGE])

if __name__ == "__main__":
    sys.exit(main(JOB))
