"""AUC on many resamples of the same impressions, in which all of a user's impressions occur equally often.

Impressions are put in order once; each resample is then one walk over them, since numpy would gather, split and accumulate
resamples x impressions numbers for what is a sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True)
class Ranked:
    """Impressions by rising prediction.

    Attributes:
        user: int64 (n,), codes from 0.
        clicked: bool (n,).
        new: bool (n,), whether a prediction is greater than the one before.
    """

    user: np.ndarray
    clicked: np.ndarray
    new: np.ndarray


def ranked(user: np.ndarray, clicked: np.ndarray, predicted: np.ndarray) -> Ranked:
    """The impressions in order.

    Args:
        user: int (n,), codes from 0.
        clicked: bool (n,).
        predicted: float (n,), without nan.
    """
    order = np.argsort(predicted, kind="stable")
    values = np.asarray(predicted)[order]
    new = np.concatenate([np.ones(len(values[:1]), bool), values[1:] != values[:-1]])
    return Ranked(np.asarray(user, np.int64)[order], np.asarray(clicked, bool)[order], new)


def areas_under_curve(rows: Ranked, weights: np.ndarray) -> np.ndarray:
    """AUC of each resample, see `metrics`.

    Args:
        rows: in order.
        weights: float64 (resamples, users), how often a resample has each user's impressions. Whole numbers give exact sums.

    Returns:
        float64 (resamples,); nan where one class has no weight.
    """
    return _areas(rows.user, rows.clicked, rows.new, np.ascontiguousarray(weights, np.float64))


@njit(cache=True, nogil=True)
def _areas(user: np.ndarray, clicked: np.ndarray, new: np.ndarray, weights: np.ndarray) -> np.ndarray:
    found = np.empty(len(weights), np.float64)
    for r in range(len(weights)):
        own, won, clicks, others, tied_clicks, tied_others = weights[r], 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(len(user)):
            if new[i]:
                won += tied_clicks * (others + 0.5 * tied_others)
                clicks, others = clicks + tied_clicks, others + tied_others
                tied_clicks = tied_others = 0.0
            if clicked[i]:
                tied_clicks += own[user[i]]
            else:
                tied_others += own[user[i]]
        won += tied_clicks * (others + 0.5 * tied_others)
        pairs = (clicks + tied_clicks) * (others + tied_others)
        found[r] = won / pairs if pairs > 0.0 else np.nan
    return found
