"""Embed the sample that compare_strategies compares on, and no other picture, by the configured encoder: to try one."""

import functools
import sys

from bannermap.clustering.lending import seen_pictures
from bannermap.embedding.sample import sample_stage
from bannermap.lab.sampling import sampled_files
from bannermap.platform.cli import Job, main

STAGE = sample_stage(functools.partial(sampled_files, seen=seen_pictures))
JOB = Job("embed_sample", "Embed the sample of the strategy lab and no other picture.", [STAGE])

if __name__ == "__main__":
    sys.exit(main(JOB))
