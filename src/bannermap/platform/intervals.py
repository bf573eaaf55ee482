"""What an observed share is worth."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % on either side."""


def wilson_bounds(share: float, draws: float, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share: where the true one lies in 95 of 100 such samples.

    The bounds are the shares p at which the observed one lies exactly z standard errors away, the error taken at p itself:
    (share - p)^2 = z^2 p (1 - p) / draws. So they stay within 0 and 1, and a share of 0 still has an upper bound, which the usual
    share +- z * error does not. Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212; compared in Newcombe 1998.

    Args:
        share: observed, 0 to 1.
        draws: independent ones it was observed in; more than 0, and need not be whole.
        z: standard errors; `Z_95` for 95 %.

    Returns:
        Lower and upper bound, 0 to 1.
    """
    spread = z * z / draws
    centre = (share + spread / 2) / (1 + spread)
    reach = z / (1 + spread) * math.sqrt(share * (1 - share) / draws + spread / (4 * draws))
    low = 0.0 if share == 0 else max(0.0, centre - reach)
    high = 1.0 if share == 1 else min(1.0, centre + reach)
    return low, high
