"""The whole chain for a day in one session: dedupe, embed, cluster, user features, analytics, report."""

import sys
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from bannermap.analytics.job import STAGE as ANALYSE
from bannermap.clustering.job import STAGE as CLUSTER
from bannermap.embedding.job import STAGE as EMBED
from bannermap.features.job import STAGE as FEATURES
from bannermap.platform.cli import FileMode, Job, main, run_stage
from bannermap.platform.settings import Settings
from bannermap.platform.storage import Warehouse
from bannermap.registry.job import STAGE as DEDUPE
from bannermap.registry.own_images import DAY, write_log_of_folder
from bannermap.report.job import STAGE as REPORT

STAGES = [DEDUPE, EMBED, CLUSTER, FEATURES, ANALYSE, REPORT]


def run_on_images(spark: SparkSession, settings: Settings, values: Mapping[str, str]) -> None:
    """Clusters and a report for a folder of images: the same stages, without the user features that need events."""
    out = values["out"].rstrip("/")
    images, log = Path(values["images"]).resolve(), f"{out}/banner_log"
    write_log_of_folder(images, Path(log))
    places = {"images": str(images), "banner_log": log, "warehouse": f"{out}/warehouse", "report": f"{out}/report"}
    own = settings.model_copy(update={"paths": settings.paths.model_copy(update=places)})
    warehouse = Warehouse(spark, own.paths.warehouse)
    for stage in (DEDUPE, EMBED, CLUSTER, REPORT):
        run_stage(stage, warehouse, own, DAY)


IMAGES = FileMode(
    {"images": "folder of pictures; clusters and a report without any log"}, run_on_images, default_out="own_images"
)
JOB = Job(
    "daily_pipeline", "The whole chain for a day: dedupe, embed, cluster, user features, analytics, report.", STAGES, IMAGES
)

if __name__ == "__main__":
    sys.exit(main(JOB))
