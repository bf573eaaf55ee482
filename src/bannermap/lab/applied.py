"""What becomes of a day's pictures by a model, on Spark: their labels, sums of clusters, medoids, similarities and themes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bannermap.lab import grouping
from bannermap.lab.arrow_vectors import lists_of, vectors_of
from bannermap.lab.assigning import labelled
from bannermap.lab.model_themes import cluster_slots, slots_of_pictures
from bannermap.lab.models import SavedModel
from bannermap.platform.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PICTURES = "node_id string, banners bigint, label bigint, vector array<float>"
PART, BEST = (
    "label bigint, pictures bigint, sums array<bigint>",
    "label bigint, score double, node_id string, vector array<float>",
)
OUTCOMES = "node_id string, label bigint, similarity_to_medoid float, theme_slots array<int>"
ROWS_PER_BATCH = 256
"""Sums of clusters that go to Spark at once."""
Kernel = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Medoids:
    """Of each cluster, in the order of `grouping.Groups.labels`: node_ids, and vectors float32 (c, d)."""

    names: list[str]
    vectors: np.ndarray


def labelled_pictures(nodes: DataFrame, saved: SavedModel) -> DataFrame:
    """`PICTURES`: with the label of each, -1 for none, and unit vectors.

    Args:
        nodes: node_id, banners, width, height, vector.
        saved: the model; it goes to every task once.
    """
    return nodes.mapInArrow(_labels(_shared(nodes, saved)), PICTURES)


def outcomes_of(labelled: DataFrame, saved: SavedModel, groups: grouping.Groups, medoids: Medoids) -> DataFrame:
    """`OUTCOMES` of `labelled_pictures`: cosine to the medoid, and the slot of its cluster's theme, or of an outlier's nearest,
    per number of themes, fewest first."""
    return labelled.mapInArrow(_outcomes(_shared(labelled, (saved, cluster_slots(saved), groups, medoids))), OUTCOMES)


def _shared(frame: DataFrame, value: Any) -> Any:
    return frame.sparkSession.sparkContext.broadcast(value)


def _labels(shared: Any) -> Kernel:
    def label(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                vectors, found = labelled(batch, shared.value.model)
                columns = [batch.column("node_id"), batch.column("banners"), pa.array(found), lists_of(vectors)]
                yield pa.RecordBatch.from_arrays(columns, ["node_id", "banners", "label", "vector"])

    return label


def groups_of_pictures(labelled: DataFrame) -> grouping.Groups:
    """Sums over all pictures: each task's by cluster, then each cluster's, in whole numbers, so that their order is no matter.

    Raises:
        InputError: no picture is in a cluster.
    """
    parts = labelled.select("label", "vector").where("label >= 0").mapInArrow(_sum_kernel, PART)
    by_label = parts.repartition("label").sortWithinPartitions("label")
    table = by_label.mapInArrow(_together_kernel, PART).toArrow()
    if not table.num_rows:
        raise InputError("The model puts no picture of the day into a cluster: train one on pictures like these.")
    return _in_order([_unpacked(batch) for batch in table.to_batches() if batch.num_rows])


def _in_order(parts: list[grouping.Groups]) -> grouping.Groups:
    """Parts that share no cluster; sums are copied once, since they can be most of the driver's memory."""
    labels, pictures = (np.concatenate([getattr(p, c) for p in parts]) for c in ("labels", "pictures"))
    order = np.argsort(labels)
    place, following = np.argsort(order), 0
    sums = np.empty((len(labels), parts[0].sums.shape[1]), np.int64)
    for part in parts:
        sums[place[following : following + len(part.labels)]] = part.sums
        following += len(part.labels)
    return grouping.Groups(labels[order], pictures[order], sums)


def _sum_kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    parts = (grouping.groups_of(b.column("label").to_numpy(), vectors_of(b.column("vector"))) for b in batches if b.num_rows)
    for found in grouping.folded(parts):
        yield from _packed(found)


def _together_kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row per label, of rows in the order of their labels; the last label of a batch may go on in the next."""
    last: list[grouping.Groups] = []
    for batch in batches:
        if batch.num_rows:
            found = grouping.together([*last, _unpacked(batch)])
            yield from _packed(found.part(slice(0, -1)))
            last = [found.part(slice(-1, None))]
    for found in last:
        yield from _packed(found)


def _packed(found: grouping.Groups) -> Iterator[pa.RecordBatch]:
    for low in range(0, len(found.labels), ROWS_PER_BATCH):
        part = found.part(slice(low, low + ROWS_PER_BATCH))
        arrays = [pa.array(part.labels), pa.array(part.pictures), lists_of(part.sums)]
        yield pa.RecordBatch.from_arrays(arrays, ["label", "pictures", "sums"])


def _unpacked(batch: pa.RecordBatch) -> grouping.Groups:
    labels, pictures = (batch.column(c).to_numpy() for c in ("label", "pictures"))
    return grouping.Groups(labels, pictures, batch.column("sums").flatten().to_numpy().reshape(batch.num_rows, -1))


def medoids_of(labelled: DataFrame, groups: grouping.Groups) -> Medoids:
    """The picture of each cluster that is nearest to all others, the smaller node_id on a tie."""
    inside = labelled.select("label", "node_id", "vector").where("label >= 0")
    best = inside.mapInArrow(_best_kernel(_shared(labelled, groups)), BEST)
    order = F.struct((-F.col("score")).alias("least"), "node_id")
    rows = best.groupBy("label").agg(F.min_by(F.struct("node_id", "vector"), order).alias("m")).orderBy("label").collect()
    return Medoids([r["m"]["node_id"] for r in rows], np.array([r["m"]["vector"] for r in rows], np.float32))


def _best_kernel(shared: Any) -> Kernel:
    def best(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                labels, vectors = batch.column("label").to_numpy(), vectors_of(batch.column("vector"))
                scores = grouping.similarity_sums(labels, vectors, shared.value)
                names = np.array(batch.column("node_id").to_pylist(), object)
                order = np.lexsort((names.astype(str), -scores, labels))
                first = order[np.unique(labels[order], return_index=True)[1]]
                columns = [
                    pa.array(labels[first]),
                    pa.array(scores[first]),
                    pa.array(list(names[first])),
                    lists_of(vectors[first]),
                ]
                yield pa.RecordBatch.from_arrays(columns, ["label", "score", "node_id", "vector"])

    return best


def _outcomes(shared: Any) -> Kernel:
    def outcome(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        saved, known, groups, medoids = shared.value
        for batch in batches:
            if batch.num_rows:
                labels, vectors = batch.column("label").to_numpy(), vectors_of(batch.column("vector"))
                inside = labels >= 0
                near = np.full(len(labels), np.nan, np.float32)
                of = medoids.vectors[groups.places(labels[inside])]
                near[inside] = np.einsum("nd,nd->n", vectors[inside].astype(np.float64), of)
                slots = slots_of_pictures(saved, known, labels, vectors)
                given = pa.array(labels, mask=~inside)
                columns = [batch.column("node_id"), given, pa.array(near, mask=~inside), lists_of(slots.astype(np.int32))]
                yield pa.RecordBatch.from_arrays(columns, ["node_id", "label", "similarity_to_medoid", "theme_slots"])

    return outcome
