"""What a search missed, as shares with intervals, from a sample of nodes that was searched exhaustively."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bannermap.clustering.neighbours import NeighbourLists
from bannermap.platform.intervals import wilson_bounds

STANDARD_ERRORS = 3.0
"""Between a search that passes and min_recall: of those that just miss it, about 1 in 700 passes, whatever the sample's size."""
Verdict = Literal["enough", "too little", "cannot tell"]


@dataclass(frozen=True)
class Interval:
    """A share and its 95 % interval, all 0 to 1; nan where there was nothing to count.

    Attributes:
        share: of the sample.
        low: end of the interval.
        high: end of the interval.
        draws: independent rows that would vary as much; infinite where all nodes were sampled.
    """

    share: float
    low: float
    high: float
    draws: float


NOTHING = Interval(math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Audit:
    """Of a sample of nodes.

    Attributes:
        nodes: searched exhaustively.
        recall_at_k: of their exact k nearest, the share that the search has in their lists.
        edge_recall: of their exact edges at or above the first threshold, the share that the graph has (from either end).
        parted_edges: of those edges, the share that the graph lacks and whose ends are in different clusters, or in none.
        crossing_edges: of those edges, the share whose ends live in different cells: found only by asking more than one.
        wrong_scores: of the search's rows that can be judged, the share with another cosine than the exact one.
    """

    nodes: int
    recall_at_k: Interval
    edge_recall: Interval
    parted_edges: Interval
    crossing_edges: Interval
    wrong_scores: Interval


def audited(
    exact: NeighbourLists,
    found: NeighbourLists,
    sample: np.ndarray,
    cluster_of: np.ndarray,
    min_cosine: float,
    home: np.ndarray | None = None,
) -> Audit:
    """Compare lists.

    Args:
        exact: lists of the sampled nodes, exhaustive.
        found: all rows of the search that have a sampled node at one end.
        sample: int64 (m,), ascending.
        cluster_of: int64 (n,), by node; -1 for none.
        min_cosine: first threshold.
        home: int64 (n,), the cell that each node of ``exact`` lives in; none where there are no cells.
    """
    sides = _judged(exact, found.src, found.dst, found.cosine), _judged(exact, found.dst, found.src, found.cosine)
    linked, is_edge = sides[0].held | sides[1].held, exact.cosine.astype(np.float64) >= min_cosine
    together = (cluster_of[exact.src] == cluster_of[exact.dst]) & (cluster_of[exact.src] >= 0)

    def share(hits: np.ndarray, of: np.ndarray) -> Interval:
        counts = [np.bincount(np.searchsorted(sample, nodes), minlength=len(sample)) for nodes in (hits, of)]
        return share_of(counts[0], counts[1], len(sample) / len(cluster_of))

    edges = exact.src[is_edge]
    return Audit(
        nodes=len(sample),
        recall_at_k=share(exact.src[sides[0].held], exact.src),
        edge_recall=share(exact.src[is_edge & linked], edges),
        parted_edges=share(exact.src[is_edge & ~linked & ~together], edges),
        crossing_edges=NOTHING if home is None else share(exact.src[is_edge & (home[exact.src] != home[exact.dst])], edges),
        wrong_scores=share(*(np.concatenate([getattr(side, name) for side in sides]) for name in ("wrong", "judged"))),
    )


def recall_verdict(found: Interval, least: float) -> Verdict:
    """Whether a sample shows that a search found enough.

    A share just above ``least`` shows nothing: a search below it has such samples too. So the share passes that `STANDARD_ERRORS`
    put above ``least``, and a smaller sample asks for more. Where not even a search that missed nothing could pass, only the
    share itself decides.

    Args:
        found: edge recall.
        least: 0 to 1.
    """
    if math.isnan(found.share) or wilson_bounds(found.share, found.draws, STANDARD_ERRORS)[0] >= least:
        return "enough"
    if found.share < least:
        return "too little"
    return "too little" if wilson_bounds(1.0, found.draws, STANDARD_ERRORS)[0] >= least else "cannot tell"


def share_of(hits: np.ndarray, totals: np.ndarray, drawn: float = 0.0) -> Interval:
    """A ratio of sums over sampled nodes.

    What one node misses it often misses together, so nodes and not rows are the draws: the ratio's linearised variance (Cochran
    1977, section 6.3) gives the number of independent rows that would vary as much, and the interval is that of so many draws.
    Where nothing varies, a node counts as one row. Nodes are drawn without putting back, so the more of all were drawn, the less
    is left unknown (Cochran, section 2.6).

    Args:
        hits: int64 (m,), by node.
        totals: int64 (m,), by node; hits <= totals.
        drawn: share of all nodes that was drawn, 0 to 1.
    """
    hits, totals = hits[totals > 0].astype(np.float64), totals[totals > 0].astype(np.float64)
    if not len(totals):
        return NOTHING
    rows, share = totals.sum(), hits.sum() / totals.sum()
    nodes = len(totals)
    variance = np.square(hits - share * totals).sum() / rows**2 * nodes / max(nodes - 1, 1)
    draws = min(rows, share * (1.0 - share) / variance) if variance > 0 else float(nodes)
    draws = float(draws) / (1.0 - drawn) if drawn < 1.0 else math.inf
    return Interval(float(share), *wilson_bounds(float(share), draws), draws)


@dataclass(frozen=True)
class _Judged:
    """What the rows of a search say about exact lists, seen from one end.

    Attributes:
        held: bool (r,), which exact pairs the search has.
        judged: int64 (j,), the sampled end of each row that can be judged.
        wrong: int64 (w,), that of each row with a wrong score.
    """

    held: np.ndarray
    judged: np.ndarray
    wrong: np.ndarray


def _judged(exact: NeighbourLists, node: np.ndarray, other: np.ndarray, cosine: np.ndarray) -> _Judged:
    """A row is judged where the exact list has its pair, or where it claims a cosine above the end of a list that lacks it."""
    held = np.zeros(len(exact.src), np.bool_)
    if not len(exact.src):
        return _Judged(held, node[:0], node[:0])
    at, has = _row_of(exact, node, other)
    held[at[has]] = True
    lists = np.flatnonzero(np.r_[exact.src[1:] != exact.src[:-1], True])
    mine = np.searchsorted(exact.src[lists], node).clip(max=len(lists) - 1)
    beyond = ~has & (exact.src[lists[mine]] == node) & ~(cosine <= exact.cosine[lists[mine]])
    return _Judged(held, node[has | beyond], node[beyond | (has & (cosine != exact.cosine[at]))])


def _row_of(exact: NeighbourLists, node: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The exact row of each pair, and whether there is one; node numbers below 2^31 or pairs of them would not fit one number."""
    width = np.int64(max(int(x.max(initial=0)) for x in (exact.src, exact.dst, node, other)) + 1)
    keys = exact.src * width + exact.dst
    order = np.argsort(keys)
    place = np.searchsorted(keys, node * width + other, sorter=order).clip(max=len(keys) - 1)
    at = order[place]
    return at, keys[at] == node * width + other
