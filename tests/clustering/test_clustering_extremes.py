"""What breaks searches: half of all rows in one cell that no sample can split, of equal vectors or of near ones."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import functions as F
from worlds import nested_groups, unit

from bannermap.clustering.in_process import all_neighbours
from bannermap.clustering.search import find_neighbours
from bannermap.clustering.transforms import numbered_nodes
from bannermap.platform.settings import CellSettings, ClusteringSettings

pytestmark = pytest.mark.slow


def numbered(spark, vectors):
    """Nodes in the order of the rows."""
    rows = [(f"{i:06d}", 1, vector.tolist()) for i, vector in enumerate(vectors)]
    return numbered_nodes(spark.createDataFrame(rows, "node_id string, banners bigint, vector array<float>")).persist()


@pytest.mark.parametrize("spread", [0.0, 0.05], ids=["equal", "near"])
def test_half_of_the_rows_in_one_cell_are_searched_in_chunks_and_exactly(spread, spark):
    rng = np.random.default_rng(7)
    crowd = unit(np.ones((300, 8)) + spread * rng.normal(size=(300, 8)))
    order = rng.permutation(600)
    vectors, is_crowd = np.r_[crowd, nested_groups(rng, 300, 8)][order], order < 300
    rank = np.where(is_crowd, 600, 1) + np.arange(600)
    rank[np.flatnonzero(is_crowd)[0]] = 0
    cells = CellSettings(rows_per_cell=60, probes=1000, sample_rows=9)  # one of the crowd: nothing to split it by
    settings = ClusteringSettings(search="cells", cells=cells, k_neighbors=8, block_rows=64)
    nodes = numbered(spark, vectors).select("node", "vector")
    found = find_neighbours(nodes, rank, settings)
    assert found.plan.counts.max() >= 300
    assert found.plan.chunks.max() >= 5
    lists = all_neighbours(vectors, settings)
    rows = found.rows.orderBy("src", F.desc("cosine"), "dst").toArrow()
    for column in ("src", "dst", "cosine"):
        assert np.array_equal(rows[column].to_numpy(), getattr(lists, column))
