"""What a search missed, as shares with intervals, from a sample of nodes that was searched exhaustively."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.clustering.neighbours import NeighbourLists
from bannermap.platform.intervals import wilson_bounds


@dataclass(frozen=True)
class Interval:
    """A share and its 95 % interval, all 0 to 1; nan where there was nothing to count."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Audit:
    """Of a sample of nodes.

    Attributes:
        nodes: searched exhaustively.
        recall_at_k: of their exact k nearest, the share that the search has in their lists.
        edge_recall: of their exact edges at or above the first threshold, the share that the graph has (from either end).
        parted_edges: of those edges, the share that the graph lacks and whose ends are in different clusters, or in none.
    """

    nodes: int
    recall_at_k: Interval
    edge_recall: Interval
    parted_edges: Interval


def audited(exact: NeighbourLists, found: NeighbourLists, sample: np.ndarray, cluster_of: np.ndarray, min_cosine: float) -> Audit:
    """Compare lists.

    Args:
        exact: lists of the sampled nodes, exhaustive.
        found: all rows of the search that have a sampled node at one end.
        sample: int64 (m,), ascending.
        cluster_of: int64 (n,), by node; -1 for none.
        min_cosine: first threshold.
    """
    listed = _is_in(exact.src, exact.dst, found.src, found.dst)
    linked = listed | _is_in(exact.src, exact.dst, found.dst, found.src)
    is_edge = exact.cosine.astype(np.float64) >= min_cosine
    together = (cluster_of[exact.src] == cluster_of[exact.dst]) & (cluster_of[exact.src] >= 0)
    at = np.searchsorted(sample, exact.src)

    def per_node(rows: np.ndarray) -> np.ndarray:
        return np.bincount(at[rows], minlength=len(sample))

    edges = per_node(is_edge)
    return Audit(
        nodes=len(sample),
        recall_at_k=share_of(per_node(listed), np.bincount(at, minlength=len(sample))),
        edge_recall=share_of(per_node(is_edge & linked), edges),
        parted_edges=share_of(per_node(is_edge & ~linked & ~together), edges),
    )


def share_of(hits: np.ndarray, totals: np.ndarray) -> Interval:
    """A ratio of sums over sampled nodes.

    What one node misses it often misses together, so nodes and not rows are the draws: the ratio's linearised variance (Cochran
    1977, section 6.3) gives the number of independent rows that would vary as much, and the interval is that of so many draws.
    Where nothing varies, a node counts as one row.

    Args:
        hits: int64 (m,), by node.
        totals: int64 (m,), by node; hits <= totals.
    """
    hits, totals = hits[totals > 0].astype(np.float64), totals[totals > 0].astype(np.float64)
    if not len(totals):
        return Interval(float("nan"), float("nan"), float("nan"))
    rows, share = totals.sum(), hits.sum() / totals.sum()
    nodes = len(totals)
    variance = np.square(hits - share * totals).sum() / rows**2 * nodes / max(nodes - 1, 1)
    draws = min(rows, share * (1.0 - share) / variance) if variance > 0 else float(nodes)
    return Interval(float(share), *wilson_bounds(float(share), float(draws)))


def _is_in(a: np.ndarray, b: np.ndarray, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
    """Which pairs (a, b) are among the pairs (src, dst); node numbers below 2^31 or pairs of them would not fit one number."""
    width = np.int64(max(int(x.max(initial=0)) for x in (a, b, src, dst)) + 1)
    return np.isin(a * width + b, src * width + dst)
