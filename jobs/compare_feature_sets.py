"""Ask of several numbers of clusters and several sets of features whether they help a click model: one table.

For each number of clusters a model of feature_grid.strategy is trained on the pictures known before the first impressions and
applied to every day; features by its clusters are published beside the others, and each set is put through evaluate_features.
"""

import argparse
import datetime
import sys

from bannermap.clustering.lending import cluster_with_thresholds, neighbour_ends, seen_pictures, theme_centroids
from bannermap.experiment import grid, grid_tables
from bannermap.experiment.job import stage
from bannermap.features.backfill import Backfill, backfill_stage
from bannermap.features.counted import counted_events
from bannermap.lab import applying, training
from bannermap.lab.job import Given
from bannermap.lab.models import SavedModel
from bannermap.platform.cli import check_before_start, command_main, run_stage
from bannermap.platform.errors import QualityError
from bannermap.platform.session import build_session
from bannermap.platform.settings import Settings
from bannermap.platform.storage import Warehouse
from bannermap.report.lending import thumbnails

EXTRAS = ("experiment", "lab")  # of pyproject.toml: the launcher installs them
GIVEN = Given(cluster_with_thresholds, neighbour_ends, seen_pictures, theme_centroids, thumbnails)
EVALUATE = stage(counted_events)


def add_options(options: argparse.ArgumentParser) -> None:
    """The day."""
    options.add_argument("--date", type=datetime.date.fromisoformat, required=True, help="last day of impressions, YYYY-MM-DD")


def with_section(settings: Settings, name: str, **values: object) -> Settings:
    """The settings with some values of a section."""
    return settings.model_copy(update={name: getattr(settings, name).model_copy(update=values)})


def to_train(settings: Settings, clusters: int) -> Settings:
    """The settings that a model of so many clusters is trained by."""
    chosen = {"strategy": settings.feature_grid.strategy, "parameters": {"clusters": clusters}}
    return with_section(settings, "lab", train=settings.lab.train.model_copy(update=chosen))


def check(settings: Settings) -> None:
    """What can be known to be wrong before Spark starts, of every model and every experiment.

    Raises:
        ConfigError: something is.
    """
    grid.check_clusters(settings)
    for clusters in settings.feature_grid.clusters:
        check_before_start([training.stage(GIVEN)], to_train(settings, clusters))
    for cell in grid.cells(settings):
        check_before_start([EVALUATE], settings.model_copy(update={"experiment": cell.settings}))


def published(warehouse: Warehouse, settings: Settings, clusters: int, days: list[datetime.date]) -> Settings:
    """Features by a model of so many clusters; the settings that go by it."""
    made: list[SavedModel] = []
    run_stage(training.stage(GIVEN, made.append), warehouse, to_train(settings, clusters), days[0])
    folder = f"{(settings.lab.out or f'{warehouse.root}/lab').rstrip('/')}/models/{made[0].model_id}"
    for day in days:
        run_stage(applying.stage(folder, seen_pictures), warehouse, settings, day)
    own = with_section(settings, "assignment", model_id=made[0].model_id)
    run_stage(backfill_stage(Backfill(days[-1])), warehouse, own, days[0])
    return own


def compare(warehouse: Warehouse, settings: Settings, day: datetime.date) -> list[grid.Line]:
    """All experiments.

    Raises:
        QualityError: one of them leaks; the table is there.
    """
    days, going = grid_tables.days_to_publish(warehouse, day, settings), dict[int, Settings]()
    lines, alarms = list[grid.Line](), dict[str, str]()
    for cell in grid.cells(settings):
        if cell.clusters not in going:
            going[cell.clusters] = published(warehouse, settings, cell.clusters, days)
        own = going[cell.clusters].model_copy(update={"experiment": cell.settings})
        name = f"{cell.clusters} clusters, {cell.name}"
        try:
            run_stage(EVALUATE, warehouse, own, day)
        except QualityError as error:
            alarms[name] = f"{name}: {error}"
        lines += grid_tables.read_lines(warehouse, day, cell, str(own.assignment.model_id), name in alarms)
    grid_tables.write_grid(warehouse, day, settings, lines)
    if alarms:
        raise QualityError(" | ".join(alarms.values()))
    return lines


def run(settings: Settings, given: argparse.Namespace) -> None:
    """Check, then compare."""
    check(settings)
    spark = build_session(settings.spark, settings.paths)
    try:
        compare(Warehouse(spark, settings.paths.warehouse), settings, given.date)
    finally:
        spark.stop()


if __name__ == "__main__":
    sys.exit(command_main("compare_feature_sets", __doc__, run, add_options))
