"""Each job, killed while it writes or out of space and run again, or under another clock, leaves the tables of a calm run."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from daily_pipeline import STAGES
from processes import checksums, complete, overlay, start
from repository import ROOT
from troubles import FAKETIME, full_disk, other_clock

from bannermap.platform.cli import run_stage
from bannermap.platform.config import load_settings
from bannermap.platform.settings import SampleSettings
from bannermap.platform.storage import Warehouse
from bannermap.sample.world import FIRST_DAY, write_world

KILLED_AT = {
    "dedupe_banners": ("merge into banners",),
    "embed_banners": (),  # killed more often in test_embedding_kills.py
    "cluster_banners": ("sum components", "write clusters"),
    "build_user_features": (),  # and in test_features_kills.py
    "analyse_clusters": ("count clusters by day",),
    "build_report": ("write the page",),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("killed") / "world"
    write_world(SampleSettings(size="tiny", days=1, seed=3, out=str(out)))
    return out


def kill_in_phase(job: str, phase: str, config: Path, delay_s: float) -> str:
    """What it said until then."""
    process, said = start(job, config, FIRST_DAY), []
    for line in process.stdout:
        said.append(line)
        if phase in line:
            break
    else:
        pytest.fail(f"{job} ended before '{phase}'")
    time.sleep(delay_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return "".join(said)


def out_of_space(job: str, config: Path) -> None:
    with full_disk(20_000):
        process = start(job, config, FIRST_DAY)
    process.communicate()
    assert process.returncode == 1


@pytest.mark.slow
def test_every_job_killed_and_run_again_leaves_the_same_tables(world, spark, tmp_path):
    calm, rough = (overlay(world, tmp_path / name) for name in ("calm", "rough"))
    rng = random.Random(11)
    undisturbed = start("daily_pipeline", calm, FIRST_DAY)
    said = {}
    settings = load_settings(ROOT / "conf/base.yaml", [rough])
    again = Warehouse(spark, settings.paths.warehouse)
    for stage in STAGES:
        for phase in KILLED_AT[stage.name]:
            said[stage.name] = kill_in_phase(stage.name, phase, rough, rng.uniform(0.0, 0.8))
        if stage.name == "embed_banners":
            out_of_space(stage.name, rough)
        if stage.name == "build_user_features" and FAKETIME:
            with other_clock(-3, tmp_path) as modules:
                complete(start(stage.name, rough, FIRST_DAY, modules=modules), rough)
        else:
            run_stage(stage, again, settings, FIRST_DAY)
    complete(undisturbed, calm)
    taken = [line.split(":")[0].split()[-1] for line in said["cluster_banners"].splitlines() if "taken from what" in line]
    assert taken == ["neighbours", "forest"], "the second attempt searches nothing again"
    assert not list((tmp_path / "rough/warehouse/_staging").glob("cluster_banners/*")), "nothing is left aside"
    expected = checksums(spark, tmp_path / "calm")
    assert checksums(spark, tmp_path / "rough") == expected
    assert {"banner_days", "banners", "image_fetches", "embeddings", "cluster_members", "user_features"} <= set(expected)
    cards = [(tmp_path / name / "report/index.html").read_text().split('id="runs"')[0] for name in ("calm", "rough")]
    assert cards[0] == cards[1]
