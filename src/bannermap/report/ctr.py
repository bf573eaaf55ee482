"""Click rates with what they are worth: an interval around clicks per impression."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % on either side."""


def wilson_interval(clicks: int, impressions: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share: where the true click rate lies in 95 of 100 such samples.

    The bounds are the rates p at which the observed rate lies exactly z standard errors away, the error taken at p itself:
    (c / n - p)^2 = z^2 p (1 - p) / n. So they stay within 0 and 1, and no clicks still give an upper bound, which the usual
    rate +- z * error does not. Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212; compared in Newcombe 1998.

    Args:
        clicks: 0 to ``impressions``.
        impressions: at least 1.
        z: standard errors; `Z_95` for 95 %.

    Returns:
        Lower and upper bound, 0 to 1.

    Raises:
        ValueError: no impressions, or more clicks than impressions.
    """
    if not 0 <= clicks <= impressions or impressions < 1:
        raise ValueError(f"{clicks} clicks of {impressions} impressions have no interval: give 0 <= clicks <= impressions >= 1")
    rate, spread = clicks / impressions, z * z / impressions
    centre = (rate + spread / 2) / (1 + spread)
    reach = z / (1 + spread) * math.sqrt(rate * (1 - rate) / impressions + spread / (4 * impressions))
    low = 0.0 if clicks == 0 else max(0.0, centre - reach)
    high = 1.0 if clicks == impressions else min(1.0, centre + reach)
    return low, high
