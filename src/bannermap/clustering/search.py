"""Neighbour lists on Spark: exhaustive where that is cheap, by cells above."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as F

from bannermap.clustering.arrow import batch_of, matrix_of
from bannermap.clustering.cell_search import cell_neighbour_rows, learned_plan
from bannermap.clustering.cells import CellPlan
from bannermap.clustering.frames import NEIGHBOUR_ROWS, NODE_VECTORS
from bannermap.clustering.neighbours import make_block, search_block

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.settings import ClusteringSettings

Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class Found:
    """Neighbours, and how they were found.

    Attributes:
        rows: `NEIGHBOUR_ROWS`, at most k per src, persisted.
        cells_id: ``exact``, or a hash of the cells and of how many of them are asked.
        plan: of the cells; none where all were searched.
    """

    rows: DataFrame
    cells_id: str
    plan: CellPlan | None


def find_neighbours(nodes: DataFrame, rank: np.ndarray, settings: ClusteringSettings) -> Found:
    """Top-k lists of every node.

    Args:
        nodes: `NODE_VECTORS`, persisted.
        rank: int64 (n,), by node; cells are learned on the nodes of the smallest.
        settings: ``search`` and all that it needs.
    """
    exact = settings.search == "exact" or (settings.search == "auto" and len(rank) <= settings.exact_max_rows)
    if exact:
        return Found(_exact_rows(nodes, len(rank), settings), "exact", None)
    sample = vectors_of(nodes, smallest(rank, settings.cells.sample_rows))[1]
    plan = learned_plan(nodes, len(rank), sample, settings)
    rows = k_best(cell_neighbour_rows(nodes, plan, settings), settings.k_neighbors).persist()
    rows.count()  # now, so that the search is what this phase takes
    return Found(rows, f"cells-{_digest(plan, settings)}", plan)


def smallest(rank: np.ndarray, count: int) -> np.ndarray:
    """int64 (min(count, n),): the nodes of the smallest ranks, ascending."""
    if count >= len(rank):
        return np.arange(len(rank))
    return np.sort(np.lexsort((np.arange(len(rank)), rank))[:count])


def vectors_of(nodes: DataFrame, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some nodes and their vectors, by ascending node: int64 (m,), float32 (m, d)."""
    shared = nodes.sparkSession.sparkContext.broadcast(wanted)

    def keep(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pa.array(np.isin(batch.column(0).to_numpy(), shared.value)))

    found = NODE_VECTORS.select(nodes).mapInArrow(keep, NODE_VECTORS.schema).toArrow()
    node, vectors = found["node"].to_numpy(), matrix_of(found["vector"])
    order = np.argsort(node)
    return node[order], vectors[order]


def k_best(rows: DataFrame, k: int) -> DataFrame:
    """`NEIGHBOUR_ROWS` cut to the k best of each src."""
    rank = F.row_number().over(Window.partitionBy("src").orderBy(F.desc("cosine"), F.asc("dst")))
    return NEIGHBOUR_ROWS.select(rows.withColumn("rank", rank).where(F.col("rank") <= k))


def _digest(plan: CellPlan, settings: ClusteringSettings) -> str:
    text = hashlib.sha256(plan.centroids.tobytes())
    text.update(str((plan.centroids.shape, settings.cells.probes)).encode())
    return text.hexdigest()[:12]


def _exact_rows(nodes: DataFrame, total: int, settings: ClusteringSettings) -> DataFrame:
    """Every task searches its nodes in one shared block of candidates after the other."""
    found = [_searched(nodes, low, settings) for low in range(0, total, settings.block_rows)]
    if len(found) == 1:
        return found[0]
    rows = found[0]
    for more in found[1:]:
        rows = rows.unionByName(more)
    return k_best(rows, settings.k_neighbors).persist()


def _searched(nodes: DataFrame, low: int, settings: ClusteringSettings) -> DataFrame:
    candidates = nodes.where((F.col("node") >= low) & (F.col("node") < low + settings.block_rows)).toArrow()
    block = make_block(matrix_of(candidates["vector"]), candidates["node"].to_numpy())
    shared = nodes.sparkSession.sparkContext.broadcast(block)
    rows = NODE_VECTORS.select(nodes).mapInArrow(_search_kernel(shared, settings.k_neighbors), NEIGHBOUR_ROWS.schema).persist()
    rows.count()  # now, so that the executors can let go of this block before the next one comes
    shared.unpersist()
    return rows


def _search_kernel(shared: Any, k: int) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    def search(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                lists = search_block(matrix_of(batch.column(1)), batch.column(0).to_numpy(), shared.value, k)
                yield batch_of(NEIGHBOUR_ROWS, lists.src, lists.dst, lists.cosine)

    return search
