"""Click rates with what they are worth: an interval around clicks per impression."""

from __future__ import annotations

from bannermap.platform.intervals import Z_95, wilson_bounds


def wilson_interval(clicks: int, impressions: int, z: float = Z_95) -> tuple[float, float]:
    """Where the true click rate lies in 95 of 100 such samples, see `platform.intervals`.

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
    return wilson_bounds(clicks / impressions, impressions, z)
