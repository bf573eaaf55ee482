"""`assign_banners` from its command line: on a copy of the sample world's tables, and with settings that cannot be right."""

from __future__ import annotations

import shutil
from pathlib import Path

import assign_banners
import pytest
from processes import ROOT, checksums, complete, overlay, start

from bannermap.platform.cli import main
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import BANNER_ASSIGNMENTS, BANNER_DAYS, CLUSTER_MEMBERS, CLUSTERINGS, RUNS
from bannermap.sample.world import FIRST_DAY, days_of


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
