"""Metrics of click predictions, each a ratio of sums over users wherever its definition allows; numpy only.

With y the click (0 or 1) and q the prediction of each impression:

- log loss: mean of -(y ln q + (1 - y) ln(1 - q)), in nats.
- RIG, relative information gain: 1 - log loss / log loss of a constant. Train prior: the constant is the click rate of the
  training rows, which a server would know. Test prior: that of the rows themselves, which makes it an entropy (He et al. 2014,
  normalised entropy, is 1 - RIG in this form).
- AUC: share of pairs of a click and a non-click in which the click has the greater prediction, ties one half.
- grouped AUC: mean of the users' AUC, weighted by impressions (Zhou et al. 2018); users with one class only have none.
- calibration: sum of q over sum of y; 1 is right.
- expected calibration error: bins of equal numbers of impressions by q; mean over impressions of their bin's |mean of q - y|
  (Naeini et al. 2015, with bins of equal mass).
- rank score: half-life utility (Breese et al. 1998): each user's impressions by falling q, a click at rank r (1 the first) counts
  2^(-(r - 1) / (half life - 1)); sum over users over the same sum for the best order. 0 to 1; tied ranks share their mean weight.
"""

from __future__ import annotations

import numpy as np

LEAST_PROBABILITY = 1e-12
"""Predictions are clipped to this distance from 0 and 1: a sure mistake costs 28 nats, not infinitely many."""


def log_losses(clicked: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Log loss of each impression.

    Args:
        clicked: bool or 0/1 (n,).
        predicted: float (n,) or a scalar, probability of a click, 0 to 1.

    Returns:
        float64 (n,), nats, 0 or more.
    """
    q = np.clip(np.asarray(predicted, np.float64), LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return -np.where(np.asarray(clicked, bool), np.log(q), np.log1p(-q))


def entropy(share: np.ndarray) -> np.ndarray:
    """Log loss of always predicting the share of clicks itself; nats, 0 where there is one class only."""
    p = np.asarray(share, np.float64)
    inner = np.clip(p, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return np.where((p <= 0.0) | (p >= 1.0), 0.0, -(inner * np.log(inner) + (1.0 - inner) * np.log1p(-inner)))


def relative_information_gain(log_loss: np.ndarray, prior_log_loss: np.ndarray) -> np.ndarray:
    """1 - log loss / log loss of the prior; nan where the prior is sure, so that nothing could be gained."""
    loss, prior = np.asarray(log_loss, np.float64), np.asarray(prior_log_loss, np.float64)
    return np.where(prior > 0.0, 1.0 - loss / np.where(prior > 0.0, prior, 1.0), np.nan)


def area_under_curve(clicked: np.ndarray, predicted: np.ndarray) -> float:
    """AUC; nan where there is one class only.

    Args:
        clicked: bool (n,).
        predicted: float (n,).
    """
    return float(auc_by_group(np.zeros(len(clicked), np.int64), clicked, predicted, 1)[0])


def auc_by_group(groups: np.ndarray, clicked: np.ndarray, predicted: np.ndarray, count: int) -> np.ndarray:
    """AUC within each group.

    Args:
        groups: int (n,), 0 to ``count`` - 1.
        clicked: bool (n,).
        predicted: float (n,).
        count: groups.

    Returns:
        float64 (count,); nan for a group with one class or none.
    """
    y = np.asarray(clicked, bool)
    rank = mean_ranks(groups, predicted)
    clicks = np.bincount(groups, y, count)
    others = np.bincount(groups, minlength=count) - clicks
    won = np.bincount(groups, np.where(y, rank, 0.0), count) - clicks * (clicks + 1) / 2.0
    pairs = clicks * others
    return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1.0), np.nan)


def mean_ranks(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Rank of each value within its group, 1 the smallest; equal values share the mean of their ranks.

    Returns:
        float64 (n,).
    """
    order = np.lexsort((values, groups))
    new_group = _changes(np.asarray(groups)[order])
    new_tie = new_group | _changes(np.asarray(values)[order])
    place = np.arange(len(order)) - _start_of_run(new_group)
    first = place[new_tie]
    size = np.diff(np.append(np.flatnonzero(new_tie), len(order)))
    ranks = np.empty(len(order), np.float64)
    ranks[order] = np.repeat(first + (size + 1) / 2.0, size)
    return ranks


def half_life_utility(
    groups: np.ndarray, clicked: np.ndarray, predicted: np.ndarray, count: int, half_life: float
) -> tuple[np.ndarray, np.ndarray]:
    """Each group's utility of its order by falling prediction, and of the best order; their sums' ratio is the rank score.

    Args:
        groups: int (n,), 0 to ``count`` - 1.
        clicked: bool (n,).
        predicted: float (n,).
        count: groups.
        half_life: rank at which a click counts half as much as at the first; more than 1.

    Returns:
        float64 (count,) twice.
    """
    y = np.asarray(clicked, bool)
    order = np.lexsort((-np.asarray(predicted, np.float64), groups))
    new_group = _changes(np.asarray(groups)[order])
    new_tie = new_group | _changes(np.asarray(predicted)[order])
    weight = _half_life_weights(np.arange(len(order)) - _start_of_run(new_group), half_life)
    starts = np.flatnonzero(new_tie)
    size = np.diff(np.append(starts, len(order)))
    shared = np.repeat(np.add.reduceat(weight, starts) / size, size) if len(order) else weight
    reached = np.bincount(np.asarray(groups)[order], np.where(y[order], shared, 0.0), count)
    clicks = np.bincount(groups, y, count).astype(np.int64)
    best = np.concatenate([[0.0], np.cumsum(_half_life_weights(np.arange(clicks.max(initial=0)), half_life))])
    return reached, best[clicks]


def equal_mass_bins(predicted: np.ndarray, bins: int) -> np.ndarray:
    """Bin of each impression by its prediction, so that bins hold equal numbers up to ties; equal predictions share a bin.

    Args:
        predicted: float (n,).
        bins: 1 or more.

    Returns:
        int64 (n,), 0 to ``bins`` - 1.
    """
    values = np.sort(predicted)
    first_rank = np.searchsorted(values, predicted, side="left")
    return first_rank * bins // max(len(values), 1)


def expected_calibration_error(gaps: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean over impressions of the bins' absolute gaps.

    Args:
        gaps: float (..., bins), sum of prediction less click in each bin.
        rows: float (...,), impressions in all bins together.
    """
    return np.abs(gaps).sum(axis=-1) / np.asarray(rows, np.float64)


def _half_life_weights(place: np.ndarray, half_life: float) -> np.ndarray:
    return np.exp2(-place / (half_life - 1.0))


def _changes(values: np.ndarray) -> np.ndarray:
    changed = np.ones(len(values), bool)
    changed[1:] = values[1:] != values[:-1]
    return changed


def _start_of_run(new: np.ndarray) -> np.ndarray:
    """Index at which each element's run of one group began."""
    return np.maximum.accumulate(np.where(new, np.arange(len(new)), 0)) if len(new) else np.zeros(0, np.int64)
