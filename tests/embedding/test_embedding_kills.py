"""Workers and the driver are killed while images are made: one row per key afterwards, and little is made twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import embed_sample
import pyarrow.parquet as pq
import pytest
import yaml
from embedding_server import Endpoint, Reply
from killing import DAY, Kill, rows_written, run_with_kills, sections, serve_banners, write_pictures
from processes import start
from repository import ROOT

from bannermap.embedding.job import FETCH, STAGE
from bannermap.platform.cli import run_stage
from bannermap.platform.config import load_settings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import LAB_EMBEDDINGS

IMAGES, BATCH = 600, 16
SAMPLE, SMALL_BATCH = 48, 2


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


def staged(home: Path) -> list[str]:
    """Contents of the batches that embed_sample has left aside."""
    files = (home / "warehouse/_staging/embed_sample").rglob("*.parquet")
    return [h for f in files for h in pq.ParquetFile(f).read(["content_hash"]).column(0).to_pylist()]


def killed_with_some_done(home: Path) -> list[str]:
    """Start embed_sample and kill it when it has left a batch aside; what it had left by then."""
    process = start("embed_sample", home / "overlay.yaml", DAY)
    while not staged(home):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return staged(home)


@pytest.mark.slow
def test_a_sample_that_was_killed_is_gone_on_with(spark, endpoint, tmp_path):
    rough, calm = (Warehouse(spark, str(tmp_path / name / "warehouse")) for name in ("rough", "calm"))
    serve_banners(rough, write_pictures(tmp_path / "images", SAMPLE + 12))
    config = sections(tmp_path / "rough", tmp_path / "images", endpoint, SMALL_BATCH) | {"lab": {"sample_rows": SAMPLE}}
    (tmp_path / "rough/overlay.yaml").write_text(yaml.safe_dump(config))
    settings = load_settings(ROOT / "conf/base.yaml", [tmp_path / "rough/overlay.yaml"])
    run_stage(FETCH, rough, settings, DAY)
    shutil.copytree(rough.root, calm.root)
    endpoint.always = Reply(wait_s=0.3)  # so that the kill meets batches on their way
    done = killed_with_some_done(tmp_path / "rough")
    assert 0 < len(done) == len(set(done)) < SAMPLE
    before, endpoint.always = len(endpoint.requests), None
    run_stage(embed_sample.STAGE, Warehouse(spark, rough.root), settings, DAY)
    # Not how many: a request of the killed run may still have been on its way.
    assert len({image for request in endpoint.requests[before:] for image in request["images"]}) == SAMPLE - len(done)
    run_stage(embed_sample.STAGE, calm, settings, DAY)
    written, expected = (sorted(map(str, place.read(LAB_EMBEDDINGS).collect())) for place in (rough, calm))
    assert written == expected and len(written) == SAMPLE
    assert not list((tmp_path / "rough/warehouse/_staging/embed_sample").glob("*")), "nothing is left aside"
