"""The audit: shares by counting, intervals that hold what they promise, and a gate before anything is published."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import functions as F
from test_clustering_on_spark import content_hashes, write_embeddings
from worlds import nested_groups

from bannermap.clustering.audit import NOTHING, audited, recall_verdict, share_of
from bannermap.clustering.auditing import audit_search, check_recall, search_figures
from bannermap.clustering.cell_search import asked_cells
from bannermap.clustering.cells import cell_block, learn_cells, nearest_cells
from bannermap.clustering.frames import NEIGHBOUR_ROWS, NODE_VECTORS
from bannermap.clustering.in_process import all_neighbours
from bannermap.clustering.job import run_on_files
from bannermap.clustering.neighbours import NeighbourLists
from bannermap.platform.errors import QualityError
from bannermap.platform.settings import AuditSettings, CellSettings, ClusteringSettings

SETTINGS = ClusteringSettings(k_neighbors=6, initial_threshold=0.7)


def some_rows(lists, keep):
    return NeighbourLists(lists.src[keep], lists.dst[keep], lists.cosine[keep])


@pytest.mark.parametrize("seed", range(10))
def test_shares_equal_a_count_by_loops(seed):
    rng = np.random.default_rng(seed)
    lists = all_neighbours(nested_groups(rng, 150), SETTINGS)
    found = some_rows(lists, rng.random(len(lists.src)) < 0.8)
    sample, cluster_of = np.sort(rng.permutation(150)[:40]), rng.integers(-1, 5, 150)
    exact = some_rows(lists, np.isin(lists.src, sample))
    touching = some_rows(found, np.isin(found.src, sample) | np.isin(found.dst, sample))
    home = rng.integers(0, 4, 150)
    audit = audited(exact, touching, sample, cluster_of, 0.7, home)
    pairs = set(zip(found.src.tolist(), found.dst.tolist(), strict=True))
    rows = [(a, b, c) for a, b, c in zip(exact.src.tolist(), exact.dst.tolist(), exact.cosine.tolist(), strict=True)]
    edges = [(a, b) for a, b, c in rows if c >= 0.7]
    missed = [(a, b) for a, b in edges if (a, b) not in pairs and (b, a) not in pairs]
    parted = [(a, b) for a, b in missed if cluster_of[a] != cluster_of[b] or cluster_of[a] < 0]
    assert audit.recall_at_k.share == pytest.approx(sum((a, b) in pairs for a, b, _ in rows) / len(rows))
    assert audit.edge_recall.share == pytest.approx(1 - len(missed) / len(edges))
    assert audit.parted_edges.share == pytest.approx(len(parted) / len(edges))
    assert audit.crossing_edges.share == pytest.approx(sum(home[a] != home[b] for a, b in edges) / len(edges))
    assert audit.wrong_scores.share == 0.0


@pytest.mark.parametrize("together", [0.0, 0.9], ids=["rows miss alone", "rows of a node miss together"])
def test_intervals_hold_the_truth_nineteen_times_in_twenty(together):
    rng = np.random.default_rng(4)
    held, trials = 0, 400
    for _ in range(trials):
        totals = rng.integers(1, 20, 300)
        shared = rng.random(300) < together
        hits = np.where(shared, totals * (rng.random(300) < 0.93), rng.binomial(totals, 0.93))
        interval = share_of(hits, totals)
        assert 0.0 <= interval.low <= interval.share <= interval.high <= 1.0
        held += interval.low <= 0.93 <= interval.high
    assert 0.92 <= held / trials <= 0.99


def test_nothing_missed_leaves_room_for_what_so_few_nodes_cannot_show():
    few, many = (share_of(np.full(n, 5), np.full(n, 5)) for n in (20, 2000))
    assert few.share == few.high == 1.0
    assert few.low < many.low < 1.0
    assert np.isnan(share_of(np.zeros(3, int), np.zeros(3, int)).share)


@pytest.mark.slow
def test_the_audit_on_spark_equals_the_one_by_hand_for_any_partitioning(spark):
    rng = np.random.default_rng(6)
    vectors = nested_groups(rng, 200)
    lists = all_neighbours(vectors, SETTINGS)
    found = some_rows(lists, rng.random(len(lists.src)) < 0.7)
    rank, cluster_of = rng.permutation(200), rng.integers(-1, 4, 200)
    settings = SETTINGS.model_copy(update={"audit": AuditSettings(sample_rows=50)})
    sample = np.sort(np.argsort(rank)[:50])
    centroids = learn_cells(vectors, 8, seed=1)
    home = nearest_cells(vectors, cell_block(centroids), 1).ravel()
    by_hand = audited(some_rows(lists, np.isin(lists.src, sample)), found, sample, cluster_of, 0.7, home)
    assert 0.0 < by_hand.crossing_edges.share < 1.0
    rows = spark.createDataFrame(
        list(zip(*(getattr(found, c).tolist() for c in NEIGHBOUR_ROWS.columns), strict=True)), NEIGHBOUR_ROWS.schema
    )
    for partitions in (1, 6):
        nodes = spark.createDataFrame([(i, v.tolist()) for i, v in enumerate(vectors)], NODE_VECTORS.schema)
        asked = asked_cells(nodes.withColumn("cells", F.lit(None).cast("array<int>")), centroids, 3)
        assert audit_search(nodes.repartition(partitions), rows, rank, cluster_of, settings, asked) == by_hand


def test_a_poor_search_is_refused_or_warned_of(capsys):
    exact = NeighbourLists(np.repeat(np.arange(50), 2), np.arange(100) % 50 + 60, np.full(100, 0.9, np.float32))
    poor = audited(exact, some_rows(exact, np.arange(100) < 60), np.arange(50), np.zeros(200, int), 0.75)
    with pytest.raises(QualityError, match=r"60\.00%.*min_recall 98\.00%.*probes"):
        check_recall(poor, SETTINGS)
    check_recall(poor, SETTINGS.model_copy(update={"audit": AuditSettings(below_min_recall="warn")}))
    assert "60.00%" in capsys.readouterr().out
    check_recall(audited(exact, exact, np.arange(50), np.zeros(200, int), 0.75), SETTINGS)
    assert "so few edges cannot show" in capsys.readouterr().out
    ring = NeighbourLists(np.arange(50), np.roll(np.arange(50), 1), np.full(50, 0.9, np.float32))
    check_recall(audited(ring, ring, np.arange(50), np.zeros(50, int), 0.75), SETTINGS)
    check_recall(None, SETTINGS)
    assert not capsys.readouterr().out


def test_a_share_just_above_the_limit_passes_only_where_the_sample_can_tell():
    def verdict(missed, nodes, all_nodes=10**6):
        hits = np.full(nodes, 4)
        hits[:missed] = 0
        return recall_verdict(share_of(hits, np.full(nodes, 4), nodes / all_nodes), 0.98)

    assert verdict(15, 1000) == "too little", "98.5 % of 1000 may be 97.5 % of all"
    assert verdict(150, 10_000) == "enough"
    assert verdict(15, 1000, all_nodes=1000) == "enough", "all were looked at"
    assert verdict(3, 300) == "cannot tell"
    assert verdict(0, 300) == "cannot tell"
    assert verdict(0, 500) == "enough"
    assert verdict(30, 300) == "too little"
    assert recall_verdict(NOTHING, 0.98) == "enough"


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_score_in_either_end_is_told_and_refused(seed):
    rng = np.random.default_rng(seed)
    lists = all_neighbours(nested_groups(rng, 150), SETTINGS)
    sample = np.sort(rng.permutation(150)[:40])
    exact = some_rows(lists, np.isin(lists.src, sample))
    clean = audited(exact, lists, sample, np.zeros(150, int), 0.7)
    assert clean.wrong_scores.share == 0.0
    pairs = set(zip(exact.src.tolist(), exact.dst.tolist(), strict=True))
    judged = [(a, b) in pairs for a, b in zip(lists.src.tolist(), lists.dst.tolist(), strict=True)]
    other = [(b, a) in pairs for a, b in zip(lists.src.tolist(), lists.dst.tolist(), strict=True)]
    for end in (judged, other):
        row = rng.choice(np.flatnonzero(end))
        cosine = lists.cosine.copy()
        cosine[row] = np.nextafter(cosine[row], np.float32(0.0))
        audit = audited(exact, NeighbourLists(lists.src, lists.dst, cosine), sample, np.zeros(150, int), 0.7)
        assert audit.wrong_scores.share == pytest.approx((judged[row] + other[row]) / (sum(judged) + sum(other)))
        with pytest.raises(QualityError, match="another cosine"):
            check_recall(audit, SETTINGS)


def test_a_neighbour_that_claims_to_be_nearer_than_the_exact_ones_is_a_wrong_score():
    lists = all_neighbours(nested_groups(np.random.default_rng(1), 150), SETTINGS)
    exact, sample = some_rows(lists, lists.src == 3), np.array([3])
    stranger = np.setdiff1d(np.arange(150), [3, *exact.dst])[:1]
    for claimed, wrong in ((exact.cosine[0], 1), (np.float32(np.nan), 1), (exact.cosine[-1], 0)):
        found = NeighbourLists(np.append(exact.src, 3), np.append(exact.dst, stranger), np.append(exact.cosine, claimed))
        audit = audited(exact, found, sample, np.zeros(150, int), 0.7)
        assert audit.wrong_scores.share == wrong / (len(exact.src) + wrong)


def test_figures_of_a_run_hold_only_what_was_counted():
    nothing = NeighbourLists.none()
    figures = search_figures(audited(nothing, nothing, np.arange(3), np.zeros(3, int), 0.75), float("nan"))
    assert figures == {"audited_pictures": 3.0}
    exact = NeighbourLists(np.array([0]), np.array([1]), np.array([0.9], np.float32))
    figures = search_figures(audited(exact, exact, np.arange(1), np.zeros(3, int), 0.75), 0.8)
    assert figures["edge_recall"] == 1.0
    assert 0.0 < figures["edge_recall_low"] < 1.0
    assert figures["weakest_link_cosine"] == 0.8
    assert search_figures(None, 0.8) == {"weakest_link_cosine": 0.8}


@pytest.mark.slow
def test_files_are_clustered_by_cells_and_a_poor_search_is_told(spark, base_settings, tmp_path, capsys):
    rng = np.random.default_rng(9)
    vectors = nested_groups(rng, 300)
    path = write_embeddings(spark, tmp_path / "in", content_hashes(300, 0), vectors, 3, rng)
    cells = CellSettings(rows_per_cell=10, probes=1, sample_rows=300)
    clustering = ClusteringSettings(search="cells", cells=cells, k_neighbors=8, audit=AuditSettings(min_recall=1.0))
    settings = base_settings.model_copy(update={"clustering": clustering})
    run_on_files(spark, settings, {"embeddings": path, "out": str(tmp_path / "out")})
    assert "Raise clustering.cells.probes" in capsys.readouterr().out
