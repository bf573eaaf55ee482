"""Exact lists from bounds: the same as those of a plain loop, whatever is looked through first and however parts are asked."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import KINDS, unit

from bannermap.clustering.candidates import TOLERANCE, Asked, Look, near_pairs
from bannermap.clustering.in_process import all_neighbours
from bannermap.clustering.neighbours import distinct_rows, make_block, row_hashes, search_block
from bannermap.clustering.reduction import MOST_UNEXPLAINED, Reduction, learned_reduction, worthwhile_reduction
from bannermap.platform.settings import ClusteringSettings


def naive_lists(vectors, ids, candidates, names, may_ask, k):
    """(src, dst, cosine) by loops; ``may_ask[i, j]``: query i may see candidate j."""
    rows = []
    for i, query in enumerate(vectors):
        scored = [
            (-np.float32(sum(float(a) * float(b) for a, b in zip(query, candidate, strict=True))), int(name))
            for j, (candidate, name) in enumerate(zip(candidates, names, strict=True))
            if may_ask[i, j] and name != ids[i]
        ]
        rows += [(int(ids[i]), name, float(-cosine)) for cosine, name in sorted(scored)[:k]]
    return sorted(rows, key=lambda r: (r[0], -r[2], r[1]))


def rows_of(lists):
    return list(zip(lists.src.tolist(), lists.dst.tolist(), lists.cosine.tolist(), strict=True))


def random_directions(rng, dimensions, count):
    """Directions that explain nothing in particular: bounds are loose, and nothing may be lost by that."""
    return Reduction(np.linalg.qr(rng.normal(size=(dimensions, count)))[0].astype(np.float32), 1.0)


@pytest.mark.parametrize("reduced", ["none", "learned", "random"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_parts_are_searched_as_loops_would(kind, reduced):
    rng = np.random.default_rng([3, len(reduced)])
    vectors = kind(rng, 110)
    ids, part = rng.permutation(500)[: len(vectors)], distinct_rows(vectors)[1] % 4
    directions = {"none": None, "learned": learned_reduction(vectors, 2), "random": random_directions(rng, vectors.shape[1], 2)}
    block = make_block(vectors, ids, directions[reduced], part)
    kind_of_row = distinct_rows(vectors)[1]
    asks = rng.random((kind_of_row.max() + 1, 5)) < 0.6  # part 4 is asked by some and holds nothing
    asked = {p: np.flatnonzero(asks[kind_of_row, p]) for p in range(5)}
    for k in (1, 7, 200):
        found = search_block(vectors, ids, block, k, asked)
        assert rows_of(found) == naive_lists(vectors, ids, vectors, ids, asks[kind_of_row][:, part], k)


@pytest.mark.parametrize("seed", range(4))
def test_bounds_are_never_below_the_inner_product(seed):
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(300, 40)) * np.exp(-np.arange(40) / rng.uniform(1, 30)))
    for reduction in (learned_reduction(vectors[:50], 6), random_directions(rng, 40, 6)):
        bounds = reduction.bounding(vectors).astype(np.float64)
        exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
        assert (bounds @ bounds.T >= exact - TOLERANCE / 10).all()
    assert reduction.bounding(vectors).shape == (300, 7)


@pytest.mark.parametrize("spread", [1e-2, 1e-3, 1e-5])  # the last: all cosines are 1 in float32
def test_of_a_tight_group_few_pairs_are_kept_and_none_is_lost(spread):
    rng = np.random.default_rng(7)
    vectors = unit(unit(rng.normal(size=(1, 64))) + spread * unit(rng.normal(size=(3000, 64))))
    look, order = Look(vectors, vectors), rng.permutation(3000)
    row, column, cosine = near_pairs(look, look, [Asked(np.arange(300), 0, 3000)], 10, order)
    assert len(row) < 300 * 100, "bounds are wider than what the group's cosines differ by"
    exact = (vectors[:300].astype(np.float64) @ vectors.T.astype(np.float64)).astype(np.float32)
    best = [np.lexsort((order, -cosines))[:10] for cosines in exact]
    kept = set(zip(row.tolist(), column.tolist(), strict=True))
    assert {(i, int(j)) for i, columns in enumerate(best) for j in columns} <= kept and len(kept) == len(row)
    assert np.abs(cosine - exact[row, column]).max() < 1e-7


def test_all_directions_leave_nothing_unexplained_and_few_leave_what_is_orthogonal():
    rng = np.random.default_rng(1)
    flat = unit(np.c_[rng.normal(size=(80, 5)), np.zeros((80, 20))])
    assert learned_reduction(flat, 5).unexplained < 0.01
    lost = np.linalg.norm(flat - flat @ (d := learned_reduction(flat, 3).directions) @ d.T, axis=1).mean()
    assert learned_reduction(flat, 3).unexplained == pytest.approx(lost, abs=0.01)


def test_directions_are_learned_only_where_they_pay():
    rng = np.random.default_rng(2)
    near_few = unit(rng.normal(size=(500, 4)) @ rng.normal(size=(4, 64)) + 0.01 * rng.normal(size=(500, 64)))
    assert worthwhile_reduction(near_few, 8).unexplained <= MOST_UNEXPLAINED
    assert worthwhile_reduction(near_few, 40) is None
    assert worthwhile_reduction(unit(rng.normal(size=(500, 64))), 8) is None


def test_a_search_of_thousands_is_the_same_with_and_without():
    rng = np.random.default_rng(4)
    vectors = unit(
        rng.normal(size=(700, 6))[rng.integers(0, 700, 4500)] @ rng.normal(size=(6, 48)) + 0.1 * rng.normal(size=(4500, 48))
    )
    with_all, with_few = (all_neighbours(vectors, ClusteringSettings(k_neighbors=9, reduced_dimensions=d)) for d in (0, 8))
    assert rows_of(with_all) == rows_of(with_few)


def test_rows_that_share_a_hash_are_told_apart(monkeypatch):
    vectors = np.array([[1, 0], [0, 1], [1, 0], [-0.0, 1]], np.float32)
    assert row_hashes(vectors)[0] == row_hashes(vectors)[2] != row_hashes(vectors)[1]
    monkeypatch.setattr("bannermap.clustering.neighbours.row_hashes", lambda rows: np.zeros(len(rows), np.uint64))
    first, kind = distinct_rows(vectors)
    assert len(first) == 2 and kind[0] == kind[2] and kind[1] == kind[3] and kind[0] != kind[1]
