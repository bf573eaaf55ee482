"""Agreement measures against loops over items and pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannermap.sample.agreement import agreement

labels = st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 4)), min_size=1, max_size=30)


def singled(clusters):
    return [("alone", i) if c == -1 else c for i, c in enumerate(clusters)]


def naive_b_cubed(a, b):
    shares = []
    for i in range(len(a)):
        mine = [j for j in range(len(a)) if a[j] == a[i]]
        shares.append(sum(b[j] == b[i] for j in mine) / len(mine))
    return sum(shares) / len(shares)


def naive_adjusted_rand(a, b):
    pairs = [(a[i] == a[j], b[i] == b[j]) for i, j in itertools.combinations(range(len(a)), 2)]
    both, first, second = (sum(map(f, pairs)) for f in (all, lambda p: p[0], lambda p: p[1]))
    expected = first * second / len(pairs) if pairs else 0
    largest = (first + second) / 2
    return 1.0 if largest == expected else (both - expected) / (largest - expected)


@given(labels)
def test_figures_equal_their_definitions(items):
    clusters, classes = map(list, zip(*items, strict=True))
    found = agreement(np.array(clusters), np.array(classes))
    given_clusters = singled(clusters)
    assert found.b_cubed_precision == pytest.approx(naive_b_cubed(given_clusters, classes))
    assert found.b_cubed_recall == pytest.approx(naive_b_cubed(classes, given_clusters))
    assert found.adjusted_rand == pytest.approx(naive_adjusted_rand(given_clusters, classes))


def test_extremes():
    classes = np.repeat(np.arange(4), 5)
    assert agreement(classes, classes).b_cubed_f1 == agreement(classes, classes).adjusted_rand == 1.0
    together = agreement(np.zeros(20), classes)
    assert (together.b_cubed_precision, together.b_cubed_recall, together.adjusted_rand) == pytest.approx((0.25, 1.0, 0.0))
    alone = agreement(np.full(20, -1), classes)
    assert (alone.b_cubed_precision, alone.b_cubed_recall, alone.adjusted_rand) == pytest.approx((1.0, 0.2, 0.0))
