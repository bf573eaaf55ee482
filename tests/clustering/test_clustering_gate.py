"""The daily job by cells: the clusters of the exhaustive search where all cells are asked, and nothing at all from a poor one."""

from __future__ import annotations

import numpy as np
import pytest
from daily_world import day, growing_world, store

from bannermap.clustering.job import STAGE
from bannermap.platform.cli import run_stage
from bannermap.platform.errors import QualityError
from bannermap.platform.settings import AuditSettings, CellSettings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import CLUSTER_MEMBERS, CLUSTERINGS, NEIGHBOURS, RUNS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings_of(base_settings):
    def changed(**changes):
        rule = {"initial_threshold": 0.7, "k_neighbors": 10, "theme_counts": (2,), **changes}
        clustering = base_settings.clustering.model_copy(update=rule)
        return base_settings.model_copy(update={"clustering": clustering})

    return changed


@pytest.fixture
def warehouse(spark, tmp_path) -> Warehouse:
    made = Warehouse(spark, str(tmp_path))
    store(made, growing_world(np.random.default_rng(1), 1), range(1))
    return made


def groups(warehouse, clustering_id) -> set[frozenset]:
    found: dict[str, set] = {}
    for row in warehouse.read(CLUSTER_MEMBERS).where(f"clustering_id = '{clustering_id}' and not is_outlier").collect():
        found.setdefault(row["cluster_id"], set()).add(row["banner_id"])
    return {frozenset(members) for members in found.values()}


def test_all_cells_asked_give_the_clusters_of_the_exhaustive_search(warehouse, settings_of):
    cells = CellSettings(rows_per_cell=5, probes=1000, sample_rows=50)
    run_stage(STAGE, warehouse, settings_of(search="exact"), day(0))
    run_stage(STAGE, warehouse, settings_of(search="cells", cells=cells), day(0))
    exact, by_cells = sorted(warehouse.read(CLUSTERINGS).collect(), key=lambda r: r["sequence"])
    assert groups(warehouse, exact["clustering_id"]) == groups(warehouse, by_cells["clustering_id"])
    names = {r["cells_id"] for r in warehouse.read(NEIGHBOURS).select("cells_id").distinct().collect()}
    assert any(name.startswith("exact-") for name in names)
    assert any(name.startswith("cells-") for name in names)
    metrics = {r["metrics"].get("edge_recall") for r in warehouse.read(RUNS).collect()}
    assert metrics == {None, 1.0}


def test_a_poor_search_publishes_nothing_and_its_figures_stay(warehouse, settings_of):
    cells = CellSettings(rows_per_cell=2, probes=1, sample_rows=50)
    poor = {"search": "cells", "cells": cells, "audit": AuditSettings(min_recall=1.0)}
    with pytest.raises(QualityError, match=r"less than clustering\.audit\.min_recall"):
        run_stage(STAGE, warehouse, settings_of(**poor), day(0))
    assert not any(warehouse.exists(table) for table in (CLUSTERINGS, CLUSTER_MEMBERS, NEIGHBOURS))
    (run,) = warehouse.read(RUNS).collect()
    assert run["status"] == "failed"
    assert 0.0 < run["metrics"]["edge_recall"] < 1.0
    poor["audit"] = AuditSettings(min_recall=1.0, below_min_recall="warn")
    run_stage(STAGE, warehouse, settings_of(**poor), day(0))
    assert not warehouse.read(CLUSTER_MEMBERS).isEmpty()
