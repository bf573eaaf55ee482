"""Search by cells: the cells' definitions, the exact lists where all cells are asked, and a plain oracle where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import KINDS, duplicates, nested_groups, unit

from bannermap.clustering.cell_exchange import exchange_of, sendings
from bannermap.clustering.cell_search import cell_counts, learned_centroids
from bannermap.clustering.cells import cell_block, learn_cells, nearest_cells, plan_cells, split_cells
from bannermap.clustering.frames import NODES
from bannermap.clustering.in_process import all_neighbours
from bannermap.clustering.search import find_neighbours
from bannermap.clustering.standing import Standing
from bannermap.platform.checkpoints import Checkpoints
from bannermap.platform.settings import CellSettings, ClusteringSettings


def by_loops(vectors, centroids):
    """Cells by cosine, then number, from the definition."""
    cosine = (vectors.astype(np.float64) @ centroids.astype(np.float64).T).astype(np.float32)
    return np.array([sorted(range(len(centroids)), key=lambda c: (-row[c], c)) for row in cosine])


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_cells_are_asked_in_the_order_of_their_exact_cosine(kind):
    rng = np.random.default_rng(5)
    vectors = kind(rng, 90)
    centroids = learn_cells(vectors, 9, seed=1)
    assert 1 <= len(centroids) <= 9
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1.0, atol=1e-6)
    count = min(4, len(centroids))
    asked = nearest_cells(vectors, cell_block(centroids), count)
    assert np.array_equal(asked, by_loops(vectors, centroids)[:, :count])
    some = rng.permutation(len(vectors))[:7]
    assert np.array_equal(nearest_cells(vectors[some], cell_block(centroids), count), asked[some]), "whatever the batch"


def test_equal_vectors_make_one_cell_and_are_not_split_for_ever():
    same = unit(np.ones((50, 4)))
    centroids = learn_cells(same, 8, seed=0)
    assert len(centroids) == 1
    assert len(split_cells(centroids, np.array([50]), same, rows_per_cell=5, seed=0)) == 1


def test_opposite_vectors_whose_mean_has_no_direction_keep_a_cell():
    opposite = np.float32([[1, 0], [-1, 0], [0, 1], [0, -1]])
    for cells in (1, 2, 4):
        centroids = learn_cells(opposite, cells, seed=7)
        assert 1 <= len(centroids) <= cells and np.allclose(np.linalg.norm(centroids, axis=1), 1.0)
    assert learn_cells(opposite, 1, seed=7).tolist()[0] in opposite.tolist()


def test_a_cell_that_holds_too_much_is_split_and_the_others_stay():
    rng = np.random.default_rng(3)
    blob = unit(np.r_[[np.eye(6)[0]] * 200] + 0.2 * rng.normal(size=(200, 6)))
    rest = unit(np.repeat(np.eye(6)[1:], 10, axis=0) + 0.05 * rng.normal(size=(50, 6)))
    centroids = unit(np.eye(6))
    sample = np.r_[blob, rest]
    counts = np.bincount(by_loops(sample, centroids)[:, 0], minlength=6)
    finer = split_cells(centroids, counts, sample, rows_per_cell=20, seed=0)
    assert len(finer) > 12
    assert {tuple(c) for c in centroids[1:]} <= {tuple(c) for c in finer}
    after = np.bincount(by_loops(sample, finer)[:, 0], minlength=len(finer))
    assert after.max() < counts.max() / 2


@pytest.mark.parametrize("seed", range(20))
def test_no_task_holds_more_than_it_may_and_every_cell_has_its_place(seed):
    rng = np.random.default_rng(seed)
    cells = int(rng.integers(1, 60))
    counts = rng.integers(0, 50, cells) * rng.choice([1, 1, 1, 9], cells)
    plan = plan_cells(unit(rng.normal(size=(cells, 5))), counts, max_rows=100)
    held = np.zeros(plan.tasks)
    for cell in range(cells):
        assert plan.chunks[cell] == max(1, -(-counts[cell] // 100))
        for chunk in range(plan.chunks[cell]):
            held[plan.first_task[cell] + chunk] += -(-counts[cell] // plan.chunks[cell])
    assert held.max() <= 100
    own = [set(range(plan.first_task[c], plan.first_task[c] + plan.chunks[c])) for c in np.flatnonzero(plan.chunks > 1)]
    small = set(plan.first_task[plan.chunks == 1])
    assert all(not (a & small) for a in own)
    assert small.union(*own) == set(range(plan.tasks))


@pytest.mark.parametrize("seed", range(5))
def test_every_vector_goes_home_once_and_to_each_task_that_it_asks_once(seed):
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    vectors = nested_groups(rng, 120)
    centroids = learn_cells(vectors, 10, seed)
    counts = np.bincount(nearest_cells(vectors, cell_block(centroids), 1).ravel(), minlength=len(centroids))
    plan = plan_cells(centroids, counts, max_rows=15)
    cells = nearest_cells(vectors, cell_block(centroids), 4)
    node = rng.permutation(120)
    exchange = exchange_of(plan, Standing.nothing_kept(120), np.empty(0, int), np.empty(0, int))
    sent = pa.Table.from_batches(sendings(node, pa.array(vectors.tolist(), pa.list_(pa.float32())), cells, exchange)).to_pylist()
    where = {int(n): i for i, n in enumerate(node)}
    homes = [(r["node"], r["task"]) for r in sent if r["role"] == 0]
    assert sorted(n for n, _ in homes) == list(range(120))
    for n, task in homes:
        home = cells[where[n], 0]
        assert task == plan.first_task[home] + n % plan.chunks[home]
    assert len({(r["node"], r["task"]) for r in sent}) == len(sent)
    for r in sent:
        assert np.allclose(r["vector"], vectors[where[r["node"]]])
    asked = {(r["node"], r["task"], c) for r in sent for c in r["cells"]}
    wanted = {
        (int(n), int(plan.first_task[c]) + j, int(c)) for i, n in enumerate(node) for c in cells[i] for j in range(plan.chunks[c])
    }
    assert asked == wanted


def frame_of(spark, vectors, partitions, rng):
    rows = [(int(i), str(i), 1, 0, 0, None, vectors[i].tolist()) for i in rng.permutation(len(vectors))]
    return spark.createDataFrame(rows, NODES.schema).repartition(partitions).persist()


def in_memory(spark):
    return Checkpoints(spark, None)


def lists_of(found):
    return found.rows.toPandas().sort_values(["src", "cosine", "dst"], ascending=[True, False, True]).to_numpy().tolist()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [nested_groups, duplicates], ids=lambda k: k.__name__)
def test_cells_that_are_all_asked_give_the_exact_lists_for_any_partitioning(kind, spark):
    rng = np.random.default_rng(11)
    vectors = kind(rng, 260)
    settings = ClusteringSettings(
        k_neighbors=6, search="cells", block_rows=40, cells=CellSettings(rows_per_cell=20, probes=1000, sample_rows=200)
    )
    lists = all_neighbours(vectors, settings)
    exact = np.c_[lists.src, lists.dst, lists.cosine].tolist()
    for partitions, adaptive in ((1, "true"), (5, "false")):
        spark.conf.set("spark.sql.adaptive.enabled", adaptive)
        found = find_neighbours(frame_of(spark, vectors, partitions, rng), rng.permutation(260), settings, in_memory(spark))
        assert lists_of(found) == exact
        assert found.cells.cells_id.startswith("cells-")
    spark.conf.set("spark.sql.adaptive.enabled", "true")


@pytest.mark.slow
def test_few_cells_asked_give_the_best_of_those_and_of_no_others(spark):
    rng = np.random.default_rng(2)
    vectors = nested_groups(rng, 300)
    settings = ClusteringSettings(
        k_neighbors=5, search="cells", block_rows=50, cells=CellSettings(rows_per_cell=25, probes=3, sample_rows=150)
    )
    nodes = frame_of(spark, vectors, 4, rng)
    found = find_neighbours(nodes, np.arange(300), settings, in_memory(spark))
    again = learned_centroids(nodes, 300, vectors[:150], settings)
    assert np.array_equal(found.cells.centroids, again)
    order = by_loops(vectors, again)
    home = order[:, 0]
    assert np.array_equal(cell_counts(nodes, again), np.bincount(home, minlength=len(again)))
    assert np.array_equal(found.cell_rows, cell_counts(nodes, again))
    assert found.distances == found.cell_rows[order[:, :3]].sum()
    cosine = (vectors.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)
    wanted = []
    for a in range(300):
        near = [b for b in range(300) if b != a and home[b] in order[a, :3]]
        wanted += [[a, b, cosine[a, b]] for b in sorted(near, key=lambda b: (-cosine[a, b], b))[:5]]
    assert lists_of(found) == wanted


@pytest.mark.slow
def test_the_same_cells_whatever_the_partitioning(spark):
    rng = np.random.default_rng(8)
    vectors = nested_groups(rng, 300)
    settings = ClusteringSettings(search="cells", cells=CellSettings(rows_per_cell=2, probes=2, sample_rows=300))
    rank = rng.permutation(300)
    ids = {find_neighbours(frame_of(spark, vectors, p, rng), rank, settings, in_memory(spark)).cells.cells_id for p in (1, 6)}
    assert len(ids) == 1
