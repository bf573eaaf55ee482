"""Neighbour lists by cells on Spark: each vector travels to the few tasks that hold the cells it asks.

A task holds at most ``block_rows`` candidates and streams those who ask; the largest cell makes no difference. What travels and
what is answered stands in `cell_exchange`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from bannermap.clustering.arrow import batch_of, large_chunks, list_array, matrix_of
from bannermap.clustering.cell_exchange import QUERY_ROWS, Exchange, answered, exchange_of, sendings
from bannermap.clustering.cells import Block, cell_block, learn_cells, nearest_cells, plan_cells, split_cells
from bannermap.clustering.frames import ASKED_CELLS, CELL_COUNTS, CELL_ROWS, CELL_TRAFFIC, NEIGHBOUR_ROWS, NODE_VECTORS
from bannermap.clustering.reduction import Reduction
from bannermap.clustering.standing import KEPT, NEW, SURPLUS, Standing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.settings import ClusteringSettings

Batches = Iterable[pa.RecordBatch]
SPLIT_ROUNDS = 3
"""Splits of splits; what is then still too full holds vectors that a sample cannot tell apart, and is searched in chunks."""


def learned_centroids(nodes: DataFrame, total: int, sample: np.ndarray, settings: ClusteringSettings) -> np.ndarray:
    """Cells for all nodes: float32 (c, d).

    Args:
        nodes: `NODE_VECTORS`, persisted.
        total: number of nodes.
        sample: float32 (m, d), the vectors to learn on, in an order that follows from their ids.
        settings: ``cells``.
    """
    rows, seed = settings.cells.rows_per_cell, settings.cells.seed
    centroids = learn_cells(sample, -(-total // rows), seed)
    for _ in range(SPLIT_ROUNDS):
        finer = split_cells(centroids, cell_counts(nodes, centroids), sample, rows, seed)
        if len(finer) == len(centroids):
            break
        centroids = finer
    return centroids


def cell_counts(nodes: DataFrame, centroids: np.ndarray) -> np.ndarray:
    """int64 (c,): nodes that live in each cell."""
    shared = nodes.sparkSession.sparkContext.broadcast(centroids)

    def count(batches: Batches) -> Iterator[pa.RecordBatch]:
        cells, found = cell_block(shared.value), np.zeros(len(shared.value), np.int64)
        for chunk in large_chunks(batches, QUERY_ROWS):
            found += np.bincount(nearest_cells(matrix_of(chunk["vector"]), cells, 1).ravel(), minlength=len(found))
        some = np.flatnonzero(found)
        yield batch_of(CELL_COUNTS, some, found[some])

    rows = NODE_VECTORS.select(nodes).mapInArrow(count, CELL_COUNTS.schema).groupBy("cell").agg(F.sum("nodes").alias("nodes"))
    counts = np.zeros(len(centroids), np.int64)
    for row in rows.collect():
        counts[row["cell"]] = row["nodes"]
    return counts


def asked_cells(nodes: DataFrame, centroids: np.ndarray, probes: int) -> DataFrame:
    """`ASKED_CELLS`: as an earlier search left them, found now for new nodes.

    Args:
        nodes: `NODE_VECTORS` and ``cells``.
        centroids: float32 (c, d).
        probes: cells that each asks.
    """
    shared = nodes.sparkSession.sparkContext.broadcast(centroids)

    def find(batches: Batches) -> Iterator[pa.RecordBatch]:
        block = cell_block(shared.value)
        for chunk in large_chunks(batches, QUERY_ROWS):
            yield batch_of(ASKED_CELLS, chunk["node"].to_numpy(), list_array(_asked(chunk, block, probes).astype(np.int32)))

    return nodes.select("node", "cells", "vector").mapInArrow(find, ASKED_CELLS.schema)


def _asked(chunk: pa.Table, block: Block, probes: int) -> np.ndarray:
    """int64 (m, probes): the cells of each row, nearest first."""
    unknown = pc.is_null(chunk["cells"]).to_numpy()
    asked = np.empty((len(unknown), min(probes, len(block.ids))), np.int64)
    if unknown.any():
        asked[unknown] = nearest_cells(matrix_of(chunk["vector"].filter(pa.array(unknown))), block, probes)
    if not unknown.all():
        asked[~unknown] = matrix_of(chunk["cells"].filter(pa.array(~unknown)))
    return asked


@dataclass(frozen=True)
class CellTraffic:
    """How many nodes ask which cell, one entry for each pair of cells and kind that occurs.

    Attributes:
        asked: int64 (p,), cell that is asked.
        home: int64 (p,), cell in which those who ask live.
        kind: int64 (p,), see `standing`.
        nodes: int64 (p,), how many.
    """

    asked: np.ndarray
    home: np.ndarray
    kind: np.ndarray
    nodes: np.ndarray

    def lives(self, cells: int) -> np.ndarray:
        """int64 (cells,): nodes that live in each, as candidates."""
        return self._sum((self.asked == self.home) & (self.kind != SURPLUS), cells)

    def distances(self, cells: int) -> int:
        """Cosines that the search takes: askers with what lives where they ask, new ones with the kept lists' nodes."""
        asks, listens = self._sum(self.kind != KEPT, cells), self._sum(self.kind == KEPT, cells)
        arrived = self._sum((self.asked == self.home) & (self.kind == NEW), cells)
        return int((asks * self.lives(cells) + listens * arrived).sum())

    def _sum(self, rows: np.ndarray, cells: int) -> np.ndarray:
        return np.bincount(self.asked[rows], self.nodes[rows], minlength=cells).astype(np.int64)


