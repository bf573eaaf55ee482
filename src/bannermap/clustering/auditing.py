"""The audit on Spark: some nodes are searched exhaustively, whatever the search did."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.clustering.arrow import batch_of, large_chunks, matrix_of
from bannermap.clustering.audit import Audit, Interval, audited, recall_verdict
from bannermap.clustering.frames import ASKED_CELLS, NEIGHBOUR_ROWS, NODE_VECTORS
from bannermap.clustering.neighbours import NeighbourLists, best_of, make_block, search_block
from bannermap.clustering.reduction import Reduction
from bannermap.clustering.search import k_best, rows_of, smallest, vectors_of
from bannermap.platform.errors import QualityError
from bannermap.platform.runs import say

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.settings import ClusteringSettings

Batches = Iterable[pa.RecordBatch]
BLOCK_ROWS = 8192
"""Candidates that the sample is held against at once."""
SHARES = ("recall_at_k", "edge_recall", "parted_edges", "crossing_edges", "wrong_scores")


def audit_search(
    nodes: DataFrame,
    rows: DataFrame,
    rank: np.ndarray,
    cluster_of: np.ndarray,
    settings: ClusteringSettings,
    asked: DataFrame | None = None,
    reduction: Reduction | None = None,
) -> Audit:
    """What the search missed.

    Args:
        nodes: `NODE_VECTORS`, persisted.
        rows: `NEIGHBOUR_ROWS` of the search.
        rank: int64 (n,), by node; nodes of the smallest are searched. Not the rank that cells were learned by.
        cluster_of: int64 (n,), by node; -1 for none.
        settings: ``audit``, ``k_neighbors`` and ``first_threshold``.
        asked: `ASKED_CELLS` of the search; none where there are no cells.
        reduction: what is looked through first.
    """
    sample, vectors = vectors_of(nodes, smallest(rank, settings.audit.sample_rows))
    exact = _lists(k_best(_exhaustive(nodes, sample, vectors, settings.k_neighbors, reduction), settings.k_neighbors))
    found = _lists(_touching(rows, sample))
    home = None if asked is None else _homes(asked, np.union1d(sample, exact.dst), len(rank))
    return audited(exact, found, sample, cluster_of, settings.first_threshold, home)


def search_figures(audit: Audit | None, weakest_link: float) -> dict[str, float]:
    """Metrics of a run: shares and their intervals, where not everything was searched; nothing that could not be counted."""
    figures = {"weakest_link_cosine": weakest_link}
    if audit:
        figures["audited_pictures"] = float(audit.nodes)
        for name in SHARES:
            interval = getattr(audit, name)
            figures |= {name: interval.share, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {name: value for name, value in figures.items() if not math.isnan(value)}


def check_recall(audit: Audit | None, settings: ClusteringSettings) -> None:
    """Tell of a search that missed too much, or end the job before anything is published.

    Args:
        audit: none where everything was searched.
        settings: ``audit``.

    Raises:
        QualityError: scores are wrong; or the sample does not show that enough was found, and the settings say that nothing is
            published then.
    """
    if audit is None:
        return
    if audit.wrong_scores.share > 0:
        raise QualityError(
            f"{audit.wrong_scores.share:.3%} of the neighbours of {audit.nodes} pictures have another cosine in the lists than "
            "their vectors give. Search all anew with --set clustering.rebuild_every_days=1, and report it if it happens again."
        )
    least = settings.audit.min_recall
    verdict, text = recall_verdict(audit.edge_recall, least), _recall_text(audit.nodes, audit.edge_recall, least)
    if verdict == "too little" and settings.audit.below_min_recall == "fail":
        raise QualityError(text)
    if verdict != "enough":
        say(f"cluster_banners: {text}")


def _recall_text(nodes: int, found: Interval, least: float) -> str:
    text = f"The search found {found.share:.2%} ({found.low:.2%} to {found.high:.2%}) of the edges of {nodes} pictures, "
    limit = f"clustering.audit.min_recall {least:.2%}"
    if recall_verdict(found, least) == "cannot tell":
        return f"{text}and so few edges cannot show {limit}. Raise clustering.audit.sample_rows."
    text += f"less than {limit}" if found.share < least else f"too near {limit} to be told from a search below it"
    return f"{text}. Raise clustering.cells.probes or rows_per_cell, or set clustering.search=exact."


def _exhaustive(nodes: DataFrame, sample: np.ndarray, vectors: np.ndarray, k: int, reduction: Reduction | None) -> DataFrame:
    """The k best of each task's nodes for the sample."""
    shared = nodes.sparkSession.sparkContext.broadcast((sample, vectors, reduction))

    def search(batches: Batches) -> Iterator[pa.RecordBatch]:
        ids, queries, reduction = shared.value
        best = NeighbourLists.none()
        for chunk in large_chunks(batches, BLOCK_ROWS):
            block = make_block(matrix_of(chunk["vector"]), chunk["node"].to_numpy(), reduction)
            more = search_block(queries, ids, block, k)
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


def _homes(asked: DataFrame, nodes: np.ndarray, total: int) -> np.ndarray:
    """int64 (n,): the cell that each of some nodes lives in, -1 for others."""
    wanted, home = np.zeros(total, np.bool_), np.full(total, -1, np.int64)
    wanted[nodes] = True
    found = rows_of(ASKED_CELLS.select(asked), wanted).toArrow()
    home[found["node"].to_numpy()] = matrix_of(found["cells"])[:, 0]
    return home


def _lists(rows: DataFrame) -> NeighbourLists:
    """Rows on the driver, by src; within one nearest first."""
    table = rows.toArrow()
    order = pc.sort_indices(table, [("src", "ascending"), ("cosine", "descending"), ("dst", "ascending")])
    return NeighbourLists(*(table[c].take(order).to_numpy() for c in NEIGHBOUR_ROWS.columns))
