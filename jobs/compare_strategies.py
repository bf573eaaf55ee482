"""Compare ways of clustering on the same pictures, and say which to use and how sure that is; or on a file of vectors."""

import sys

from bannermap.clustering.lending import cluster_with_thresholds, neighbour_ends, seen_pictures, theme_centroids
from bannermap.lab.job import Given, files_mode, stage
from bannermap.platform.cli import Job, main
from bannermap.report.lending import thumbnails

EXTRAS = ("lab",)  # of pyproject.toml: the launcher installs them
GIVEN = Given(cluster_with_thresholds, neighbour_ends, seen_pictures, theme_centroids, thumbnails)
JOB = Job("compare_strategies", "Compare ways of clustering; or on a file.", [stage(GIVEN)], files_mode(GIVEN))

if __name__ == "__main__":
    sys.exit(main(JOB))
