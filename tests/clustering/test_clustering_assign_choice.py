"""Which clustering banners are assigned by, and what is said where none fits."""

from __future__ import annotations

import datetime

import pytest

from bannermap.clustering.assignment_choice import Stored, chosen_clustering
from bannermap.platform.errors import InputError


def day(number: int) -> datetime.date:
    return datetime.date(2026, 5, number)


def made(number: int, sequence: int = 1, state: str = "current", encoder: str = "a") -> Stored:
    return Stored(f"{day(number)}-{sequence:06d}{encoder * 6}", day(number), sequence, state, encoder, 9)


def test_the_newest_current_one_up_to_the_day_is_taken():
    known = [made(4), made(2), made(2, 2), made(6), made(1)]
    known[1] = made(2, 1, "superseded")
    for number, expected in ((1, made(1)), (2, made(2, 2)), (3, made(2, 2)), (5, made(4)), (9, made(6))):
        for order in (known, known[::-1]):
            choice = chosen_clustering(order, day(number), None, None)
            assert choice.clustering == expected and not choice.warning


def test_a_stale_one_is_passed_over_and_told():
    known = [made(1), made(2, 1, "stale"), made(3, 1, "stale"), made(5, 1, "stale")]
    choice = chosen_clustering(known, day(4), None, None)
    assert choice.clustering == made(1)
    assert str(day(2)) in choice.warning and str(day(3)) in choice.warning and str(day(5)) not in choice.warning


def test_one_of_the_chosen_encoder_is_taken():
    known = [made(1, encoder="a"), made(2, encoder="b")]
    assert chosen_clustering(known, day(3), None, "a").clustering == known[0]
    assert chosen_clustering(known, day(1), None, None).clustering == known[0]  # the other encoder's is of a later day


@pytest.mark.parametrize("state", ["stale", "superseded"])
def test_a_named_one_that_no_longer_holds_is_taken_with_a_warning(state):
    known = [made(1, 1, state), made(1, 2), made(2)]
    choice = chosen_clustering(known, day(2), known[0].clustering_id, None)
    assert choice.clustering == known[0] and f"is {state}" in choice.warning
    assert not chosen_clustering(known, day(2), known[1].clustering_id, "a").warning


@pytest.mark.parametrize(
    ("known", "wanted", "encoder", "words"),
    [
        ([], None, None, ["no clustering", "Run cluster_banners"]),
        ([made(5)], None, None, ["no clustering", "Run cluster_banners"]),
        ([made(1, 1, "stale")], None, None, ["stale", str(day(1)), "Run cluster_banners again"]),
        ([made(1)], None, "b", ["by b", "Run cluster_banners"]),
        ([made(1), made(2, encoder="b")], None, None, ["a and b", "clustering.encoder_id"]),
        ([], made(1).clustering_id, None, ["none of that name", "Run cluster_banners"]),
        ([made(1)], f"{day(1)}-000001aaaaab", None, ["none of that name", f"Did you mean '{made(1).clustering_id}'"]),
        ([made(1), made(5)], made(5).clustering_id, None, ["could not have been known", "later --date"]),
        ([made(1)], made(1).clustering_id, "b", ["by a", "encoder_id is b", "cannot be compared"]),
    ],
)
def test_where_none_fits_the_error_says_why_and_how_to_mend_it(known, wanted, encoder, words):
    with pytest.raises(InputError) as error:
        chosen_clustering(known, day(3), wanted, encoder)
    assert all(word in str(error.value) for word in words), str(error.value)
