"""Workers and the driver are killed while images are made: one row per key afterwards, and little is made twice."""

from __future__ import annotations

import os
import random

import pytest
from embedding_server import Endpoint
from killing import DAY, Kill, rows_written, run_with_kills, sections, serve_banners, write_pictures
from repository import ROOT

from bannermap.embedding.job import STAGE
from bannermap.platform.cli import run_stage
from bannermap.platform.config import load_settings
from bannermap.platform.storage import Warehouse

IMAGES, BATCH = 600, 16


@pytest.fixture
def endpoint():
    server = Endpoint()
    yield server
    server.close()


@pytest.mark.slow
def test_five_kills_lose_no_row_and_at_most_a_batch_each(spark, endpoint, tmp_path):
    names = write_pictures(tmp_path / "images", IMAGES)
    calm, rough = (Warehouse(spark, str(tmp_path / name / "warehouse")) for name in ("calm", "rough"))
    for warehouse in (calm, rough):
        serve_banners(warehouse, names)
    rng = random.Random(4)
    after = sorted(rng.sample(range(1, int(0.8 * IMAGES / BATCH)), 5))
    kills = [Kill("job" if number == 2 else "worker", requests) for number, requests in enumerate(after)]
    config = sections(tmp_path / "rough", tmp_path / "images", endpoint, BATCH)
    story = run_with_kills(tmp_path / "rough", config, endpoint, kills, rng)
    assert story.kills == {"worker": 4, "job": 1}
    assert story.distinct == IMAGES
    assert story.ended == 1  # the job's own; Spark tries a task again whose worker was killed
    # A worker loses its batch; a run that ends, one for each task that it was running.
    assert story.encoded - story.distinct <= BATCH * (story.kills["worker"] + story.ended * len(os.sched_getaffinity(0)))
    endpoint.always = None
    settings = load_settings(ROOT / "conf/base.yaml", [tmp_path / "rough/overlay.yaml"])
    run_stage(STAGE, calm, settings, DAY)
    assert rows_written(rough) == rows_written(calm)
    assert len(rows_written(rough)["embeddings"]) == IMAGES
    assert not list((tmp_path / "rough/warehouse/_staging/embed_banners").glob("*"))
