"""What breaks searches: half of all rows in one cell that no sample can split, of equal vectors or of near ones."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import functions as F
from worlds import nested_groups, unit

from bannermap.clustering.in_process import all_neighbours
from bannermap.clustering.search import find_neighbours
from bannermap.clustering.transforms import numbered_nodes
from bannermap.platform.checkpoints import Checkpoints
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
    found = find_neighbours(numbered(spark, vectors), rank, settings, Checkpoints(spark, None))
    assert found.cell_rows.max() >= 300 if spread else found.cell_rows.sum() <= 300 + 9
    lists = all_neighbours(vectors, settings)
    rows = found.rows.orderBy("src", F.desc("cosine"), "dst").toArrow()
    for column in ("src", "dst", "cosine"):
        assert np.array_equal(rows[column].to_numpy(), getattr(lists, column))


@pytest.mark.parametrize("search", ["cells", "exact"])
def test_any_number_of_equal_vectors_costs_what_k_of_them_cost(search, spark):
    count, k = 20_000, 5
    vectors = np.tile(unit(np.arange(1.0, 5.0)[None]), (count, 1))
    cells = CellSettings(rows_per_cell=64, probes=3, sample_rows=500)
    settings = ClusteringSettings(search=search, cells=cells, k_neighbors=k, block_rows=1000)
    found = find_neighbours(numbered(spark, vectors), np.arange(count), settings, Checkpoints(spark, None))
    assert found.distances == count * (k + 1)
    rows = found.rows.orderBy("src", "dst").toArrow()
    wanted = [[b for b in range(k + 1) if b != a][:k] for a in range(count)]
    assert rows["dst"].to_numpy().reshape(count, k).tolist() == wanted
    assert len(set(rows["cosine"].to_pylist())) == 1
