"""The chain over the sample world, a dry run of it, and a folder of one's own images."""

from __future__ import annotations

import datetime

import daily_pipeline
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pages import data_of
from PIL import Image

from bannermap.platform.cli import run_stage
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    BANNERS,
    CLUSTER_MEMBERS,
    CLUSTERS,
    IMAGE_FETCHES,
    NEIGHBOURS,
    RUNS,
    USER_CLUSTER_COUNTS,
    USER_FEATURES,
)
from bannermap.registry.own_images import DAY
from bannermap.sample.summary import summary, truth_agreement
from bannermap.sample.world import FIRST_DAY, days_of


@pytest.mark.slow
def test_the_chain_finds_the_creative_groups_and_counts_every_event(chain, tmp_path):
    settings, warehouse, runs = chain
    last = days_of(settings.sample)[-1]
    found = truth_agreement(warehouse, tmp_path.parent / settings.sample.out, last)
    assert found.b_cubed_f1 > 0.8 and found.b_cubed_precision > 0.95
    text = summary(warehouse, settings, last, runs)
    assert "not_found" in text and "B-cubed" in text
    events = pd.read_parquet(settings.paths.event_log).dropna(subset=["user_id"])
    events = events.sort_values(["event_ts", "user_id", "banner_id"]).drop_duplicates("event_id")
    clicks = warehouse.read(USER_CLUSTER_COUNTS).where(f"dt = DATE'{last}'").toPandas()
    newest = clicks[clicks.revision == clicks.revision.max()]
    for kind in ("request", "impression", "click"):
        assert newest[f"{kind}s_30d"].sum() == (events.event_type == kind).sum()
    report = (tmp_path.parent / settings.paths.report / "index.html").read_text()
    clusters = warehouse.read(CLUSTERS).where(f"clustering_id LIKE '{last}%'").count()
    assert len(data_of(report)["cards"]) == clusters > 0


@pytest.mark.slow
def test_array_features_are_read_by_pandas_and_by_pyarrow_alone(chain):
    _, warehouse, _ = chain
    frame = pd.read_parquet(warehouse.path(USER_FEATURES))
    table = pq.read_table(warehouse.path(USER_FEATURES))
    assert len(frame) == table.num_rows > 0
    assert all(len(r.cluster_ids) == len(r.clicks_30d) == len(r.requests_1d) for r in frame.itertuples())
    assert all(list(ids) == sorted(ids) for ids in frame.cluster_ids)


@pytest.mark.slow
def test_every_run_left_its_row_and_unchanged_lists_are_not_stored_again(chain):
    settings, warehouse, runs = chain
    rows = warehouse.read(RUNS).toPandas()
    assert set(zip(rows.job, rows.dt, strict=True)) == {(r.job, r.dt) for r in runs}
    assert set(rows.status) == {"succeeded"}
    assert all(tuple(r.phase_seconds) == stage.phases for r in runs for stage in daily_pipeline.STAGES if stage.name == r.job)
    assert all(f'"seed": {settings.sample.seed}' in c for c in rows.config_json)
    first, second = (warehouse.read(NEIGHBOURS).where(f"dt = DATE'{d}'") for d in days_of(settings.sample))
    assert first.join(second, ["src", "neighbours"]).isEmpty() and not second.isEmpty()


@pytest.mark.slow
def test_a_clustering_reads_nothing_later_than_its_day(chain):
    settings, warehouse, _ = chain
    before = sorted(map(str, warehouse.read(CLUSTER_MEMBERS).collect()))
    run_stage(daily_pipeline.CLUSTER, warehouse, settings, FIRST_DAY)
    assert sorted(map(str, warehouse.read(CLUSTER_MEMBERS).collect())) == before


@pytest.mark.slow
def test_a_dry_run_reads_and_checks_and_writes_nothing(chain):
    settings, warehouse, _ = chain
    tables = (BANNERS, IMAGE_FETCHES, CLUSTER_MEMBERS, RUNS)
    versions = [warehouse.spark.sql(f"DESCRIBE HISTORY delta.`{warehouse.path(t)}`").count() for t in tables]
    dry = Warehouse(warehouse.spark, warehouse.root, read_only=True)
    for stage in daily_pipeline.STAGES:
        run_stage(stage, dry, settings, FIRST_DAY + datetime.timedelta(days=1))
    assert [warehouse.spark.sql(f"DESCRIBE HISTORY delta.`{warehouse.path(t)}`").count() for t in tables] == versions


@pytest.mark.slow
def test_a_folder_of_images_gives_clusters_and_a_report(spark, base_settings, tmp_path):
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden").write_bytes(b"x")
    for group in range(3):
        cells = np.random.default_rng(group).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = Image.fromarray(cells).resize((120, 90), Image.Resampling.NEAREST)
        for copy, quality in enumerate((95, 60, 40)):
            image.save(folder / "sub" / f"{group}-{copy}.jpg", quality=quality)
    (folder / "notes.txt").write_text("no picture")
    out = tmp_path / "out"
    for _ in range(2):
        daily_pipeline.run_on_images(spark, base_settings, {"images": str(folder), "out": str(out)})
    warehouse = Warehouse(spark, str(out / "warehouse"))
    assert sorted(r["size"] for r in warehouse.read(CLUSTERS).collect()) == [3, 3, 3]
    assert warehouse.read(BANNERS).count() == 10
    assert [r.first_seen_dt for r in warehouse.read(BANNERS).select("first_seen_dt").distinct().collect()] == [DAY]
    page = (out / "report/index.html").read_text()
    assert len(data_of(page)["cards"]) == 3 and "not_an_image" in page
