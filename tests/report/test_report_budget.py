"""How many pictures fit, against counting them naively."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bannermap.report.budget import SHRINKS, Fill, fill, plan

CLUSTERS = st.lists(st.tuples(st.lists(st.sampled_from("abcdefghij"), max_size=5, unique=True), st.integers(0, 2)), max_size=8)


def bytes_of(clusters, weight, fits: Fill) -> int:
    return sum(weight[p] for p, _ in {(p, page) for i, (pictures, page) in enumerate(clusters) for p in pictures[: fits.of(i)]})


@given(CLUSTERS, st.lists(st.integers(0, 50), min_size=10, max_size=10), st.integers(0, 800))
def test_as_many_pictures_as_fit_and_not_one_more(clusters, weights, room):
    weight = dict(zip("abcdefghij", weights, strict=True))
    found = fill([pictures for pictures, _ in clusters], [page for _, page in clusters], weight, room)
    most = max((len(pictures) for pictures, _ in clusters), default=0)
    steps = [Fill(r, i) for r in range(most) for i in range(len(clusters))] + [Fill(most, 0)]
    fitting = [bytes_of(clusters, weight, s) <= room for s in steps]
    assert fitting == sorted(fitting, reverse=True)
    assert found == steps[0] or fitting[steps.index(found)]
    following = steps[steps.index(found) + 1 :]
    assert not following or bytes_of(clusters, weight, following[0]) > room


@given(st.integers(0, 20_000), st.integers(16, 512), st.integers(1, 40), st.integers(1_000_000, 10**8))
def test_a_plan_asks_for_no_more_than_was_asked(clusters, side, pictures, room):
    found = plan(clusters, side, pictures, room)
    assert 1 <= found.pictures <= pictures
    assert max(16, round(side * SHRINKS[-1])) <= found.thumbnail_px <= max(side, 16)
    more = plan(clusters * 2 + 1, side, pictures, room)
    assert more.thumbnail_px <= found.thumbnail_px
