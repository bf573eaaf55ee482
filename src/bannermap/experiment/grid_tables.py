"""What a grid of experiments reads from tables, and where it leaves its own."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict

from pyspark.sql import functions as F

from bannermap.experiment.evaluation import ALL, FEATURES
from bannermap.experiment.grid import Cell, Line, as_of_days, lines_of, table
from bannermap.experiment.job import experiment_name
from bannermap.platform.config import settings_hash
from bannermap.platform.errors import InputError
from bannermap.platform.files import write_text
from bannermap.platform.runs import say
from bannermap.platform.settings import Settings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import EVENT_LOG_DAYS, EXPERIMENT_RESULTS, EXPERIMENT_VERDICTS

LEAKS, LEAST_DAYS = "leaks", 3


def days_to_publish(warehouse: Warehouse, last_day: datetime.date, settings: Settings) -> list[datetime.date]:
    """As-of days that the experiments may join.

    Raises:
        InputError: too few days of the event log were taken in.
    """
    rows = warehouse.read(EVENT_LOG_DAYS, "build_user_features").where("complete").select("dt").collect()
    found = as_of_days(last_day, settings.experiment, [r["dt"] for r in rows])
    if len(found) < LEAST_DAYS or found[-1] != last_day:
        raise InputError(
            f"The event log has {len(found)} complete days for an experiment up to {last_day}, and it takes {LEAST_DAYS}, that "
            "day among them: one to count, one to learn from, one to predict. Run build_user_features for these days first."
        )
    return found


def read_lines(warehouse: Warehouse, last_day: datetime.date, cell: Cell, model_id: str, leaks: bool) -> list[Line]:
    """Rows of an experiment that was made.

    Args:
        warehouse: holds its tables.
        last_day: of its impressions.
        cell: which.
        model_id: of the model that made the clusters.
        leaks: whether one of its checks failed.
    """
    name = experiment_name(last_day, cell.settings, model_id)
    mine = (F.col("experiment_id") == name) & (F.col("variant") == FEATURES) & (F.col("slice_kind") == ALL)
    metrics = [r.asDict() for r in warehouse.read(EXPERIMENT_RESULTS).where(mine).collect()]
    verdicts = {r["model"]: r["verdict"] for r in warehouse.read(EXPERIMENT_VERDICTS).where(mine).collect()}
    return lines_of(cell, metrics, dict.fromkeys(verdicts, LEAKS) if leaks else verdicts)


def write_grid(warehouse: Warehouse, last_day: datetime.date, settings: Settings, lines: Sequence[Line]) -> None:
    """table.md and table.json beside the experiments; and the table on the terminal."""
    out = (settings.experiment.out or f"{warehouse.root}/experiment").rstrip("/")
    folder = f"{out}/grid-{last_day}-{settings_hash(settings.feature_grid)[:12]}"
    rows = [{**asdict(line), "cell": [line.cell.clusters, line.cell.name, line.cell.features]} for line in lines]
    write_text(warehouse.spark, f"{folder}/table.json", json.dumps(rows, indent=1))
    write_text(warehouse.spark, f"{folder}/table.md", f"{table(lines)}\n")
    print(f"\n{table(lines)}\n", flush=True)
    say(f"table.md and table.json in {folder}")
