"""One clustering in many layouts of its input, as digests of what came out."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from small_spark import changed

from bannermap.clustering.engine import Clustered, cluster_nodes
from bannermap.clustering.transforms import numbered_nodes
from bannermap.platform.settings import ClusteringSettings

SAID = ("node", "group_id", "path", "cohesion", "similarity_to_medoid", "is_medoid", "theme_numbers", "duplicate_of")


@dataclass(frozen=True)
class Layout:
    """How rows lie and how Spark cuts its work.

    Attributes:
        partitions: of the input, of shuffles, and of the forest's first level.
        adaptive: whether Spark changes its plans as it goes.
        shuffled_by: seed of the order of the rows; their given order without.
    """

    partitions: int
    adaptive: bool
    shuffled_by: int | None


@dataclass(frozen=True)
class Digests:
    """What came out.

    Attributes:
        labels: sha256 of the canonical labels: int64 (n,), the smallest node of the cluster of each node, -1 for none.
        said: (column, sha256) of all else that is said of each node.
        clusters: their number.
    """

    labels: str
    said: tuple[tuple[str, str], ...]
    clusters: int


def six_layouts(seed: int) -> list[Layout]:
    """Few and many partitions with either kind of planning, every other one shuffled; neighbours differ in all of it."""
    pairs = [(7, True), (64, False), (1, True), (7, False), (64, True), (1, False)]
    return [Layout(*pair, seed + i if (seed + i) % 2 else None) for i, pair in enumerate(pairs)]


def digests(spark: SparkSession, rows: DataFrame, layout: Layout, settings: ClusteringSettings) -> Digests:
    """Cluster the rows in one layout.

    Args:
        spark: session.
        rows: node_id and vector.
        layout: how they are to lie.
        settings: the rule.
    """
    with _planning(spark, layout):
        ordered = rows if layout.shuffled_by is None else rows.orderBy(F.rand(layout.shuffled_by))
        laid = ordered.repartition(layout.partitions).select("node_id", F.lit(1).cast("long").alias("banners"), "vector")
        nodes = numbered_nodes(laid).persist()
        nodes.count()
        clustered = cluster_nodes(nodes, settings.model_copy(update={"partitions": layout.partitions}), "layouts", _silent, {})
        found = _digests(clustered)
    spark.catalog.clearCache()
    return found


def _digests(clustered: Clustered) -> Digests:
    groups = clustered.groups.select("group_number", "group_id", "accepted", "path", "cohesion")
    rows = clustered.clusters.join(groups, "group_number").orderBy("node").toArrow()
    accepted = rows["accepted"].to_numpy()
    number, node = rows["group_number"].to_numpy()[accepted], rows["node"].to_numpy()[accepted]
    _, first, cluster = np.unique(number, return_index=True, return_inverse=True)
    labels = np.full(rows.num_rows, -1, np.int64)
    labels[accepted] = node[first][cluster]
    said = {column: _sha256(repr(rows[column].to_pylist()).encode()) for column in SAID}
    return Digests(_sha256(labels.tobytes()), tuple(said.items()), len(first))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _planning(spark: SparkSession, layout: Layout) -> contextlib.AbstractContextManager[None]:
    adaptive, partitions = str(layout.adaptive).lower(), str(layout.partitions)
    return changed(spark, {"spark.sql.adaptive.enabled": adaptive, "spark.sql.shuffle.partitions": partitions})


@contextlib.contextmanager
def _silent(name: str) -> Iterator[None]:
    yield
