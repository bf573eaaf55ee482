"""Maximum spanning forests against a naive one: any order, repetition, partitioning and limit gives the same edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bannermap.clustering.edge_order import places_of, strongest_first
from bannermap.clustering.forest import Edges, edges_at_least, forests, merged_runs, node_type, spanning_forest
from bannermap.clustering.forest_merge import BATCH_ROWS, Limits, _neighbours_together, forest_of, run_bounds
from bannermap.clustering.frames import NEIGHBOUR_ROWS
from bannermap.clustering.hierarchy import build_hierarchy
from bannermap.clustering.node_numbers import numbered
from bannermap.platform.settings import ClusteringSettings

LOW, HIGH = -1.0, 1.0
TINY = Limits(task=120, run=150, pack=40, batch=64)


def in_order(edges):
    return sorted(edges, key=lambda e: (-e[2], e[0], e[1]))


def naive_forest(edges):
    """Kruskal over a sorted set of (low, high, cosine), with a set of nodes for each tree."""
    tree_of, kept = {}, []
    for low, high, cosine in in_order(set(edges)):
        a, b = tree_of.setdefault(low, {low}), tree_of.setdefault(high, {high})
        if a is not b:
            a |= b
            tree_of.update(dict.fromkeys(b, a))
            kept.append((low, high, cosine))
    return kept


def triples(edges: Edges):
    return list(zip(edges.low.tolist(), edges.high.tolist(), edges.cosine.tolist(), strict=True))


def edges_of(rows, kind=np.int64) -> Edges:
    low, high, cosine = zip(*rows, strict=True) if rows else ((), (), ())
    return Edges(np.array(low, kind), np.array(high, kind), np.array(cosine, np.float32))


def random_edges(rng, nodes, count, values):
    """Few values: many ties; each edge with its own cosine, some listed from both ends."""
    src, dst = rng.integers(0, nodes, (2, count))
    keep = src != dst
    low, high = np.minimum(src, dst)[keep], np.maximum(src, dst)[keep]
    cosine = (((low * 31 + high * 17 + low * high) % values) / max(1, values - 1) * (HIGH - LOW) + LOW).astype(np.float32)
    again = rng.integers(0, 2, len(low)).astype(bool)
    return Edges(*(np.concatenate([c, c[again]]) for c in (low, high, cosine)))


GRAPHS = [(2, 3, 1), (6, 20, 2), (30, 60, 3), (60, 400, 1), (60, 400, 5), (200, 150, 40), (200, 2000, 7), (400, 3000, 100_000)]


@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_the_forest_is_the_naive_one_in_order(graph, kind):
    rng = np.random.default_rng(graph)
    edges = random_edges(rng, *graph)
    expected = naive_forest(triples(edges))
    for _ in range(4):
        chosen = edges[rng.permutation(len(edges))]
        found = spanning_forest(Edges(chosen.low.astype(kind), chosen.high.astype(kind), chosen.cosine))
        assert triples(found) == expected
        assert (found.low.dtype, found.high.dtype, found.cosine.dtype) == (kind, kind, np.float32)


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(13, 25), st.sampled_from([-1.0, -0.5, -0.0, 0.0, 2.0**-149, 0.5, 1.0])),
        max_size=60,
    )
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_cosines_also_negative_ones_and_two_zeros(rows):
    assert triples(spanning_forest(edges_of(rows))) == naive_forest(rows)


def test_ids_may_be_any_numbers():
    rows = [(5, 2**62, 0.5), (2**40, 2**62, 0.875), (5, 2**40, 0.75), (0, 2**63 - 1, 0.25)]
    assert triples(spanning_forest(edges_of(rows))) == naive_forest(rows)


def test_long_and_short_runs_of_equal_cosines_are_ordered():
    rng = np.random.default_rng(5)
    cosine = np.repeat(np.linspace(1, -1, 40, dtype=np.float32), np.r_[np.arange(1, 36), 50, 33, 32, 31, 400])
    rows = rng.permutation(len(cosine))
    low, high = rng.integers(0, 9, (2, len(cosine)))
    order = strongest_first(low, high, cosine[rows])
    assert order.tolist() != rows.tolist()
    found = list(zip(low[order], high[order], cosine[rows][order], strict=True))
    assert found == in_order(found)


def test_nodes_are_numbered_without_a_gap_and_equal_ids_alike():
    rng = np.random.default_rng(2)
    names = rng.integers(0, 2**62, 5000)
    low, high = names[rng.integers(0, 5000, (2, 9000))]
    count, a, b = numbered(low, high)
    assert count == len(np.unique(np.r_[low, high])) == len(np.unique(np.r_[a, b])) == max(a.max(), b.max()) + 1
    assert len(set(zip(np.r_[low, high].tolist(), np.r_[a, b].tolist(), strict=True))) == count


@pytest.mark.parametrize("most", [1, 3, 20, 150, 10_000])
@pytest.mark.parametrize("seed", range(4))
def test_forests_of_a_stream_are_bounded_and_lose_nothing(most, seed):
    rng = np.random.default_rng([most, seed])
    edges = random_edges(rng, 150, 1500, 9)
    cuts = np.sort(rng.integers(0, len(edges), 30))
    parts = [edges[slice(*ends)] for ends in zip(np.r_[0, cuts], np.r_[cuts, len(edges)], strict=True)]
    made = list(forests(parts, most))
    assert triples(spanning_forest(Edges.joined(made))) == naive_forest(triples(edges))
    assert max(map(len, made)) <= 150 - 1
    assert all(triples(m) == naive_forest(triples(m)) for m in made)
    assert len(made) == 1 or most < 150
    assert all(len(m) > most for m in made[:-1])


def test_a_stream_of_nothing_has_no_forest():
    assert [len(f) for f in forests([], 5)] == []
    assert [len(f) for f in forests([edges_of([])], 5)] in ([], [0])


@pytest.mark.parametrize("runs", [1, 2, 5, 40, 4000])
@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_runs_merge_to_the_forest_wherever_they_are_cut(graph, runs):
    rng = np.random.default_rng(graph)
    edges = random_edges(rng, *graph)
    bounds = run_bounds(edges[rng.permutation(len(edges))[: len(edges) // 2 + 1]], runs)
    ordered = edges[strongest_first(edges.low, edges.high, edges.cosine)]
    places = places_of(ordered.low, ordered.high, ordered.cosine, bounds.low, bounds.high, bounds.cosine)
    pieces = [ordered[slice(*ends)] for ends in zip(np.r_[0, places], np.r_[places, len(ordered)], strict=True)]
    assert sum(map(len, pieces)) == len(edges)
    for piece, bound in zip(pieces[1:], triples(bounds), strict=True):
        assert in_order([bound, *triples(piece)])[0] == bound
    found = merged_runs((spanning_forest(p) for p in pieces), graph[0])
    assert triples(found) == naive_forest(triples(edges))
    assert found.low.dtype == node_type(graph[0]) == np.int32


def test_a_million_equal_cosines_spread_over_runs():
    low, high = np.divmod(np.arange(1_000_000), 1000)
    edges = Edges(low, high + 1000, np.full(len(low), 0.9, np.float32))
    bounds = run_bounds(edges[::100], 10)
    places = places_of(edges.low, edges.high, edges.cosine, bounds.low, bounds.high, bounds.cosine)
    assert np.diff(np.r_[0, places, len(edges)]).tolist() == [100_000] * 10


def test_ids_take_half_the_room_where_they_can():
    assert (node_type(10**8), node_type(2**31 - 1), node_type(2**31)) == (np.int32, np.int32, np.int64)


def test_components_of_all_thresholds_are_runs_of_the_hierarchy():
    rng = np.random.default_rng(3)
    edges, thresholds = random_edges(rng, 120, 160, 30), np.array([-0.5, 0.0, 0.3, 0.9])
    hierarchy = build_hierarchy(120, spanning_forest(edges), thresholds)
    assert sorted(hierarchy.order.tolist()) == list(range(120))
    assert (hierarchy.order.dtype, hierarchy.position().dtype, hierarchy.gap.dtype) == (np.int64, np.int64, np.float32)
    for level, threshold in enumerate(thresholds):
        strong = [e for e in triples(edges) if e[2] >= threshold]
        trees = 120 - len(naive_forest(strong))
        parts = np.split(hierarchy.order, hierarchy.starts[level][1:])
        part_of = {int(node): i for i, part in enumerate(parts) for node in part}
        assert len(parts) == trees
        assert all(part_of[low] == part_of[high] for low, high, _ in strong)


def rows_frame(spark, edges: Edges, rng, partitions: int):
    """Neighbour lists: each edge from one end or the other, in any order."""
    turned = rng.integers(0, 2, len(edges)).astype(bool)
    src, dst = np.where(turned, edges.high, edges.low), np.where(turned, edges.low, edges.high)
    rows = list(zip(src.tolist(), dst.tolist(), edges.cosine.tolist(), strict=True))
    rng.shuffle(rows)
    return spark.createDataFrame(rows, NEIGHBOUR_ROWS.schema).repartition(partitions)


LAYOUTS = [(1, 1, None), (2, 7, TINY), (17, 4, Limits(task=400, run=100, pack=1000, batch=500))]


@pytest.mark.parametrize("values", [3, 100_000])
def test_spark_gives_the_naive_forest_for_any_layout_and_limits(spark, values, tmp_path):
    rng = np.random.default_rng(values)
    edges = random_edges(rng, 300, 1500, values)
    expected = naive_forest([e for e in triples(edges) if e[2] >= -0.2])
    batch, kept = spark.conf.get(BATCH_ROWS), set(spark.sparkContext._jsc.getPersistentRDDs())
    for partitions, least, limits in LAYOUTS:
        rows = rows_frame(spark, edges, rng, partitions).persist()
        folder = f"{tmp_path}/{partitions}"
        found = forest_of(rows, 300, ClusteringSettings(initial_threshold=-0.2, partitions=least), folder, limits)
        assert triples(found) == expected
        rows.unpersist()
    assert spark.conf.get(BATCH_ROWS) == batch
    assert set(spark.sparkContext._jsc.getPersistentRDDs()) <= kept


def test_spark_gives_no_edges_where_there_are_none(spark, tmp_path):
    rows = spark.createDataFrame([(0, 1, 0.5)], NEIGHBOUR_ROWS.schema)
    for limits in (None, TINY):
        assert len(forest_of(rows, 2, ClusteringSettings(initial_threshold=0.75, partitions=2), str(tmp_path), limits)) == 0


def test_neighbouring_partitions_are_merged_with_each_other(spark):
    frame = spark.range(0, 60, 1, 12).selectExpr("0 run", "id").persist()
    rows = _neighbours_together(frame, 12, 4).selectExpr("run", "spark_partition_id() at", "id").collect()
    assert sorted((r["run"], r["at"], r["id"]) for r in rows) == [(i // 15, i // 15, i) for i in range(60)]
    frame.unpersist()


def test_edges_below_the_threshold_are_left_out_in_float64():
    edges = edges_at_least(
        np.array([3, 1]), np.array([1, 2]), np.array([0.75, np.nextafter(np.float32(0.75), np.float32(0))]), 0.75
    )
    assert triples(edges) == [(1, 3, 0.75)]
