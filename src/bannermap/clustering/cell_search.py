"""Neighbour lists by cells on Spark: each vector travels to the few tasks that hold the cells it asks.

A task holds at most ``block_rows`` candidates and streams those who ask; the largest cell makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from bannermap.clustering.arrow import batch_of, large_chunks, matrix_of
from bannermap.clustering.cells import CellPlan, cell_block, learn_cells, nearest_cells, plan_cells, split_cells
from bannermap.clustering.frames import CELL_COUNTS, CELL_ROWS, NEIGHBOUR_ROWS, NODE_VECTORS
from bannermap.clustering.neighbours import Block, NeighbourLists, best_of, make_block, search_block

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.settings import ClusteringSettings

Batches = Iterable[pa.RecordBatch]
SPLIT_ROUNDS = 3
"""Splits of splits; what is then still too full holds vectors that a sample cannot tell apart, and is searched in chunks."""
QUERY_ROWS = 4096
"""Askers that a task searches at once; few would waste a matrix product, many its memory."""
HOME, ASKS = 0, 1


def learned_plan(nodes: DataFrame, total: int, sample: np.ndarray, settings: ClusteringSettings) -> CellPlan:
    """Cells of all nodes.

    Args:
        nodes: `NODE_VECTORS`, persisted.
        total: number of nodes.
        sample: float32 (m, d), the vectors to learn on, in an order that follows from their ids.
        settings: ``cells`` and ``block_rows``.
    """
    rows, seed = settings.cells.rows_per_cell, settings.cells.seed
    centroids = learn_cells(sample, -(-total // rows), seed)
    counts = cell_counts(nodes, centroids)
    for _ in range(SPLIT_ROUNDS):
        finer = split_cells(centroids, counts, sample, rows, seed)
        if len(finer) == len(centroids):
            break
        centroids, counts = finer, cell_counts(nodes, finer)
    return plan_cells(centroids, counts, settings.block_rows)


def cell_counts(nodes: DataFrame, centroids: np.ndarray, probes: int = 1) -> np.ndarray:
    """int64 (c,): nodes that ask each cell; with one probe, those that live there."""
    shared = nodes.sparkSession.sparkContext.broadcast(centroids)

    def count(batches: Batches) -> Iterator[pa.RecordBatch]:
        cells, found = cell_block(shared.value), np.zeros(len(shared.value), np.int64)
        for chunk in large_chunks(batches, QUERY_ROWS):
            asked = nearest_cells(matrix_of(chunk["vector"]), cells, probes)
            found += np.bincount(asked.ravel(), minlength=len(found))
        some = np.flatnonzero(found)
        yield batch_of(CELL_COUNTS, some, found[some])

    rows = NODE_VECTORS.select(nodes).mapInArrow(count, CELL_COUNTS.schema).groupBy("cell").agg(F.sum("nodes").alias("nodes"))
    counts = np.zeros(len(centroids), np.int64)
    for row in rows.collect():
        counts[row["cell"]] = row["nodes"]
    return counts


def cell_neighbour_rows(nodes: DataFrame, plan: CellPlan, settings: ClusteringSettings) -> DataFrame:
    """The k best of the cells that each node asks, flat: per asked task, still to be cut to k over all of them.

    Args:
        nodes: `NODE_VECTORS`.
        plan: of `learned_plan`.
        settings: ``k_neighbors`` and ``cells.probes``.

    Returns:
        `NEIGHBOUR_ROWS`; pairs are distinct.
    """
    shared = nodes.sparkSession.sparkContext.broadcast(plan)
    sent = NODE_VECTORS.select(nodes).mapInArrow(_sending_kernel(shared, settings.cells.probes), CELL_ROWS.schema)
    arrived = sent.repartitionById(plan.tasks, "task").sortWithinPartitions("role", "cells", "node")
    return arrived.mapInArrow(_answering_kernel(settings.k_neighbors), NEIGHBOUR_ROWS.schema)


def _sending_kernel(shared: Any, probes: int) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    def send(batches: Batches) -> Iterator[pa.RecordBatch]:
        cells = cell_block(shared.value.centroids)
        for chunk in large_chunks(batches, QUERY_ROWS):
            asked = nearest_cells(matrix_of(chunk["vector"]), cells, probes)
            yield from sendings(chunk["node"].to_numpy(), chunk["vector"].combine_chunks(), asked, shared.value)

    return send


def sendings(node: np.ndarray, vector: pa.Array, cells: np.ndarray, plan: CellPlan) -> Iterator[pa.RecordBatch]:
    """`CELL_ROWS`: one row for each task that holds a cell the node asks; the one that holds the node itself is its home.

    Args:
        node: int64 (m,).
        vector: of each.
        cells: int64 (m, probes), asked cells, nearest first.
        plan: where cells are.
    """
    at, asked = np.repeat(np.arange(len(node)), cells.shape[1]), cells.ravel()
    copies = plan.chunks[asked]
    at, asked, chunk = np.repeat(at, copies), np.repeat(asked, copies), _numbered(copies)
    task = plan.first_task[asked] + chunk
    order = np.lexsort((asked, task, at))
    at, asked, task = at[order], asked[order], task[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(at) != 0) | (np.diff(task) != 0)])
    lists = pa.ListArray.from_arrays(pa.array(np.append(starts, len(at)).astype(np.int32)), pa.array(asked.astype(np.int32)))
    at, task = at[starts], task[starts]
    home = cells[:, 0]
    role = np.where(task == (plan.first_task[home] + node % plan.chunks[home])[at], HOME, ASKS)
    for low in range(0, len(at), QUERY_ROWS):  # a list column of Arrow holds at most 2^31 values
        part = slice(low, low + QUERY_ROWS)
        yield batch_of(
            CELL_ROWS,
            task[part].astype(np.int32),
            role[part].astype(np.int32),
            home[at[part]].astype(np.int32),
            lists[part],
            node[at[part]],
            vector.take(pa.array(at[part])),
        )


def _numbered(copies: np.ndarray) -> np.ndarray:
    """0 .. copies - 1 for each."""
    return np.arange(copies.sum()) - np.repeat(np.cumsum(copies) - copies, copies)


def _answering_kernel(k: int) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    def answer(batches: Batches) -> Iterator[pa.RecordBatch]:
        homes: list[pa.Table] = []
        blocks: dict[int, Block] | None = None
        for chunk in large_chunks(batches, QUERY_ROWS):  # homes come first
            inside = int(pc.sum(pc.equal(chunk["role"], HOME)).as_py())
            homes += [chunk.slice(0, inside)] if inside else []
            if inside < chunk.num_rows:
                if blocks is None:
                    blocks = cell_blocks(homes)
                    yield from (_rows(answers(home, blocks, k)) for home in homes)
                    homes.clear()
                yield _rows(answers(chunk.slice(inside), blocks, k))
        blocks = cell_blocks(homes)
        yield from (_rows(answers(home, blocks, k)) for home in homes)

    return answer


def cell_blocks(homes: list[pa.Table]) -> dict[int, Block]:
    """The candidates of each cell that a task holds; rows of `CELL_ROWS` in their home."""
    if not homes:
        return {}
    cell = np.concatenate([home["home"].to_numpy() for home in homes])
    node = np.concatenate([home["node"].to_numpy() for home in homes])
    vectors = np.concatenate([matrix_of(home["vector"]) for home in homes])
    return {int(c): make_block(vectors[cell == c], node[cell == c]) for c in np.unique(cell)}


def answers(asking: pa.Table, blocks: dict[int, Block], k: int) -> NeighbourLists:
    """The k best of the asked cells that are here, for each row of `CELL_ROWS`."""
    vectors, node = matrix_of(asking["vector"]), asking["node"].to_numpy()
    lists = asking["cells"].combine_chunks()
    row, cell = pc.list_parent_indices(lists).to_numpy(), lists.flatten().to_numpy()
    found = [NeighbourLists.none()]
    for c in np.unique(cell):
        if int(c) in blocks:
            here = row[cell == c]
            found.append(search_block(vectors[here], node[here], blocks[int(c)], k))
    return best_of(found, k)


def _rows(lists: NeighbourLists) -> pa.RecordBatch:
    return batch_of(NEIGHBOUR_ROWS, lists.src, lists.dst, lists.cosine)
