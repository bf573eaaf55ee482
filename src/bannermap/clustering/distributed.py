"""The clustering's steps on Spark.

Tasks hold blocks and ranges of bounded size, never a component, so the size of the largest makes no difference. The driver
holds one number per node: the forest, the order, the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from bannermap.clustering.arrow import batch_of, large_chunks
from bannermap.clustering.duplicates import ALONE
from bannermap.clustering.forest import Edges, edges_at_least, spanning_forest
from bannermap.clustering.frames import NEIGHBOUR_ROWS, NODE_VECTORS, PLACED_VECTORS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.settings import ClusteringSettings

Batches = Iterable[pa.RecordBatch]
Kernel = Callable[[Batches], Iterator[pa.RecordBatch]]
EDGE_ROWS = 1_000_000
"""Edges that a task sorts at once; Arrow batches are sized for images and would be sorted one by one."""
MERGE_WIDTH = 4
"""Forests that one task merges; a wider tree is shallower, a narrower one holds fewer edges per task."""


def forest_of(rows: DataFrame, settings: ClusteringSettings) -> Edges:
    """The maximum spanning forest of the neighbour graph, merged in a tree; each task sends at most its nodes - 1 edges.

    Args:
        rows: `NEIGHBOUR_ROWS`.
        settings: ``first_threshold`` and ``partitions``.
    """
    width = settings.partitions
    edges = rows.repartition(width).mapInArrow(_forest_kernel(settings.first_threshold), NEIGHBOUR_ROWS.schema)
    while width > MERGE_WIDTH:
        width = -(-width // MERGE_WIDTH)
        edges = edges.repartition(width).mapInArrow(_forest_kernel(settings.first_threshold), NEIGHBOUR_ROWS.schema)
    return spanning_forest(_edges(edges.toArrow(), settings.first_threshold))


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
    return rows.repartitionByRange(tasks, "position").sortWithinPartitions("position").persist()


def _forest_kernel(min_cosine: float) -> Kernel:
    """Forest of one task's edges; batches are folded in one by one, so a task holds a forest and a batch."""

    def fold(batches: Batches) -> Iterator[pa.RecordBatch]:
        forest = Edges(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        for chunk in large_chunks(batches, EDGE_ROWS):
            new = _edges(chunk, min_cosine)
            both = (np.concatenate([getattr(forest, c), getattr(new, c)]) for c in ("low", "high", "cosine"))
            forest = spanning_forest(Edges(*both))
        yield batch_of(NEIGHBOUR_ROWS, forest.low, forest.high, forest.cosine)

    return fold


def _edges(rows: pa.Table | pa.RecordBatch, min_cosine: float) -> Edges:
    src, dst, cosine = (rows[c].to_numpy() for c in NEIGHBOUR_ROWS.columns)
    return edges_at_least(src, dst, cosine, min_cosine)
