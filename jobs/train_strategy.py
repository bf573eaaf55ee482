"""Train a way of clustering on as much as is configured, and keep it in a folder that predicts new banners by itself."""

import sys

from bannermap.clustering.lending import cluster_with_thresholds, neighbour_ends, seen_pictures, theme_centroids
from bannermap.lab.job import Given
from bannermap.lab.training import stage
from bannermap.platform.cli import Job, main
from bannermap.report.lending import thumbnails

EXTRAS = ("lab",)  # of pyproject.toml: the launcher installs them
GIVEN = Given(cluster_with_thresholds, neighbour_ends, seen_pictures, theme_centroids, thumbnails)
JOB = Job("train_strategy", "Train a way of clustering and keep it in a folder.", [stage(GIVEN)])

if __name__ == "__main__":
    sys.exit(main(JOB))
