"""Whether a rate changed beyond chance: a two-sample test that knows days differ, and control of false discoveries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_P = 1e-15
"""Smaller p-values are told as this: they are differences from 1, and below it only rounding is left."""


@dataclass(frozen=True)
class Test:
    """Tests of many rates at once; arrays of one entry per rate.

    Attributes:
        rate: float64, of the window; NaN without trials.
        rate_before: float64, of the window before.
        dispersion: float64, at least 1.
        degrees_of_freedom: int64, 0 where there are too few days to test.
        p_value: float64, `LEAST_P` to 1; NaN where it cannot be tested.
    """

    __test__ = False  # no test class, whatever pytest makes of its name

    rate: np.ndarray
    rate_before: np.ndarray
    dispersion: np.ndarray
    degrees_of_freedom: np.ndarray
    p_value: np.ndarray


def changed_rates(events: np.ndarray, trials: np.ndarray, events_before: np.ndarray, trials_before: np.ndarray) -> Test:
    """Two-sided tests of equal rates in two windows of days.

    Quasi-likelihood: a day's events vary around rate * trials with phi times the binomial variance. phi is Pearson's statistic
    over days, each around its own window's rate, by its degrees of freedom m - 2 for m days with trials, never less than 1. The
    difference of the rates over its standard error, sqrt(phi p (1 - p) (1 / trials + 1 / trials_before)) with p of both windows
    together, is held against Student's t with m - 2 degrees of freedom, since phi is an estimate. Source: McCullagh and Nelder
    1989, "Generalized Linear Models", 2nd ed., sections 4.5 and 9.2. Days count as independent of each other.

    Args:
        events: float64 (rates, days), at least 0.
        trials: float64 (rates, days) or (1, days); a day without trials is left out.
        events_before: as ``events``, of the window before.
        trials_before: as ``trials``, of the window before.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        now, before = _window(events, trials), _window(events_before, trials_before)
        freedom = np.maximum(now.days + before.days - 2, 0) * ((now.days > 0) & (before.days > 0))
        dispersion = np.maximum(np.where(freedom > 0, (now.pearson + before.pearson) / freedom, 1.0), 1.0)
        pooled = (now.events + before.events) / (now.trials + before.trials)
        variance = dispersion * pooled * (1 - pooled) * (1 / now.trials + 1 / before.trials)
        t = np.where(variance > 0, (now.rate - before.rate) / np.sqrt(variance), 0.0)
        usable = (freedom > 0) & (pooled <= 1) & (now.rate <= 1) & (before.rate <= 1)
        p = np.where(usable, student_t_two_sided(np.where(usable, t, 0.0), np.maximum(freedom, 1)), np.nan)
    return Test(now.rate, before.rate, dispersion, freedom, p)


@dataclass(frozen=True)
class _Window:
    """Sums over the days of a window, one entry per rate."""

    events: np.ndarray
    trials: np.ndarray
    rate: np.ndarray
    days: np.ndarray
    pearson: np.ndarray


def _window(events: np.ndarray, trials: np.ndarray) -> _Window:
    trials = np.broadcast_to(trials, events.shape)
    counts = trials > 0
    kept = np.where(counts, events, 0.0)
    total, of = kept.sum(1), trials.sum(1)
    rate = total / of
    expected = rate[:, None] * trials
    spread = expected * (1 - rate[:, None])
    squares = np.where(counts & (spread > 0), (kept - expected) ** 2 / spread, 0.0)
    return _Window(total, of, rate, counts.sum(1), squares.sum(1))


def student_t_two_sided(t: np.ndarray, degrees_of_freedom: np.ndarray) -> np.ndarray:
    """P(|T| >= |t|) of Student's t with whole degrees of freedom; at least `LEAST_P`.

    Source: Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4: finite sums over powers of the
    cosine of atan(t / sqrt(n)).

    Args:
        t: float64.
        degrees_of_freedom: int64 of the same shape, at least 1.
    """
    angle = np.arctan(np.abs(t) / np.sqrt(degrees_of_freedom))
    inside = np.empty_like(angle)
    for n in np.unique(degrees_of_freedom):
        here = degrees_of_freedom == n
        inside[here] = _odd(angle[here], int(n)) if n % 2 else _even(angle[here], int(n))
    return np.clip(1 - inside, LEAST_P, 1.0)


def _odd(angle: np.ndarray, n: int) -> np.ndarray:
    cosine, total = np.cos(angle), np.zeros_like(angle)
    term = cosine.copy()
    for k in range(1, n - 1, 2):
        total += term
        term *= cosine**2 * (k + 1) / (k + 2)
    return 2 / np.pi * (angle + np.sin(angle) * total)


def _even(angle: np.ndarray, n: int) -> np.ndarray:
    cosine, total = np.cos(angle), np.zeros_like(angle)
    term = np.ones_like(angle)
    for k in range(0, n - 1, 2):
        total += term
        term *= cosine**2 * (k + 1) / (k + 2)
    return np.sin(angle) * total


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """q-values: the least rate of false discoveries at which each hypothesis would be rejected.

    q of the i-th smallest of m p-values is the least of p_j m / j over j >= i. Rejecting all with q <= r keeps the expected share
    of false ones among the rejected within r, for tests that are independent or positively dependent. Source: Benjamini and
    Hochberg 1995, J. R. Stat. Soc. B 57, 289-300.

    Args:
        p_values: float64 (m,); NaN for what was not tested, which counts as no hypothesis.

    Returns:
        float64 (m,), NaN where the p-value is.
    """
    q = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    scaled = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q
