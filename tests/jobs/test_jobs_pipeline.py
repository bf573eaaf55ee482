"""The chain over the sample world and what reads its tables: a dry run, the notebook, `assign_banners`; and a folder of one's own
images. One file, since the chain takes minutes and each file has its own."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import assign_banners
import daily_pipeline
import nbformat
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from nbclient import NotebookClient
from pages import data_of
from PIL import Image
from processes import ROOT, checksums, complete, overlay, start

from bannermap.platform.cli import main, run_stage
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    BANNER_ASSIGNMENTS,
    BANNER_DAYS,
    BANNERS,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
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


@pytest.mark.slow
def test_the_command_assigns_a_days_banners_and_adds_one_table(chain, spark, tmp_path):
    settings, warehouse, _ = chain
    shutil.copytree(warehouse.root, tmp_path / "warehouse")
    last = days_of(settings.sample)[-1]
    config = overlay(Path(settings.paths.banner_log).parent, tmp_path)
    first = warehouse.read(CLUSTERINGS).where(f"dt = DATE'{FIRST_DAY}'").head(1)[0]["clustering_id"]
    text = config.read_text()
    config.write_text(f"{text}assignment: {{clustering_id: {first}}}\n")
    before = checksums(spark, tmp_path)
    complete(start("assign_banners", config, last), config)
    after = checksums(spark, tmp_path)
    assert {name: digest for name, digest in after.items() if name != BANNER_ASSIGNMENTS.name} == before
    assigned = Warehouse(spark, str(tmp_path / "warehouse"))
    rows = assigned.read(BANNER_ASSIGNMENTS)
    of_day = assigned.read(BANNER_DAYS).where(f"dt = DATE'{last}'").select("banner_id")
    assert sorted(rows.select("banner_id").collect()) == sorted(of_day.collect())
    assert {(r["dt"], r["clustering_id"]) for r in rows.select("dt", "clustering_id").distinct().collect()} == {(last, first)}
    members = {
        r["banner_id"]: r["cluster_id"] for r in assigned.read(CLUSTER_MEMBERS).where(f"clustering_id = '{first}'").collect()
    }
    found = rows.collect()
    assert all(members[r["banner_id"]] == r["cluster_id"] for r in found if r["reason"] == "member")
    assert {"member", "nearest_picture"} <= {r["reason"] for r in found}
    run = assigned.read(RUNS).where("job = 'assign_banners'").collect()
    assert [(r["status"], r["rows_out"]) for r in run] == [("succeeded", len(found))]


def test_a_name_that_no_clustering_has_ends_before_spark_starts(monkeypatch, capsys):
    monkeypatch.setenv("BANNERMAP_HOME", str(ROOT))
    options = ["--date", str(FIRST_DAY), "--set", "assignment.clustering_id=yesterday"]
    assert main(assign_banners.JOB, options) == 2
    assert "'yesterday' cannot be a clustering" in capsys.readouterr().err
    assert main(assign_banners.JOB, [*options[:3], "assignment.clustering=2026"]) == 2


def outputs_of(name: str, warehouse: Warehouse, monkeypatch) -> list:
    """What the cells of a notebook show over a warehouse; none of them fails."""
    monkeypatch.setenv("BANNERMAP_HOME", str(ROOT))
    monkeypatch.setenv("BANNERMAP_WAREHOUSE", warehouse.root)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    done = NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(ROOT / "notebooks"))
    outputs = [o for cell in done.cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    return [o.get("data", {}) for o in outputs]


@pytest.mark.slow
def test_exploring_clusters_leads_from_tables_to_pictures(chain, monkeypatch):
    shown = outputs_of("01_explore_clusters.ipynb", chain[1], monkeypatch)
    assert sum("data:image/webp;base64," in "".join(d.get("text/html", "")) for d in shown) >= 6
    assert sum("image/png" in d for d in shown) == 2


@pytest.mark.slow
def test_clusters_and_features_answer_in_sql(chain, monkeypatch):
    shown = outputs_of("02_feature_sql.ipynb", chain[1], monkeypatch)
    assert sum("image/png" in d for d in shown) == 2
    tables = ["".join(d["text/html"]) for d in shown if "text/html" in d]
    rows = [text.count("<tr") - 1 for text in tables]
    assert len(tables) == 7 and all(n > 0 for i, n in enumerate(rows) if i != 2), "two days are too few for trends"
