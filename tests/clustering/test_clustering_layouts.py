"""The same bytes whatever the partitions, the order of the rows and Spark's planning; more rows, seeds and layouts in
`bench_layouts`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from layouts import digests, six_layouts
from worlds import duplicates, nested_groups

from bannermap.clustering.arrow import list_array
from bannermap.platform.settings import CellSettings, ClusteringSettings

DIMENSIONS = 64


@pytest.mark.slow
def test_labels_and_ids_by_cells_are_the_same_bytes_in_every_layout(spark, tmp_path):
    rng = np.random.default_rng(2)
    vectors = np.r_[nested_groups(rng, 2000, DIMENSIONS), duplicates(rng, 400, DIMENSIONS)]
    names = pa.array([f"{x:08x}" for x in rng.permutation(10**6)[: len(vectors)]])
    pq.write_table(pa.table({"node_id": names, "vector": list_array(vectors)}), tmp_path / "rows.parquet")
    rows = spark.read.parquet(str(tmp_path))
    cells = CellSettings(rows_per_cell=80, probes=4, sample_rows=2000)
    settings = ClusteringSettings(search="cells", cells=cells, k_neighbors=10, block_rows=2048)
    first, *others = [digests(spark, rows, layout, settings) for layout in six_layouts(2)[:3]]
    for other in others:
        assert other == first
    assert first.clusters > 20, "or little is shown"
