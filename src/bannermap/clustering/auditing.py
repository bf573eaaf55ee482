"""The audit on Spark: some nodes are searched exhaustively, whatever the search did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.clustering.arrow import batch_of, large_chunks, matrix_of
from bannermap.clustering.audit import Audit, audited
from bannermap.clustering.frames import NEIGHBOUR_ROWS, NODE_VECTORS
from bannermap.clustering.neighbours import NeighbourLists, best_of, make_block, search_block
from bannermap.clustering.search import k_best, smallest, vectors_of
from bannermap.platform.errors import QualityError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.settings import ClusteringSettings

Batches = Iterable[pa.RecordBatch]
BLOCK_ROWS = 8192
"""Candidates that the sample is held against at once."""


def audit_search(
    nodes: DataFrame, rows: DataFrame, rank: np.ndarray, cluster_of: np.ndarray, settings: ClusteringSettings
) -> Audit:
    """What the search missed.

    Args:
        nodes: `NODE_VECTORS`, persisted.
        rows: `NEIGHBOUR_ROWS` of the search.
        rank: int64 (n,), by node; nodes of the smallest are searched. Not the rank that cells were learned by.
        cluster_of: int64 (n,), by node; -1 for none.
        settings: ``audit``, ``k_neighbors`` and ``initial_threshold``.
    """
    sample, vectors = vectors_of(nodes, smallest(rank, settings.audit.sample_rows))
    exact = _lists(k_best(_exhaustive(nodes, sample, vectors, settings.k_neighbors), settings.k_neighbors))
    found = _lists(_touching(rows, sample))
    return audited(exact, found, sample, cluster_of, settings.initial_threshold)


def check_recall(audit: Audit, settings: ClusteringSettings) -> str | None:
    """What to warn of, or None.

    Raises:
        QualityError: too much was missed, and the settings say that nothing is published then.
    """
    least, found = settings.audit.min_recall, audit.edge_recall
    if not found.share < least:
        return None
    text = (
        f"The search found {found.share:.2%} ({found.low:.2%} to {found.high:.2%}) of the edges of {audit.nodes} pictures, "
        f"less than clustering.audit.min_recall {least:.2%}. Raise clustering.cells.probes or rows_per_cell, or set "
        "clustering.search=exact."
    )
    if settings.audit.below_min_recall == "fail":
        raise QualityError(text)
    return text


def _exhaustive(nodes: DataFrame, sample: np.ndarray, vectors: np.ndarray, k: int) -> DataFrame:
    """The k best of each task's nodes for the sample."""
    shared = nodes.sparkSession.sparkContext.broadcast((sample, vectors))

    def search(batches: Batches) -> Iterator[pa.RecordBatch]:
        ids, queries = shared.value
        best = NeighbourLists.none()
        for chunk in large_chunks(batches, BLOCK_ROWS):
            more = search_block(queries, ids, make_block(matrix_of(chunk["vector"]), chunk["node"].to_numpy()), k)
            best = best_of([best, more], k)
        yield batch_of(NEIGHBOUR_ROWS, best.src, best.dst, best.cosine)

    return NODE_VECTORS.select(nodes).mapInArrow(search, NEIGHBOUR_ROWS.schema)


def _touching(rows: DataFrame, sample: np.ndarray) -> DataFrame:
    """Rows with a sampled node at one end."""
    shared = rows.sparkSession.sparkContext.broadcast(sample)

    def keep(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            ends = (np.isin(batch[c].to_numpy(), shared.value) for c in ("src", "dst"))
            yield batch.filter(pa.array(np.logical_or(*ends)))

    return rows.mapInArrow(keep, NEIGHBOUR_ROWS.schema)


def _lists(rows: DataFrame) -> NeighbourLists:
    """Rows on the driver, by src; within one nearest first."""
    table = rows.toArrow()
    order = pc.sort_indices(table, [("src", "ascending"), ("cosine", "descending"), ("dst", "ascending")])
    return NeighbourLists(*(table[c].take(order).to_numpy() for c in NEIGHBOUR_ROWS.columns))
