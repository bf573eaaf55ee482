"""Paired bootstrap by user: all metrics of several predictions on the same resamples of users.

A user's impressions depend on each other, so users are drawn, not impressions: U of U with replacement, each with all that he
has. Every metric but AUC is a function of sums over users, so a resample is a product of counts and sums; AUC
takes weighted ranks (`resampled_auc`). All predictions see the same draws, which is what makes a difference of two of them
precise.
Source: Efron & Tibshirani 1993, chapter 8 and, for percentile intervals, 13; resampling by user: Owen & Eckles 2012.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bannermap.experiment import metrics as m
from bannermap.experiment.resampled_auc import areas_under_curve, ranked

METRICS = (
    *("log_loss", "rig_train_prior", "rig_test_prior", "auc", "grouped_auc"),
    *("calibration", "expected_calibration_error", "rank_score"),
)
CELLS_PER_CHUNK = 4_000_000
"""Resamples x users held at a time, 8 bytes each and some copies."""


@dataclass(frozen=True)
class Scoring:
    """How predictions are scored.

    Attributes:
        train_click_rate: of the training rows, 0 to 1; the constant of the train-prior RIG.
        half_life: of the rank score, see `metrics`.
        bins: of the expected calibration error.
        replicates: resamples, 0 or more.
        seed: of the draws.
    """

    train_click_rate: float
    half_life: float = 5.0
    bins: int = 10
    replicates: int = 1000
    seed: int = 7


@dataclass(frozen=True)
class Estimate:
    """One metric of one prediction.

    Attributes:
        value: on the rows as they are; nan where it is not defined.
        replicates: float64 (replicates,), on the resamples.
    """

    value: float
    replicates: np.ndarray


@dataclass(frozen=True)
class Difference:
    """A metric of a prediction less that of another on the same rows.

    Attributes:
        value: on the rows as they are.
        low, high: 95 % percentile interval over resamples; nan where none is defined.
        standard_error: standard deviation over resamples.
    """

    value: float
    low: float
    high: float
    standard_error: float


def scored(
    users: np.ndarray, clicked: np.ndarray, predictions: Mapping[str, np.ndarray], scoring: Scoring
) -> dict[str, dict[str, Estimate]]:
    """Every metric of every prediction, on the rows and on resamples of their users.

    Args:
        users: int (n,), any codes; equal codes are one user.
        clicked: bool (n,).
        predictions: name -> float (n,), probability of a click.
        scoring: constants.

    Returns:
        name -> metric of `METRICS` -> estimate.
    """
    _, codes = np.unique(users, return_inverse=True)
    count = int(codes.max(initial=-1)) + 1
    sums = {name: _user_sums(codes, clicked, q, count, scoring) for name, q in predictions.items()}
    rows = {name: ranked(codes, clicked, q) for name, q in predictions.items()}
    values: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in predictions}
    for weights in _weights(count, scoring):
        for name in predictions:
            found = _from_sums(weights @ sums[name], scoring.bins)
            values[name].append({**found, "auc": areas_under_curve(rows[name], weights)})
    joined = {name: {k: np.concatenate([part[k] for part in parts]) for k in METRICS} for name, parts in values.items()}
    return {name: {k: Estimate(float(v[0]), v[1:]) for k, v in found.items()} for name, found in joined.items()}


def difference(variant: Estimate, baseline: Estimate) -> Difference:
    """What the variant has more than the baseline, with its interval; resamples where either is undefined are left out."""
    drawn = variant.replicates - baseline.replicates
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) > 1 else (np.nan, np.nan)
    error = float(np.std(drawn, ddof=1)) if len(drawn) > 1 else float("nan")
    return Difference(variant.value - baseline.value, float(low), float(high), error)


def groups_without_auc(users: np.ndarray, clicked: np.ndarray) -> tuple[int, int]:
    """Users, and those of them who have one class only and so no AUC of their own."""
    _, codes = np.unique(users, return_inverse=True)
    clicks, rows = np.bincount(codes, clicked), np.bincount(codes)
    return len(rows), int(((clicks == 0) | (clicks == rows)).sum())


def _weights(users: int, scoring: Scoring) -> Iterator[np.ndarray]:
    """How often each user is drawn: first the rows as they are, then resamples, in chunks; float64 (resamples, users)."""
    rng = np.random.default_rng([scoring.seed, 21])
    yield np.ones((1, users))
    chunk = max(1, CELLS_PER_CHUNK // max(users, 1))
    for start in range(0, scoring.replicates, chunk):
        draws = min(chunk, scoring.replicates - start)
        yield np.stack([np.bincount(rng.integers(0, users, users), minlength=users) for _ in range(draws)]).astype(np.float64)


def _user_sums(users: np.ndarray, clicked: np.ndarray, predicted: np.ndarray, count: int, scoring: Scoring) -> np.ndarray:
    """float64 (users, 9 + bins): everything that the metrics but AUC are ratios of."""
    y, q = np.asarray(clicked, bool), np.asarray(predicted, np.float64)
    rows = np.bincount(users, minlength=count).astype(np.float64)
    own_auc = m.auc_by_group(users, y, q, count)
    with_auc = np.where(np.isnan(own_auc), 0.0, rows)
    reached, best = m.half_life_utility(users, y, q, count, scoring.half_life)
    losses, prior = m.log_losses(y, q), m.log_losses(y, np.full(len(y), scoring.train_click_rate))
    sums = [rows, *(np.bincount(users, v, count) for v in (y, q, losses, prior))]
    gaps = np.bincount(users * scoring.bins + m.equal_mass_bins(q, scoring.bins), q - y, count * scoring.bins)
    columns = [*sums, with_auc, with_auc * np.nan_to_num(own_auc), reached, best]
    return np.column_stack([*columns, gaps.reshape(count, scoring.bins)])


def _from_sums(sums: np.ndarray, bins: int) -> dict[str, np.ndarray]:
    """Metrics from sums over users, resample by resample.

    Args:
        sums: float64 (resamples, 9 + bins), see `_user_sums`.
        bins: how many.
    """
    rows, clicks, predicted, loss, prior, auc_rows, auc, reached, best = sums[:, :-bins].T
    mean_loss = loss / rows
    return {
        "log_loss": mean_loss,
        "rig_train_prior": m.relative_information_gain(mean_loss, prior / rows),
        "rig_test_prior": m.relative_information_gain(mean_loss, m.entropy(clicks / rows)),
        "grouped_auc": _ratio(auc, auc_rows),
        "calibration": _ratio(predicted, clicks),
        "expected_calibration_error": m.expected_calibration_error(sums[:, -bins:], rows),
        "rank_score": _ratio(reached, best),
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
