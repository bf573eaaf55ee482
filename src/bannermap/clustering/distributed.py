"""The clustering's steps on Spark.

Tasks hold blocks and ranges of bounded size, never a component, so the size of the largest makes no difference. The driver
holds one number per node: the forest, the order, the counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel

from bannermap.clustering.arrow import batch_of
from bannermap.clustering.duplicates import ALONE
from bannermap.clustering.forest import Edges, edges_at_least
from bannermap.clustering.frames import NEIGHBOUR_ROWS, NODE_VECTORS, PLACED_VECTORS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Batches = Iterable[pa.RecordBatch]


def duplicate_pairs(rows: DataFrame, duplicate_of: np.ndarray, min_cosine: float) -> DataFrame:
    """Edges inside duplicate sets, each once with its smaller node first.

    Args:
        rows: `NEIGHBOUR_ROWS`.
        duplicate_of: int64 (n,), by node, see `duplicates.duplicate_sets`.
        min_cosine: -1 to 1.

    Returns:
        `NEIGHBOUR_ROWS`.
    """
    shared = rows.sparkSession.sparkContext.broadcast(duplicate_of)

    def keep(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            edges = _edges(batch, min_cosine)
            inside = (shared.value[edges.low] == shared.value[edges.high]) & (shared.value[edges.low] != ALONE)
            yield batch_of(NEIGHBOUR_ROWS, edges.low[inside], edges.high[inside], edges.cosine[inside])

    return rows.mapInArrow(keep, NEIGHBOUR_ROWS.schema).dropDuplicates(["src", "dst"])


def placed(nodes: DataFrame, position: np.ndarray, rows_per_task: int) -> DataFrame:
    """Vectors in the hierarchy's order: each task a range of positions, of about ``rows_per_task`` rows.

    Args:
        nodes: `NODE_VECTORS`.
        position: int64 (n,), by node.
        rows_per_task: bounds the memory of the tasks that read the result.

    Returns:
        `PLACED_VECTORS`, range-partitioned and sorted, persisted.
    """
    shared = nodes.sparkSession.sparkContext.broadcast(position)

    def place(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            node = batch.column(0).to_numpy()
            yield batch_of(PLACED_VECTORS, shared.value[node], node, batch.column(1))

    tasks = max(1, -(-len(position) // rows_per_task))
    rows = NODE_VECTORS.select(nodes).mapInArrow(place, PLACED_VECTORS.schema)
    return rows.repartitionByRange(tasks, "position").sortWithinPartitions("position").persist(StorageLevel.DISK_ONLY)


def _edges(rows: pa.Table | pa.RecordBatch, min_cosine: float) -> Edges:
    src, dst, cosine = (rows[c].to_numpy() for c in NEIGHBOUR_ROWS.columns)
    return edges_at_least(src, dst, cosine, min_cosine)
