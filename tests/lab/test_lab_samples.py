"""The sample that strategies are compared on: each stratum's share, right margins however small strata are, any order of rows."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from bannermap.lab.data import STRATA, Pictures, stratified

SIZES = np.array([(728, 90), (320, 50), (300, 250), (160, 600), (300, 600), (970, 250), (0, 0)])
NONE = np.empty(0, np.int64)


def pictures(days, advertisers, sizes) -> Pictures:
    """With these facts and without vectors; ``sizes`` (n, 2), pixels."""
    rows = len(days)
    names, shops = (
        np.array([f"{word} {i}" for i in of], object) for word, of in (("banner", range(rows)), ("shop", advertisers))
    )
    empty = np.empty((rows, 0), np.float32)
    return Pictures(names, empty, shops, np.asarray(days, np.int64), *np.asarray(sizes).T, np.full(rows, "", object))


def world(seed: int, rows: int, days: int, shops: int) -> Pictures:
    """Facts drawn apart from each other, some days and sizes more often than others."""
    rng = np.random.default_rng(seed)
    day = 20_000 + np.minimum(rng.integers(0, days, rows), rng.integers(0, days, rows))
    return pictures(day, rng.integers(0, shops, rows), SIZES[np.minimum(*rng.integers(0, len(SIZES), (2, rows)))])


def values_of(found: Pictures, strata) -> list[tuple]:
    """The stratum of each picture."""
    columns = {"day": found.days, "advertiser": found.advertisers, "size": zip(found.widths, found.heights, strict=True)}
    return list(zip(*(columns[fact] for fact in strata), strict=True)) if strata else [()] * len(found)


def deviations(found: Pictures, rows: np.ndarray, fact: str) -> np.ndarray:
    """Of how often each value of a fact is in the sample: from its share, in standard deviations of plain random draws."""
    share, sampled, number = len(rows) / len(found), Counter(values_of(found.of(rows), [fact])), Counter(values_of(found, [fact]))
    return np.array([(sampled[v] - k * share) / np.sqrt(k * share * (1 - share)) for v, k in number.items()])


@pytest.mark.parametrize("seed", range(6))
def test_a_sample_has_each_stratums_share_and_what_must_be_in_it(seed):
    all_of_them, rng = world(seed, 400, 5, 6), np.random.default_rng(seed)
    always = rng.choice(400, int(rng.integers(0, 30)), replace=False)
    rest = np.setdiff1d(np.arange(400), always)
    for strata in ([], ["day"], ["size"], ["advertiser", "day"], STRATA):
        wanted = int(rng.integers(len(always), 400))
        rows = stratified(all_of_them, strata, wanted, always, seed)
        assert len(rows) == wanted and set(always) <= set(rows) and (np.diff(rows) > 0).all()
        drawn = Counter(values_of(all_of_them.of(np.setdiff1d(rows, always)), strata))
        for stratum, number in Counter(values_of(all_of_them.of(rest), strata)).items():
            exact = number * (wanted - len(always)) / len(rest)
            assert np.floor(exact - 1e-9) <= drawn[stratum] <= np.ceil(exact + 1e-9)


def test_a_sample_is_that_of_its_seed_whatever_the_order():
    all_of_them, always = world(1, 400, 5, 6), np.array([3, 77, 200])
    for seed, strata in product(range(4), ([], ["day"], STRATA)):
        rows = stratified(all_of_them, strata, 120, always, seed)
        shuffled = np.random.default_rng(seed).permutation(400)
        again = stratified(all_of_them.of(shuffled), strata, 120, np.flatnonzero(np.isin(shuffled, always)), seed)
        assert set(shuffled[again]) == set(rows)
        assert set(stratified(all_of_them, strata, 120, always, seed + 1)) != set(rows)


def test_what_must_be_in_a_sample_may_be_more_than_it_and_few_pictures_are_all_in_it():
    all_of_them, always = world(1, 400, 5, 6), np.array([3, 77, 200])
    assert stratified(all_of_them, STRATA, 2, always, 5).tolist() == always.tolist()
    assert stratified(all_of_them, STRATA, 9000, always, 5).tolist() == list(range(400))
    assert stratified(all_of_them, STRATA, 10, np.arange(400), 5).tolist() == list(range(400))


@pytest.mark.parametrize("seed", range(5))
def test_days_advertisers_and_sizes_have_their_shares_where_most_strata_are_one_picture(seed):
    found = world(seed, 12_000, 60, 1500)
    assert Counter(Counter(values_of(found, STRATA)).values())[1] > 8000
    rows = stratified(found, STRATA, 4000, NONE, seed)
    number, sampled = (Counter(values_of(part, ["day"])) for part in (found, found.of(rows)))
    assert len(rows) == 4000 and all(abs(sampled[day] - k / 3) < 1 for day, k in number.items())
    assert np.abs(deviations(found, rows, "size")).max() < 4
    assert 0.8 < (deviations(found, rows, "advertiser") ** 2).mean() < 1.2  # 1 for plain random draws
    sizes_first = stratified(found, STRATA[::-1], 4000, NONE, seed)
    number, sampled = (Counter(values_of(part, ["size"])) for part in (found, found.of(sizes_first)))
    assert all(abs(sampled[size] - k / 3) < 1 for size, k in number.items())


@pytest.mark.parametrize("seed", range(5))
def test_an_advertiser_with_a_picture_each_day_is_not_always_or_never_the_one_that_counts(seed):
    days, shops = np.divmod(np.arange(60 * 99), 99)  # a third of 99 would be the same 33 each day
    found = pictures(days, shops, np.tile(SIZES[:1], (len(days), 1)))
    rows = stratified(found, STRATA, len(found) // 3, NONE, seed)
    assert (deviations(found, rows, "advertiser") ** 2).mean() < 1.6


def test_every_picture_is_as_likely():
    found, seeds = world(3, 150, 4, 12), 400
    times = np.bincount(np.concatenate([stratified(found, STRATA, 40, NONE, seed) for seed in range(seeds)]), minlength=150)
    share = 40 / 150
    away = (times - seeds * share) / np.sqrt(seeds * share * (1 - share))
    assert np.abs(away).max() < 4.5 and 0.6 < (away**2).mean() < 1.4


@pytest.mark.parametrize("seed", range(5))
def test_banners_of_one_shape_and_two_sizes_are_two_strata(seed):
    found = pictures([1] * 400, [1] * 400, SIZES[np.random.default_rng(seed).permutation(np.repeat([0, 1], [300, 100]))])
    rows = stratified(found, ["size"], 100, NONE, seed)
    assert Counter(found.widths[rows].tolist()) == {728: 75, 320: 25}
