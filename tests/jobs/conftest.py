"""The chain over the sample world, made once for all tests that look at it."""

from __future__ import annotations

import daily_pipeline
import pytest

from bannermap.platform.cli import run_stage
from bannermap.platform.settings import SampleSettings
from bannermap.platform.storage import Warehouse
from bannermap.sample.world import days_of, write_world


@pytest.fixture(scope="session")
def chain(spark, base_settings, tmp_path_factory):
    """Two days of the tiny world through all stages: settings, warehouse, run rows."""
    home = tmp_path_factory.mktemp("chain")
    sample = SampleSettings(size="tiny", days=2, seed=7, out=str(home / "world"))
    write_world(sample)
    places = {p: str(home / "world" / p) for p in ("banner_log", "event_log", "images")}
    paths = base_settings.paths.model_copy(
        update={**places, "warehouse": str(home / "warehouse"), "report": str(home / "report")}
    )
    settings = base_settings.model_copy(update={"paths": paths, "sample": sample})
    warehouse = Warehouse(spark, str(home / "warehouse"))
    runs = [run_stage(stage, warehouse, settings, day) for day in days_of(sample) for stage in daily_pipeline.STAGES]
    return settings, warehouse, runs
