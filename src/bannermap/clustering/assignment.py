"""New pictures against a stored clustering, on Spark; the rule stands in `assigning`.

Everything is compared with everything, in blocks of new pictures: each block goes to every task, which streams its share of the
clustered pictures past it. So the driver holds one block, a task one block and one chunk, and neither all vectors of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bannermap.clustering.arrow import batch_of, large_chunks, matrix_of
from bannermap.clustering.assigning import NEAREST_PICTURE, TOO_FAR, Nearest, nearer, nearest_in
from bannermap.clustering.frames import (
    CLUSTERED_VECTORS,
    KNOWN_PICTURES,
    NEAREST_PICTURES,
    PICTURE_ASSIGNMENTS,
    SCORED_PICTURES,
)
from bannermap.clustering.scores import pair_cosines
from bannermap.clustering.themes import ThemeFit, nearest_themes
from bannermap.clustering.transforms import pictures_with_vectors

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Batches = Iterable[pa.RecordBatch]
CHUNK_ROWS = 8192
"""Clustered pictures that a task holds against a block at once."""


@dataclass(frozen=True)
class StoredThemes:
    """Themes of one number asked for: ``fit`` by slot, and the theme_id of each."""

    fit: ThemeFit
    theme_ids: tuple[str, ...]


def known_pictures(members: DataFrame, clusters: DataFrame) -> DataFrame:
    """`KNOWN_PICTURES`: what a clustering says of each picture, whichever of its banners is looked at.

    Args:
        members: `CLUSTER_MEMBERS` of one clustering.
        clusters: `CLUSTERS` of the same.
    """
    said = F.struct("banner_id", "cluster_id", "similarity_to_medoid", "themes")
    shown = members.groupBy("pixel_hash").agg(F.min_by(said, "banner_id").alias("m"))
    facts = clusters.select("cluster_id", "threshold", "medoid")
    return KNOWN_PICTURES.select(shown.select(F.col("pixel_hash").alias("node_id"), "m.*").join(facts, "cluster_id", "left"))


def picture_vectors(contents: DataFrame, vectors: DataFrame) -> DataFrame:
    """`CLUSTERED_VECTORS`: per picture the vector of the smallest content_hash that has one.

    Args:
        contents: pixel_hash, content_hash; a picture may have several.
        vectors: `EMBEDDINGS` of one encoder.
    """
    return CLUSTERED_VECTORS.select(pictures_with_vectors(contents, vectors))


def assigned_pictures(
    queries: DataFrame, known: DataFrame, clustered: DataFrame, themes: Mapping[int, StoredThemes], block_rows: int
) -> DataFrame:
    """`PICTURE_ASSIGNMENTS` of new pictures, the same rows for any partitioning and any block.

    Args:
        queries: `NODES`, persisted; none of them is known.
        known: `KNOWN_PICTURES`.
        clustered: `CLUSTERED_VECTORS`, persisted, of the known pictures that are in a cluster.
        themes: number asked for -> themes.
        block_rows: queries that are searched at once, at least 1.
    """
    facts = known.withColumnRenamed("node_id", "nearest_pixel_hash").withColumnRenamed("banner_id", "nearest_banner_id")
    found = nearest_pictures(queries, clustered, block_rows).withColumnRenamed("nearest", "nearest_pixel_hash")
    named = queries.select("node", "node_id").join(found, "node", "left")
    judged = named.join(facts.drop("similarity_to_medoid"), "nearest_pixel_hash", "left")
    joins = F.coalesce(F.col("cosine") >= F.col("threshold"), F.lit(False))
    judged = judged.withColumn("reason", F.when(joins, NEAREST_PICTURE).otherwise(TOO_FAR)).withColumns(
        {name: F.when(F.col("reason") == NEAREST_PICTURE, F.col(name)) for name in ("cluster_id", "medoid", "themes")}
    )
    scored = judged.join(_scored(queries, judged, clustered, themes), "node")
    if themes:
        nearest_ids = F.map_from_arrays(F.array(*map(F.lit, sorted(themes))), "theme_ids")
        scored = scored.withColumn("themes", F.coalesce("themes", nearest_ids))
    return PICTURE_ASSIGNMENTS.select(scored)


def nearest_pictures(queries: DataFrame, clustered: DataFrame, block_rows: int) -> DataFrame:
    """`NEAREST_PICTURES`: the most similar clustered picture of each query, the smaller id on a tie; arguments as above."""
    found = queries.sparkSession.createDataFrame([], NEAREST_PICTURES.schema)
    for low in range(0, queries.count(), block_rows):
        found = found.unionByName(_searched(queries, clustered, low, low + block_rows))
    return found


def _searched(queries: DataFrame, clustered: DataFrame, low: int, high: int) -> DataFrame:
    block = queries.where((F.col("node") >= low) & (F.col("node") < high)).select("node", "vector").toArrow()
    shared = queries.sparkSession.sparkContext.broadcast((block["node"].to_numpy(), matrix_of(block["vector"])))
    each = CLUSTERED_VECTORS.select(clustered).mapInArrow(_search_kernel(shared), NEAREST_PICTURES.schema)
    best = F.min(F.struct((-F.col("cosine")).alias("order"), "nearest", "cosine")).alias("best")
    rows = each.groupBy("node").agg(best).select("node", "best.nearest", "best.cosine").persist()
    rows.count()  # now, so that the executors can let go of this block before the next one comes
    shared.unpersist()
    return rows


def _search_kernel(shared: Any) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    def search(batches: Batches) -> Iterator[pa.RecordBatch]:
        nodes, queries = shared.value
        best = Nearest.none(len(nodes))
        for chunk in large_chunks(batches, CHUNK_ROWS):
            ids = np.array(chunk["node_id"].to_pylist(), object)
            best = nearer(best, nearest_in(queries, ids, matrix_of(chunk["vector"])))
        seen = best.cosines > -np.inf
        yield batch_of(NEAREST_PICTURES, nodes[seen], pa.array(best.ids[seen], pa.string()), best.cosines[seen])

    return search


def _scored(queries: DataFrame, judged: DataFrame, clustered: DataFrame, themes: Mapping[int, StoredThemes]) -> DataFrame:
    """`SCORED_PICTURES`: each query's vector beside that of the medoid of the cluster that it joins, if it joins one."""
    medoids = clustered.select(F.col("node_id").alias("medoid"), F.col("vector").alias("medoid_vector"))
    both = queries.select("node", "vector").join(judged.select("node", "medoid"), "node").join(medoids, "medoid", "left")
    shared = queries.sparkSession.sparkContext.broadcast([themes[k] for k in sorted(themes)])

    def score(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                ids = _nearest_theme_ids(matrix_of(batch.column(1)), shared.value)
                yield batch_of(SCORED_PICTURES, batch.column(0), _medoid_cosines(batch.column(1), batch.column(2)), ids)

    return both.select("node", "vector", "medoid_vector").mapInArrow(score, SCORED_PICTURES.schema)


def _medoid_cosines(vectors: pa.Array, medoids: pa.Array) -> pa.Array:
    """float, null where there is no medoid."""
    there = medoids.is_valid()
    rows, result = np.flatnonzero(there), np.full(len(vectors), np.nan, np.float32)
    if len(rows):
        left, right = matrix_of(vectors.filter(there)), matrix_of(medoids.filter(there))
        result[rows] = pair_cosines(left, right, np.arange(len(rows)), np.arange(len(rows)))
    return pa.array(result, from_pandas=True)


def _nearest_theme_ids(vectors: np.ndarray, themes: list[StoredThemes]) -> pa.Array:
    """array<string>: the nearest theme of each vector in every fit."""
    per_fit = [np.array(t.theme_ids, object)[nearest_themes(vectors, t.fit)] for t in themes]
    rows = np.stack(per_fit, axis=1).tolist() if per_fit else [[] for _ in vectors]
    return pa.array(rows, pa.list_(pa.string()))
