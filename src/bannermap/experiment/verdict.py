"""From a difference and its standard error to words: helps, hurts or can't tell, and how many rows it would take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from bannermap.experiment.bootstrap import Difference

HELPS, HURTS, CANNOT_TELL = "helps", "hurts", "can't tell"
LEVEL = 0.05
POWER = 0.80
LEAST_USERS = 10
"""Resamples of fewer users are too much alike: the standard error is too small, of one user 0, and chance looks certain."""


@dataclass(frozen=True)
class Verdict:
    """What the log loss says.

    Attributes:
        word: `HELPS`, `HURTS` or `CANNOT_TELL`.
        p_value: two-sided, of no difference, times the number of comparisons, at most 1; nan where nothing can be said.
        rows_for_observed: impressions that would tell a difference as large as the one seen, with 80 % power; inf for none.
        rows_for_smallest: the same for the smallest gain that matters; inf where none is defined.
    """

    word: str
    p_value: float
    rows_for_observed: float
    rows_for_smallest: float


def judged(loss: Difference, rows: int, users: int, baseline_loss: float, smallest_gain: float, comparisons: int = 1) -> Verdict:
    """The verdict on a difference of log loss; lower is better.

    It helps, or hurts, where the 95 % interval lies on one side of 0 and the p-value, times the number of comparisons of the same
    family (Bonferroni), is below 0.05: the more one looks at, the more each has to show. Nothing can be said of fewer than
    `LEAST_USERS` users, nor where no resample differs from another.

    Args:
        loss: log loss of the variant less the baseline's.
        rows: impressions that it was seen on.
        users: whose they are.
        baseline_loss: log loss of the baseline, nats.
        smallest_gain: share of the baseline's log loss that is worth having, more than 0.
        comparisons: of the family.
    """
    chance = two_sided_p(loss.value, loss.standard_error)
    if users < LEAST_USERS or math.isnan(chance):
        return Verdict(CANNOT_TELL, math.nan, math.inf, math.inf)
    p_value = min(1.0, comparisons * chance)
    significant = p_value < LEVEL
    word = HELPS if significant and loss.high < 0 else HURTS if significant and loss.low > 0 else CANNOT_TELL
    observed = rows_needed(rows, loss.standard_error, loss.value)
    return Verdict(word, p_value, observed, rows_needed(rows, loss.standard_error, smallest_gain * baseline_loss))


def two_sided_p(value: float, standard_error: float) -> float:
    """Chance of a difference at least as large where there is none, by the normal law; nan with a standard error of 0 or none."""
    if not math.isfinite(standard_error) or not math.isfinite(value) or standard_error == 0.0:
        return math.nan
    return math.erfc(abs(value) / standard_error / math.sqrt(2.0))


def rows_needed(rows: int, standard_error: float, difference: float, level: float = LEVEL, power: float = POWER) -> float:
    """Rows that would show a difference: rows x ((z of the level + z of the power) x standard error / difference)^2.

    A standard error falls with the root of the rows, users growing with them; two-sided level. Source: Cohen 1988, chapter 2.

    Args:
        rows: that the standard error was seen on.
        standard_error: 0 or more.
        difference: to be shown; its sign does not matter.
        level: of the test, two-sided.
        power: chance of showing it.

    Returns:
        Rows, whole; inf for a difference of 0 or where no standard error is known.
    """
    if not difference or not math.isfinite(standard_error) or not math.isfinite(difference):
        return math.inf
    z = NormalDist().inv_cdf(1.0 - level / 2.0) + NormalDist().inv_cdf(power)
    return float(math.ceil(rows * (z * standard_error / difference) ** 2))
