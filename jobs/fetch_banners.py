"""Fetch and decode what is new, and encode nothing: vectors are made of the stored bytes, of a sample or of everything."""

import sys

from bannermap.embedding.job import FETCH
from bannermap.platform.cli import Job, main

JOB = Job("fetch_banners", "Fetch and decode what is new, and encode nothing.", [FETCH])

if __name__ == "__main__":
    sys.exit(main(JOB))
