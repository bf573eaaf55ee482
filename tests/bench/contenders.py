"""What bench_peers compares: one contender per process, `python contenders.py NAME OPTIONS`, which reads, fits and writes labels.

Options are JSON: vectors (.npy, float32 (n, d), unit rows), parquet (the same rows), labels (.npy to write, int64 (n,), -1 for
none), groups (true number), cores, driver_memory. Only the fit is timed; what is printed last is a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MIN_COSINE = 0.75
"""First threshold of ours; the SemDeDup baseline joins above the same."""
ROWS_PER_CENTROID = 440_000_000 // 50_000
"""SemDeDup's published runs: 50,000 centroids for the 440 million images of LAION."""
BLOCK_ROWS = 2048
Fitted = tuple[np.ndarray, float]


def kmeans(options: dict[str, Any]) -> Fitted:
    """scikit-learn's KMeans, told the true number of groups; it knows no outliers."""
    from sklearn.cluster import KMeans

    vectors = np.load(options["vectors"])
    return timed(lambda: KMeans(options["groups"], random_state=0).fit(vectors).labels_)


def sklearn_hdbscan(options: dict[str, Any]) -> Fitted:
    """scikit-learn's HDBSCAN; on unit vectors Euclidean neighbours are those of the cosine."""
    from sklearn.cluster import HDBSCAN

    vectors = np.load(options["vectors"])
    return timed(lambda: HDBSCAN(min_cluster_size=2, n_jobs=options["cores"], copy=True).fit(vectors).labels_)


def hdbscan(options: dict[str, Any]) -> Fitted:
    """The hdbscan package."""
    from hdbscan import HDBSCAN

    vectors = np.load(options["vectors"])
    return timed(lambda: HDBSCAN(min_cluster_size=2, core_dist_n_jobs=options["cores"]).fit(vectors).labels_)


def semdedup(options: dict[str, Any]) -> Fitted:
    """SemDeDup with as many rows per centroid as published."""
    vectors = np.load(options["vectors"])
    return timed(lambda: joined_within(vectors, -(-len(vectors) // ROWS_PER_CENTROID)))


def semdedup_root(options: dict[str, Any]) -> Fitted:
    """SemDeDup with a centroid per square root of the rows."""
    vectors = np.load(options["vectors"])
    return timed(lambda: joined_within(vectors, int(np.sqrt(len(vectors)))))


def joined_within(vectors: np.ndarray, centroids: int) -> np.ndarray:
    """Spherical k-means, then pairs within a centroid (Abbas et al. 2023, and the options of their code: FAISS, 100 rounds).

    They drop all but one of each group of duplicates; here the groups are read off, as components of the pairs.
    """
    import faiss
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    means = faiss.Kmeans(vectors.shape[1], centroids, niter=100, seed=1234, spherical=True)
    means.train(vectors)
    nearest = means.index.search(vectors, 1)[1].ravel()
    low, high = (np.concatenate(ends) for ends in zip(*(pairs(vectors, nearest == c) for c in range(centroids)), strict=True))
    graph = coo_array((np.ones(len(low), np.int8), (low, high)), shape=(len(vectors), len(vectors)))
    labels = connected_components(graph, directed=False)[1]
    return np.where(np.bincount(labels)[labels] > 1, labels, -1)


def pairs(vectors: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one centroid whose cosine reaches the threshold, in blocks where their code holds all of a centroid's cosines."""
    rows = np.flatnonzero(inside)
    points, found = vectors[rows], [(rows[:0], rows[:0])]
    for start in range(0, len(rows), BLOCK_ROWS):
        near = np.triu(points[start : start + BLOCK_ROWS] @ points[start:].T >= MIN_COSINE, k=1)
        low, high = np.nonzero(near)
        found.append((rows[low + start].astype(np.int32), rows[high + start].astype(np.int32)))
    return tuple(np.concatenate(ends) for ends in zip(*found, strict=True))  # type: ignore[return-value]


def ours_in_process(options: dict[str, Any]) -> Fitted:
    """`cluster_vectors`: the exact search in one process."""
    from bannermap.clustering.in_process import cluster_vectors

    vectors = np.load(options["vectors"])
    cluster_vectors(vectors[:500])  # compiled loops are read from the disk
    return timed(lambda: cluster_vectors(vectors))


def ours_on_spark(options: dict[str, Any], search: str) -> Fitted:
    """The job's path, from Parquet to labels on the driver: reading counts, since Spark reads when it works."""
    from bench_cluster import Phases, labels_of
    from drawn_banners import ROOT

    from bannermap.clustering.engine import cluster_nodes
    from bannermap.clustering.transforms import numbered_nodes
    from bannermap.platform.config import load_settings
    from bannermap.platform.session import build_session

    extra = f"spark.ui.enabled: 'false', spark.driver.memory: '{options['driver_memory']}'"
    given = [f"spark.extra={{{extra}, spark.master: 'local[{options['cores']}]'}}", f"clustering.search={search}"]
    settings = load_settings(ROOT / "conf/base.yaml", [], given)
    spark = build_session(settings.spark)

    def fit() -> np.ndarray:
        rows = spark.read.parquet(options["parquet"]).selectExpr("content_hash node_id", "1L banners", "vector")
        nodes = numbered_nodes(rows).persist()
        return labels_of(cluster_nodes(nodes, settings.clustering, "bench", Phases(), {}), nodes.count())

    fitted = timed(fit)
    spark.stop()
    return fitted


def timed(fit: Callable[[], np.ndarray]) -> Fitted:
    """Labels, and seconds."""
    began = time.monotonic()
    labels = fit()
    return labels, time.monotonic() - began


PEERS: dict[str, Callable[[dict[str, Any]], Fitted]] = {
    "scikit-learn KMeans": kmeans,
    "scikit-learn HDBSCAN": sklearn_hdbscan,
    "hdbscan": hdbscan,
    "SemDeDup": semdedup,
    "SemDeDup, sqrt(n) centroids": semdedup_root,
}
OURS: dict[str, Callable[[dict[str, Any]], Fitted]] = {
    "bannermap in one process": ours_in_process,
    "bannermap on Spark, exact": lambda options: ours_on_spark(options, "exact"),
    "bannermap on Spark, cells": lambda options: ours_on_spark(options, "cells"),
}


if __name__ == "__main__":
    name, given = sys.argv[1], json.loads(sys.argv[2])
    labels, seconds = (PEERS | OURS)[name](given)
    np.save(Path(given["labels"]), np.asarray(labels, np.int64))
    print(json.dumps({"seconds": seconds}))
