"""Fetch, decode and embed what is new; or every image of a folder."""

import sys

from bannermap.embedding.job import FILES, STAGE
from bannermap.platform.cli import Job, main

JOB = Job("embed_banners", "Fetch, decode and embed what is new; or every image of a folder.", [STAGE], FILES)

if __name__ == "__main__":
    sys.exit(main(JOB))