def cell_traffic(asked: DataFrame, standing: Standing) -> CellTraffic:
    """Count who asks what.

    Args:
        asked: `ASKED_CELLS`.
        standing: of all nodes.
    """
    shared = asked.sparkSession.sparkContext.broadcast(standing.kind)

    def count(batches: Batches) -> Iterator[pa.RecordBatch]:
        for chunk in large_chunks(batches, 64 * QUERY_ROWS):
            cells = matrix_of(chunk["cells"]).astype(np.int64)
            kind = shared.value[chunk["node"].to_numpy()].astype(np.int64)
            width = int(cells.max()) + 1
            found, nodes = np.unique((kind[:, None] * width + cells[:, :1]) * width + cells, return_counts=True)
            parts = (found % width, found // width % width, found // width**2)
            yield batch_of(CELL_TRAFFIC, *(part.astype(np.int32) for part in parts), nodes.astype(np.int64))

    counted = asked.mapInArrow(count, CELL_TRAFFIC.schema).groupBy("asked", "home", "kind").agg(F.sum("nodes").alias("nodes"))
    table = counted.toArrow()
    return CellTraffic(*(table[c].to_numpy().astype(np.int64) for c in CELL_TRAFFIC.columns))


def cell_neighbour_rows(
    nodes: DataFrame,
    centroids: np.ndarray,
    traffic: CellTraffic,
    standing: Standing,
    settings: ClusteringSettings,
    reduction: Reduction | None = None,
) -> DataFrame:
    """The k best of the cells that each node asks, and what of the new enters kept lists, flat: per asked task, still to be
    cut to k over all of them.

    Args:
        nodes: `NODE_VECTORS` and ``cells``.
        centroids: float32 (c, d).
        traffic: see `cell_traffic`.
        standing: of all nodes.
        settings: ``block_rows``, ``k_neighbors`` and ``cells.probes``.
        reduction: what tasks look through first; the rows are the same.

    Returns:
        `NEIGHBOUR_ROWS`; pairs are distinct.
    """
    plan = plan_cells(centroids, traffic.lives(len(centroids)), settings.block_rows)
    listens = traffic.kind == KEPT
    exchange = exchange_of(plan, standing, traffic.asked[listens], traffic.home[listens], reduction)
    shared = nodes.sparkSession.sparkContext.broadcast(exchange)
    sent = nodes.select("node", "cells", "vector").mapInArrow(_sending_kernel(shared, settings.cells.probes), CELL_ROWS.schema)
    arrived = sent.repartitionById(plan.tasks, "task").sortWithinPartitions("role", "cells", "node")
    return arrived.mapInArrow(_answering_kernel(shared, settings.k_neighbors), NEIGHBOUR_ROWS.schema)


def _sending_kernel(shared: Any, probes: int) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    def send(batches: Batches) -> Iterator[pa.RecordBatch]:
        exchange: Exchange = shared.value
        block = cell_block(exchange.plan.centroids)
        for chunk in large_chunks(batches, QUERY_ROWS):
            vectors = chunk["vector"].combine_chunks()
            yield from sendings(chunk["node"].to_numpy(), vectors, _asked(chunk, block, probes), exchange)

    return send


def _answering_kernel(shared: Any, k: int) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    def answer(batches: Batches) -> Iterator[pa.RecordBatch]:
        yield from answered(batches, shared.value, k)

    return answer
