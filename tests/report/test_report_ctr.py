"""Wilson's interval against published numbers and against the equation that defines it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannermap.report.ctr import Z_95, wilson_interval


@pytest.mark.parametrize(
    ("clicks", "impressions", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_worked_numbers_of_newcombe_1998(clicks, impressions, low, high):
    assert wilson_interval(clicks, impressions) == pytest.approx((low, high), abs=5e-5)


def bisected(clicks: int, impressions: int, low: float, high: float) -> float:
    """Where |c / n - p| = z sqrt(p (1 - p) / n), between a rate that is inside and one that is outside the interval."""
    rate = clicks / impressions
    for _ in range(200):
        middle = (low + high) / 2
        inside = abs(rate - middle) <= Z_95 * math.sqrt(middle * (1 - middle) / impressions)
        low, high = (middle, high) if inside else (low, middle)
    return low


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_bounds_lie_where_the_score_test_turns(impressions, share):
    clicks = round(share * impressions)
    low, high = wilson_interval(clicks, impressions)
    rate = clicks / impressions
    assert 0 <= low <= rate <= high <= 1
    if clicks:
        assert low == pytest.approx(bisected(clicks, impressions, rate, 0.0), abs=1e-9)
    if clicks < impressions:
        assert high == pytest.approx(bisected(clicks, impressions, rate, 1.0), abs=1e-9)


@given(st.integers(1, 1000), st.integers(0, 1000))
def test_no_click_and_click_change_places(impressions, clicks):
    clicks = min(clicks, impressions)
    low, high = wilson_interval(clicks, impressions)
    assert wilson_interval(impressions - clicks, impressions) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("clicks", "impressions"), [(3, 2), (-1, 5), (0, 0)])
def test_what_is_no_share_has_no_interval(clicks, impressions):
    with pytest.raises(ValueError, match="no interval"):
        wilson_interval(clicks, impressions)
