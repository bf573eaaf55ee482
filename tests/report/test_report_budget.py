"""How many pictures fit, against counting them naively."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bannermap.report.budget import SHRINKS, plan, rounds_that_fit

NAMES = st.sampled_from("abcdefghij")
PAGES = st.lists(st.lists(st.lists(NAMES, max_size=5, unique=True), max_size=4), max_size=3)


def bytes_of(wanted, weight, rounds) -> int:
    return sum(weight[p] for page in wanted for p in {p for pictures in page for p in pictures[:rounds]})


@given(PAGES, st.lists(st.integers(0, 50), min_size=10, max_size=10), st.integers(0, 800))
def test_the_largest_number_of_rounds_that_fits(wanted, weights, room):
    weight = dict(zip("abcdefghij", weights, strict=True))
    found = rounds_that_fit(wanted, weight, room)
    most = max((len(pictures) for page in wanted for pictures in page), default=0)
    assert found == max(r for r in range(most + 1) if r == 0 or bytes_of(wanted, weight, r) <= room)


@given(st.integers(0, 20_000), st.integers(16, 512), st.integers(1, 40), st.integers(1_000_000, 10**8))
def test_a_plan_asks_for_no_more_than_was_asked(clusters, side, pictures, room):
    found = plan(clusters, side, pictures, room)
    assert 1 <= found.pictures <= pictures
    assert max(16, round(side * SHRINKS[-1])) <= found.thumbnail_px <= max(side, 16)
    more = plan(clusters * 2 + 1, side, pictures, room)
    assert more.thumbnail_px <= found.thumbnail_px
