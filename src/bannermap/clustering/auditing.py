"""The audit on Spark: some nodes are searched exhaustively, whatever the search did."""

from __future__ import annotations

import math
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
from bannermap.platform.runs import say

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
        settings: ``audit``, ``k_neighbors`` and ``first_threshold``.
    """
    sample, vectors = vectors_of(nodes, smallest(rank, settings.audit.sample_rows))
    exact = _lists(k_best(_exhaustive(nodes, sample, vectors, settings.k_neighbors), settings.k_neighbors))
    found = _lists(_touching(rows, sample))
    return audited(exact, found, sample, cluster_of, settings.first_threshold)


def search_figures(audit: Audit | None, weakest_link: float) -> dict[str, float]:
    """Metrics of a run: shares and their intervals, where not everything was searched; nothing that could not be counted."""
    figures = {"weakest_link_cosine": weakest_link}
    if audit:
        figures["audited_pictures"] = float(audit.nodes)
        for name in ("recall_at_k", "edge_recall", "parted_edges"):
            interval = getattr(audit, name)
            figures |= {name: interval.share, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {name: value for name, value in figures.items() if not math.isnan(value)}


def check_recall(audit: Audit | None, settings: ClusteringSettings) -> None:
    """Tell of a search that missed too much, or end the job before anything is published.

    Args:
        audit: none where everything was searched.
        settings: ``audit``.

    Raises:
        QualityError: too much was missed, and the settings say that nothing is published then.
    """
    least = settings.audit.min_recall
    if audit is None or not audit.edge_recall.share < least:
        return
    found = audit.edge_recall
    text = (
        f"The search found {found.share:.2%} ({found.low:.2%} to {found.high:.2%}) of the edges of {audit.nodes} pictures, "
        f"less than clustering.audit.min_recall {least:.2%}. Raise clustering.cells.probes or rows_per_cell, or set "
        "clustering.search=exact."
    )
    if settings.audit.below_min_recall == "fail":
        raise QualityError(text)
    say(f"cluster_banners: {text}")


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
