"""Neighbour lists on Spark: exhaustive where that is cheap, by cells above; of an earlier day's lists only what is new."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as F

from bannermap.clustering.arrow import batch_of, list_array, matrix_of
from bannermap.clustering.cell_search import asked_cells, cell_neighbour_rows, cell_traffic, learned_centroids
from bannermap.clustering.frames import ASKED_CELLS, NEIGHBOUR_ROWS, NODE_VECTORS
from bannermap.clustering.neighbours import improvements, make_block, search_block
from bannermap.clustering.reduction import REDUCTION_ROWS, Reduction, worthwhile_reduction
from bannermap.clustering.standing import KEPT, NEW, SURPLUS, Standing
from bannermap.platform.checkpoints import Checkpoints

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.settings import ClusteringSettings

Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class Cells:
    """How neighbours are looked for.

    Attributes:
        cells_id: a name that follows from all that decides which candidates are seen, and how many are kept.
        centroids: float32 (c, d), unit length; none where every node is searched against every other.
    """

    cells_id: str
    centroids: np.ndarray | None


@dataclass(frozen=True)
class Kept:
    """What an earlier search left.

    Attributes:
        cells: with which it searched.
        rows: `NEIGHBOUR_ROWS` of all known nodes; `standing.GONE` for what is gone.
        standing: of all nodes.
    """

    cells: Cells
    rows: DataFrame
    standing: Standing


@dataclass(frozen=True)
class Found:
    """Neighbours, and how they were found.

    Attributes:
        rows: `NEIGHBOUR_ROWS`, at most k per src, persisted.
        cells: with which was searched.
        standing: what was kept of an earlier search.
        asked: `ASKED_CELLS`; empty lists where everything was searched.
        cell_rows: int64 (c,), nodes that live in each cell; none where everything was searched.
        distances: pairs that the search looked at, those with the cells left out.
        reduction: what it looked through first.
    """

    rows: DataFrame
    cells: Cells
    standing: Standing
    asked: DataFrame
    cell_rows: np.ndarray | None
    distances: int
    reduction: Reduction | None

    def figures(self) -> dict[str, float]:
        """Metrics of a run: what was searched, and how even the cells are."""
        kind = self.standing.kind
        figures = {"new_pictures": float((kind == NEW).sum()), "searched_pictures": float((kind != KEPT).sum())}
        figures["share_of_all_distances"] = self.distances / len(kind) ** 2
        if self.reduction:
            figures["reduced_dimensions"] = self.reduction.directions.shape[1]
            figures["unexplained_norm"] = self.reduction.unexplained
        if self.cell_rows is not None:
            figures["cells"] = len(self.cell_rows)
            figures |= {f"cell_p{share}": np.percentile(self.cell_rows, share) for share in (10, 50, 90, 100)}
        return {name: float(value) for name, value in figures.items()}


def find_neighbours(
    nodes: DataFrame, rank: np.ndarray, settings: ClusteringSettings, checkpoints: Checkpoints, kept: Kept | None = None
) -> Found:
    """Top-k lists of every node; with kept lists only new nodes are searched, and offered to the others.

    Args:
        nodes: `NODE_VECTORS` and ``cells`` (null for new nodes), persisted.
        rank: int64 (n,), by node; cells are learned on the nodes of the smallest.
        settings: ``search`` and all that it needs.
        checkpoints: where the lists are left.
        kept: of an earlier search; without it all is searched, with cells that are learned now.
    """
    cells = kept.cells if kept else chosen_cells(nodes, rank, settings, checkpoints)
    standing = kept.standing if kept else Standing.nothing_kept(len(rank))
    if len(rank) > settings.block_rows:  # fewer nodes cost little whatever they are
        standing = standing.with_surplus(surplus_nodes(nodes, settings.k_neighbors))

    reduction = search_reduction(nodes, rank, settings)

    def best(rows: DataFrame) -> DataFrame:
        all_rows = rows.unionByName(rows_of(kept.rows, standing.kind == KEPT)) if kept else rows
        return k_best(all_rows, settings.k_neighbors)

    if cells.centroids is None:
        rows = checkpoints.frame("neighbours", lambda: best(_exact_rows(nodes, standing, settings, reduction)))
        asked = ASKED_CELLS.select(nodes.withColumn("cells", F.array().cast("array<int>")))
        return Found(rows, cells, standing, asked, None, _exact_distances(standing), reduction)
    centroids = cells.centroids
    asked = asked_cells(nodes, centroids, settings.cells.probes).persist()
    traffic, count = cell_traffic(asked, standing), len(centroids)
    rows = checkpoints.frame(
        "neighbours", lambda: best(cell_neighbour_rows(nodes, centroids, traffic, standing, settings, reduction))
    )
    return Found(rows, cells, standing, asked, traffic.lives(count), traffic.distances(count), reduction)


def search_reduction(nodes: DataFrame, rank: np.ndarray, settings: ClusteringSettings) -> Reduction | None:
    """Learned on the nodes of the smallest ranks; none where few nodes need none, or where it would not pay."""
    if len(rank) <= settings.block_rows or not settings.reduced_dimensions:
        return None
    return worthwhile_reduction(vectors_of(nodes, smallest(rank, REDUCTION_ROWS))[1], settings.reduced_dimensions)


def _exact_distances(standing: Standing) -> int:
    asks, kind = int(standing.asks.sum()), standing.kind
    return asks * int((kind != SURPLUS).sum()) + (len(kind) - asks) * int((kind == NEW).sum())


def surplus_nodes(nodes: DataFrame, k: int) -> np.ndarray:
    """int64: nodes with more than k equals of smaller number. Those come first in every list, so no list can name the others;
    a million copies of one vector are k + 1 candidates.

    Args:
        nodes: `NODE_VECTORS`.
        k: length of a list.
    """
    lanes = {name: F.xxhash64(F.lit(seed), "vector") for seed, name in enumerate(("a", "b"))}
    place = F.row_number().over(Window.partitionBy("a", "b").orderBy("node")).alias("place")
    ranked = nodes.select("node", *[lane.alias(name) for name, lane in lanes.items()]).select("node", place)
    return ranked.where(F.col("place") > k + 1).select("node").toArrow()["node"].to_numpy()


def rows_of(rows: DataFrame, wanted: np.ndarray) -> DataFrame:
    """Rows whose first column is a wanted node; bool (n,)."""
    shared = rows.sparkSession.sparkContext.broadcast(wanted)

    def keep(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pa.array(shared.value[batch.column(0).to_numpy()]))

    return rows.mapInArrow(keep, rows.schema)


def chosen_cells(nodes: DataFrame, rank: np.ndarray, settings: ClusteringSettings, checkpoints: Checkpoints) -> Cells:
    """Decide how to search, and learn the cells; arguments as of `find_neighbours`."""
    if searches_all(len(rank), settings):
        return Cells(f"exact-{settings.k_neighbors}", None)

    def learn() -> pa.Table:
        sample = vectors_of(nodes, smallest(rank, settings.cells.sample_rows))[1]
        return pa.table({"centroid": list_array(learned_centroids(nodes, len(rank), sample, settings))})

    centroids = matrix_of(checkpoints.table("cells", learn)["centroid"])
    text = hashlib.sha256(centroids.tobytes())
    text.update(str((centroids.shape, settings.cells.probes, settings.k_neighbors)).encode())
    return Cells(f"cells-{text.hexdigest()[:12]}", centroids)


def searches_all(nodes: int, settings: ClusteringSettings) -> bool:
    """Whether so many nodes are searched exhaustively."""
    return settings.search == "exact" or (settings.search == "auto" and nodes <= settings.exact_max_rows)


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


def _exact_rows(nodes: DataFrame, standing: Standing, settings: ClusteringSettings, reduction: Reduction | None) -> DataFrame:
    """Askers against all nodes, and new nodes offered to the others; candidates in one shared block after the other."""
    step, k, found = settings.block_rows, settings.k_neighbors, []
    shared = nodes.sparkSession.sparkContext.broadcast(standing)
    if standing.asks.any():
        candidates = np.flatnonzero(standing.kind != SURPLUS)
        blocks = (candidates[low : low + step] for low in range(0, len(candidates), step))
        found += [_searched(nodes, block, _asking_kernel, shared, k, reduction) for block in blocks]
    if standing.keeps_any:
        new = np.flatnonzero(standing.kind == NEW)
        offered = (new[low : low + step] for low in range(0, len(new), step))
        found += [_searched(nodes, block, _offering_kernel, shared, k) for block in offered]
    rows = found[0] if found else nodes.sparkSession.createDataFrame([], NEIGHBOUR_ROWS.schema)
    for more in found[1:]:
        rows = rows.unionByName(more)
    return rows


def _searched(
    nodes: DataFrame,
    candidates: np.ndarray,
    kernel: Callable[..., Any],
    standing: Any,
    k: int,
    reduction: Reduction | None = None,
) -> DataFrame:
    ids, vectors = vectors_of(nodes, candidates)
    block = nodes.sparkSession.sparkContext.broadcast(make_block(vectors, ids, reduction))
    rows = NODE_VECTORS.select(nodes).mapInArrow(kernel(block, standing, k), NEIGHBOUR_ROWS.schema).persist()
    rows.count()  # now, so that the executors can let go of this block before the next one comes
    block.unpersist()
    return rows


def _asking_kernel(block: Any, standing: Any, k: int) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    def search(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            asking = batch.filter(pa.array(standing.value.asks[batch.column(0).to_numpy()]))
            if asking.num_rows:
                lists = search_block(matrix_of(asking.column(1)), asking.column(0).to_numpy(), block.value, k)
                yield batch_of(NEIGHBOUR_ROWS, lists.src, lists.dst, lists.cosine)

    return search


def _offering_kernel(block: Any, standing: Any, k: int) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    def offer(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            kept = batch.filter(pa.array(standing.value.kind[batch.column(0).to_numpy()] == KEPT))
            if kept.num_rows:
                node = kept.column(0).to_numpy()
                lists = improvements(matrix_of(kept.column(1)), node, standing.value, block.value, k)
                yield batch_of(NEIGHBOUR_ROWS, lists.src, lists.dst, lists.cosine)

    return offer
