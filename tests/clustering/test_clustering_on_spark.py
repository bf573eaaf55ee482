"""The Spark job on plain files: the oracle's partition, the same bytes for any partitioning, typed rejects."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from naive_recursion import NaiveRecursion
from worlds import giant_with_stragglers, many_ties, nested_groups, unit

from bannermap.clustering.job import run_on_files
from bannermap.platform.errors import InputError
from bannermap.platform.settings import ClusteringSettings

WORLDS = (nested_groups, giant_with_stragglers, many_ties)
SETTINGS = {"initial_threshold": 0.6, "k_neighbors": 8}
ADAPTIVE = {"threshold_policy": "adaptive", "min_threshold": 0.4}
ROWS = 300


def content_hashes(rows: int, seed: int) -> list[str]:
    return sorted(hashlib.sha256(f"{seed}/{i}".encode()).hexdigest() for i in range(rows))


def write_embeddings(spark, path, ids, vectors, partitions, rng) -> str:
    rows = [(ids[i], vectors[i].tolist(), "ignored") for i in rng.permutation(len(ids))]
    frame = spark.createDataFrame(rows, "content_hash string, vector array<float>, other string")
    frame.repartition(partitions).write.mode("overwrite").parquet(str(path))
    return str(path)


def run(spark, base_settings, embeddings, out, **changes):
    clustering = ClusteringSettings(**SETTINGS, **changes)
    run_on_files(spark, base_settings.model_copy(update={"clustering": clustering}), {"embeddings": embeddings, "out": str(out)})
    members = pd.read_parquet(out / "members").sort_values("content_hash").reset_index(drop=True)
    return members, pd.read_parquet(out / "clusters").sort_values("cluster_id").reset_index(drop=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "kind"),
    [*(({}, kind) for kind in WORLDS), (ADAPTIVE, WORLDS[0])],
    ids=lambda k: getattr(k, "__name__", "adaptive" if k else "fixed"),
)
def test_spark_gives_the_oracles_partition_for_any_partitioning(rule, kind, spark, base_settings, tmp_path):
    rng = np.random.default_rng(WORLDS.index(kind))
    vectors, ids = kind(rng, ROWS), content_hashes(ROWS, 0)
    oracle = NaiveRecursion(vectors, ClusteringSettings(**SETTINGS, **rule))
    labels = oracle.labels()
    layouts = [(1, "true", 4096), (7, "false", 64), (64, "true", 37)]
    results = []
    for partitions, adaptive, block_rows in layouts:
        spark.conf.set("spark.sql.adaptive.enabled", adaptive)
        path = write_embeddings(spark, tmp_path / "in", ids, vectors, partitions, rng)
        layout = {"partitions": partitions, "block_rows": block_rows}
        results.append(run(spark, base_settings, path, tmp_path / "out", **layout, **rule))
    spark.conf.set("spark.sql.adaptive.enabled", "true")
    for members, clusters in results[1:]:
        pd.testing.assert_frame_equal(members, results[0][0], check_exact=True)
        pd.testing.assert_frame_equal(clusters, results[0][1], check_exact=True)
    check_against(oracle, labels, vectors, *results[0])


def check_against(oracle, labels, vectors, members, clusters):
    """Partition, outliers, paths, medoids, cohesions and similarities, from the oracle's groups."""
    names = members.cluster_id.fillna("").to_numpy()
    assert (members.is_outlier == (labels < 0)).all()
    assert same_partition(names, labels)
    assert [len(p) for p in members.path] == [len(oracle.path.get(i, [])) for i in range(len(labels))]
    inside = [(p[-1] if len(p) else "") for p in members.path]
    assert same_partition(
        np.array(inside), np.array([hash(oracle.path[i][-1]) if i in oracle.path else 0 for i in range(len(labels))])
    )
    for row in clusters.itertuples():
        group = np.flatnonzero(names == row.cluster_id)
        exact = vectors[group].astype(np.float64)
        totals = (exact @ exact.T).sum(axis=1) - (exact * exact).sum(axis=1)
        medoid = list(members.content_hash).index(row.medoid)
        assert (row.size, row.nodes) == (len(group), len(group))
        assert row.cohesion == pytest.approx(oracle.cohesion(list(group)), abs=1e-6)
        assert totals[list(group).index(medoid)] == pytest.approx(totals.max(), abs=1e-9)
        assert np.allclose(members.similarity_to_medoid[group], exact @ vectors[medoid].astype(np.float64), atol=1e-6)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = len(set(zip(a.tolist(), b.tolist(), strict=True)))
    return pairs == len(set(a.tolist())) == len(set(b.tolist()))


def test_rows_that_cannot_be_clustered_are_named_and_the_rest_is_clustered(spark, base_settings, tmp_path):
    good = unit([[1, 0, 0], [1, 0.1, 0], [0, 0, 1]])
    rows = [(f"good{i}", v.tolist()) for i, v in enumerate(good)] * 2
    rows += [("nan", [float("nan"), 0.0, 1.0]), ("inf", [float("inf"), 0.0, 1.0]), ("zero", [0.0, 0.0, 0.0])]
    rows += [("short", [1.0]), ("none", None), (None, [1.0, 0.0, 0.0])]
    spark.createDataFrame(rows, "content_hash string, vector array<float>").write.parquet(str(tmp_path / "in"))
    members, clusters = run(spark, base_settings, str(tmp_path / "in"), tmp_path / "out")
    assert members.content_hash.tolist() == ["good0", "good1", "good2"]
    assert members.is_outlier.tolist() == [False, False, True]
    assert clusters[["size", "nodes"]].values.tolist() == [[2, 2]]
    rejects = pd.read_parquet(tmp_path / "out/rejects").fillna("").set_index("node_id").reason.to_dict()
    assert rejects == {
        "nan": "not_finite",
        "inf": "not_finite",
        "zero": "zero_vector",
        "short": "other_dimensions",
        "none": "no_vector",
        "": "no_id",
    }


def test_an_input_of_another_shape_is_refused_with_words(spark, base_settings, tmp_path):
    spark.createDataFrame([("a", 1)], "content_hash string, other int").write.parquet(str(tmp_path / "in"))
    with pytest.raises(InputError, match="lacks vector"):
        run(spark, base_settings, str(tmp_path / "in"), tmp_path / "out")
