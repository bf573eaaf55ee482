"""Which of several clusterings of the same rows is better, and whether that can be told: a paired bootstrap.

Rows are drawn with replacement, n of n, the same draws for every candidate; each draw gives every candidate a score. A silhouette
of a row is that of the whole, so that a draw costs a sum; sizes and outliers are those of the draw, and so is which stability
replicates count. Two candidates are tied where the 95 % interval of their difference has 0 in it, or the difference is too
small to matter.

Scores by name:

- stable_silhouette: mean silhouette over all rows, an outlier's being 0, times the mean stability. A cluster that is left out
  gains nothing, as it would by a mean over what is clustered, and noise that is forced into clusters costs.
- silhouette: mean over the rows that are in a cluster.
- composite: see `sizes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bannermap.lab.labels import Coded, coded
from bannermap.lab.sizes import Weights, balance, composite, noise_penalty

INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Scored:
    """One candidate as the bootstrap needs it.

    Attributes:
        name: its name.
        labels: int (n,).
        silhouettes: float64 (n,), see `separation.Silhouette`.
        stability: float64 (r,), see `gates.bootstrap_stability`; counts as 1 where there is none.
    """

    name: str
    labels: np.ndarray
    silhouettes: np.ndarray
    stability: np.ndarray = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Comparison:
    """The leader against another.

    Attributes:
        name: of the other.
        difference: score of the leader less that of the other, on all rows.
        low: of the 95 % percentile interval.
        high: of the interval.
        tied: whether nothing can be told, or nothing that matters.
    """

    name: str
    difference: float
    low: float
    high: float
    tied: bool


@dataclass(frozen=True)
class Recommendation:
    """The outcome.

    Attributes:
        chosen: name of the one with the best score, the first by name at equal ones. None without candidates.
        comparisons: the leader against each other, best first.
        reason: a sentence or two.
    """

    chosen: str | None
    comparisons: tuple[Comparison, ...]
    reason: str


def score(candidate: Scored, by: str, weights: Weights) -> float:
    """A candidate's score on all rows; nan where its silhouette is not defined.

    Args:
        candidate: which.
        by: name of the score.
        weights: of the composite.
    """
    stability = float(candidate.stability.mean()) if len(candidate.stability) else 1.0
    return _score(candidate, coded(candidate.labels), np.ones(len(candidate.labels)), stability, by, weights)


def bootstrap_scores(candidates: Sequence[Scored], by: str, weights: Weights, replicates: int, seed: int) -> np.ndarray:
    """Score of each candidate on the same draws.

    Args:
        candidates: at least one, all of the same n rows.
        by: name of the score.
        weights: of the composite.
        replicates: draws.
        seed: of the draws.

    Returns:
        float64 (candidates, replicates); a candidate without silhouette has nan.
    """
    n = len(candidates[0].labels)
    known = [coded(c.labels) for c in candidates]
    result = np.empty((len(candidates), replicates))
    for number in range(replicates):
        rng = np.random.default_rng([seed, number])
        drawn = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        place = rng.random(max((len(c.stability) for c in candidates), default=0))
        for row, (candidate, found) in enumerate(zip(candidates, known, strict=True)):
            result[row, number] = _score(candidate, found, drawn, _drawn_mean(candidate.stability, place), by, weights)
    return result


def _drawn_mean(values: np.ndarray, place: np.ndarray) -> float:
    """Mean of as many values as there are, drawn with replacement at places from 0 to 1; 1 without values."""
    return float(values[(place[: len(values)] * len(values)).astype(np.int64)].mean()) if len(values) else 1.0


def _score(candidate: Scored, found: Coded, drawn: np.ndarray, stability: float, by: str, weights: Weights) -> float:
    weight = drawn[found.rows]
    total = float((candidate.silhouettes[found.rows] * weight).sum()) if found.clusters > 1 else float("nan")
    if by == "stable_silhouette":
        return total / float(drawn.sum()) * stability
    inside = float(weight.sum())
    mean = total / inside if inside else float("nan")
    if by == "silhouette":
        return mean
    kept = noise_penalty(drawn.sum() - inside, drawn.sum())
    return float(composite(mean, balance(np.bincount(found.codes, weight, found.clusters)), kept, weights))


def recommended(
    candidates: Sequence[Scored], scores: Mapping[str, float], drawn: np.ndarray, smallest_difference: float
) -> Recommendation:
    """Choose, and say how sure that is.

    Args:
        candidates: those that passed the gates.
        scores: name -> score on all rows.
        drawn: see `bootstrap_scores`, of the same candidates in the same order.
        smallest_difference: of scores, that would be worth having.
    """
    if not candidates:
        return Recommendation(None, (), "No clustering passed the gates: none of them says more than chance would.")
    order = sorted(range(len(candidates)), key=lambda i: (-scores[candidates[i].name], candidates[i].name))
    first = order[0]
    leader = candidates[first].name
    others = tuple(
        _compared(candidates[i].name, scores[leader] - scores[candidates[i].name], drawn[first] - drawn[i], smallest_difference)
        for i in order[1:]
    )
    return Recommendation(leader, others, _reason(leader, others, scores))


def _compared(name: str, difference: float, drawn: np.ndarray, smallest: float) -> Comparison:
    low, high = (float(x) for x in np.nanpercentile(drawn, INTERVAL))
    return Comparison(name, difference, low, high, low <= 0.0 <= high or abs(difference) < smallest)


def _reason(leader: str, others: tuple[Comparison, ...], scores: Mapping[str, float]) -> str:
    tied = [c.name for c in others if c.tied]
    text = f"{leader} scores best, {scores[leader]:.3f}"
    if not others:
        return f"{text}, and nothing else passed the gates."
    if tied:
        return f"{text}; {', '.join(tied)} cannot be told from it by resampling, or not by enough to matter: it is a tie."
    near = others[0]
    return (
        f"{text}, {near.difference:.3f} more than {near.name}, the next (95 % interval {near.low:.3f} to {near.high:.3f}), "
        "which is more than resampling the banners explains."
    )
