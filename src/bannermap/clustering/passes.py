"""Passes over the placed vectors: sums of every component; centroids of the clusters; medoids, similarities and themes.

A component is a run of positions and a task holds a range of positions, so per level at most the first and the last component
of a task are shared with its neighbours. Their sums travel to the driver; all others are finished where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bannermap.clustering.arrow import batch_of, list_array, matrix_of, whole_partition
from bannermap.clustering.cohesion import squared_norms, to_fixed_point, unit_centroid
from bannermap.clustering.duplicates import ALONE
from bannermap.clustering.frames import CENTROIDS, LEVEL_SUMS, MEDOID_CANDIDATES, NODE_CLUSTERS
from bannermap.clustering.medoids import best_member, similarities, sums_to_others
from bannermap.clustering.themes import ThemeFit, nearest_themes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.clustering.recursion import Recursion

Batches = Iterable[pa.RecordBatch]
Sums = dict[tuple[int, int], np.ndarray]


@dataclass(frozen=True)
class LevelLayout:
    """What a task must know of the levels.

    Attributes:
        bounds: per level, int64 (c + 1,), see `hierarchy.LevelFigures`.
        wanted: per level, bool (c,), components whose cohesion may be asked.
        scale: see `cohesion.fixed_point_scale`.
    """

    bounds: list[np.ndarray]
    wanted: list[np.ndarray]
    scale: float


def level_sums(placed: DataFrame, layout: LevelLayout) -> tuple[list[np.ndarray], Sums]:
    """|sum x|^2 of every wanted component of every level.

    Args:
        placed: `PLACED_VECTORS`, range-partitioned and sorted.
        layout: the levels.

    Returns:
        Per level float64 (c,), 0 where not wanted; and the fixed-point sums of components that several tasks shared.
    """
    shared = placed.sparkSession.sparkContext.broadcast(layout)

    def kernel(batches: Batches) -> Iterator[pa.RecordBatch]:
        rows = whole_partition(batches)
        if rows is not None:
            yield from _task_sums(rows, shared.value)

    found = placed.mapInArrow(kernel, LEVEL_SUMS.schema).toArrow()
    norms = [np.zeros(len(w)) for w in layout.wanted]
    sums: Sums = {}
    for row in found.filter(pa.compute.is_null(found["squared_norm"])).to_pylist():
        key = (row["level"], row["component"])
        sums[key] = sums.get(key, 0) + np.array(row["vector_sum"], np.int64)
    whole = found.filter(pa.compute.is_valid(found["squared_norm"]))
    for level, values in enumerate(norms):
        here = whole.filter(pa.compute.equal(whole["level"], level))
        values[here["component"].to_numpy()] = here["squared_norm"].to_numpy()
    for (level, component), total in sums.items():
        norms[level][component] = squared_norms(total[None, :], layout.scale)[0]
    return norms, sums


def _task_sums(rows: pa.Table, layout: LevelLayout) -> Iterator[pa.RecordBatch]:
    low = rows["position"][0].as_py()
    high = low + rows.num_rows
    sums, at = to_fixed_point(matrix_of(rows["vector"]), layout.scale), np.arange(low, high)
    for level in range(len(layout.bounds) - 1, -1, -1):
        bounds = layout.bounds[level]
        components = np.arange(np.searchsorted(bounds, low, "right") - 1, np.searchsorted(bounds, high, "left"))
        starts = np.maximum(bounds[components], low)
        sums, at = np.add.reduceat(sums, np.searchsorted(at, starts), axis=0), starts
        wanted = layout.wanted[level][components]
        whole = (bounds[components] >= low) & (bounds[components + 1] <= high)
        yield _sum_rows(level, components[wanted & whole], squared_norms(sums[wanted & whole], layout.scale), None)
        yield _sum_rows(level, components[wanted & ~whole], None, sums[wanted & ~whole])


def _sum_rows(level: int, components: np.ndarray, norms: np.ndarray | None, sums: np.ndarray | None) -> pa.RecordBatch:
    levels = np.full(len(components), level, np.int32)
    norm_column = pa.nulls(len(components), pa.float64()) if norms is None else norms
    sum_column = pa.nulls(len(components), pa.list_(pa.int64())) if sums is None else list_array(sums)
    return batch_of(LEVEL_SUMS, levels, components.astype(np.int64), norm_column, sum_column)


@dataclass(frozen=True)
class ClusterLayout:
    """What a task must know of the clusters.

    Attributes:
        group_of: int32 (n,), see `recursion.Recursion`.
        runs: group number -> (first position, position behind the last) of each cluster.
        shared_sums: group number -> int64 (d,), fixed-point sum of each cluster that several tasks hold.
        duplicate_of: int64 (n,), by node, see `duplicates.duplicate_sets`.
        scale: see `cohesion.fixed_point_scale`.
        shared_medoids: group number -> (node, float32 (d,)) of clusters that several tasks hold, once known.
        themes: once known.
    """

    group_of: np.ndarray
    runs: dict[int, tuple[int, int]]
    shared_sums: dict[int, np.ndarray]
    duplicate_of: np.ndarray
    scale: float
    shared_medoids: dict[int, tuple[int, np.ndarray]] = field(default_factory=dict)
    themes: tuple[ThemeFit, ...] = ()

    def clusters_in(self, low: int, high: int) -> list[int]:
        """Clusters with a member at ``low .. high``."""
        return [int(g) for g in np.unique(self.group_of[low:high]) if int(g) in self.runs]


def cluster_layout(
    recursion: Recursion, bounds: list[np.ndarray], sums: Sums, scale: float, duplicate_of: np.ndarray
) -> ClusterLayout:
    """The clusters' runs, and the sums that `level_sums` brought for those that several tasks hold."""
    accepted = [(number, g) for number, g in enumerate(recursion.groups) if g.accepted]
    keys = {number: (g.level, int(np.searchsorted(bounds[g.level], g.low))) for number, g in accepted}
    shared = {number: sums[key] for number, key in keys.items() if key in sums}
    runs = {number: (g.low, g.high) for number, g in accepted}
    return ClusterLayout(recursion.group_of, runs, shared, duplicate_of, scale)


def cluster_centroids(placed: DataFrame, layout: ClusterLayout, wanted: set[int]) -> dict[int, np.ndarray]:
    """Centroids of some clusters: group number -> float32 (d,), unit length; ascending group numbers.

    Args:
        placed: `PLACED_VECTORS`, range-partitioned and sorted.
        layout: the clusters.
        wanted: group numbers; as many as the driver can hold vectors of.
    """
    shared = placed.sparkSession.sparkContext.broadcast((layout, wanted))

    def kernel(batches: Batches) -> Iterator[pa.RecordBatch]:
        rows = whole_partition(batches)
        if rows is not None:
            yield from _task_centroids(rows, *shared.value)

    found = placed.mapInArrow(kernel, CENTROIDS.schema).toArrow()
    result = dict(zip(found["group_number"].to_pylist(), matrix_of(found["centroid"]), strict=True))
    result |= {g: unit_centroid(total, layout.scale) for g, total in layout.shared_sums.items() if g in wanted}
    return dict(sorted(result.items()))


def _task_centroids(rows: pa.Table, layout: ClusterLayout, wanted: set[int]) -> Iterator[pa.RecordBatch]:
    low, vectors = rows["position"][0].as_py(), matrix_of(rows["vector"])
    here = [c for c in layout.clusters_in(low, low + len(vectors)) if c in wanted and c not in layout.shared_sums]
    if here:
        sums = [_total(layout, c, vectors[_members(layout, c, low, len(vectors))]) for c in here]
        yield batch_of(CENTROIDS, np.array(here, np.int32), list_array(np.stack([unit_centroid(s, layout.scale) for s in sums])))


def node_clusters(placed: DataFrame, layout: ClusterLayout) -> DataFrame:
    """Group, similarity to the medoid, medoid mark, themes and duplicate set of every node.

    Args:
        placed: `PLACED_VECTORS`, range-partitioned and sorted.
        layout: the clusters.

    Returns:
        `NODE_CLUSTERS`.
    """
    complete = replace(layout, shared_medoids=_shared_medoids(placed, layout))
    shared = placed.sparkSession.sparkContext.broadcast(complete)

    def kernel(batches: Batches) -> Iterator[pa.RecordBatch]:
        rows = whole_partition(batches)
        if rows is not None:
            yield _task_clusters(rows, shared.value)

    return placed.mapInArrow(kernel, NODE_CLUSTERS.schema)


def _shared_medoids(placed: DataFrame, layout: ClusterLayout) -> dict[int, tuple[int, np.ndarray]]:
    """Medoids of clusters that several tasks hold: each task names its best, the driver takes the best of those."""
    if not layout.shared_sums:
        return {}
    shared = placed.sparkSession.sparkContext.broadcast(layout)

    def kernel(batches: Batches) -> Iterator[pa.RecordBatch]:
        rows = whole_partition(batches)
        if rows is not None:
            yield from _task_candidates(rows, shared.value)

    found = placed.mapInArrow(kernel, MEDOID_CANDIDATES.schema).orderBy(F.desc("score"), F.asc("node")).toArrow()
    best: dict[int, tuple[int, np.ndarray]] = {}
    for row in found.to_pylist():
        best.setdefault(row["cluster"], (row["node"], np.array(row["vector"], np.float32)))
    return best


def _task_candidates(rows: pa.Table, layout: ClusterLayout) -> Iterator[pa.RecordBatch]:
    low, nodes, vectors = rows["position"][0].as_py(), rows["node"].to_numpy(), matrix_of(rows["vector"])
    for cluster in layout.clusters_in(low, low + len(nodes)):
        if cluster in layout.shared_sums:
            members = _members(layout, cluster, low, len(nodes))
            scores = sums_to_others(vectors[members], layout.shared_sums[cluster], layout.scale)
            best = best_member(scores, nodes[members])
            one = slice(best, best + 1)
            name = np.array([cluster], np.int32)
            yield batch_of(MEDOID_CANDIDATES, name, scores[one], nodes[members][one], list_array(vectors[members][one]))


def _task_clusters(rows: pa.Table, layout: ClusterLayout) -> pa.RecordBatch:
    low, nodes, vectors = rows["position"][0].as_py(), rows["node"].to_numpy(), matrix_of(rows["vector"])
    similarity, is_medoid = np.full(len(nodes), np.nan, np.float32), np.zeros(len(nodes), bool)
    themes = _theme_numbers(vectors, layout)
    for cluster in layout.clusters_in(low, low + len(nodes)):
        members = _members(layout, cluster, low, len(nodes))
        total = _total(layout, cluster, vectors[members])
        medoid, vector = _medoid(cluster, layout, total, nodes[members], vectors[members])
        similarity[members] = similarities(vectors[members], vector)
        is_medoid[members] = nodes[members] == medoid
        themes[members] = _theme_numbers(unit_centroid(total, layout.scale)[None, :], layout)
    group, duplicate = layout.group_of[low : low + len(nodes)], layout.duplicate_of[nodes]
    nullable = (
        pa.array(similarity, from_pandas=True),
        is_medoid,
        list_array(themes),
        pa.array(duplicate, mask=duplicate == ALONE),
    )
    return batch_of(NODE_CLUSTERS, nodes, group, *nullable)


def _theme_numbers(vectors: np.ndarray, layout: ClusterLayout) -> np.ndarray:
    """int32 (n, fits)."""
    numbers = [nearest_themes(vectors, fit) for fit in layout.themes]
    return np.stack(numbers, axis=1) if numbers else np.empty((len(vectors), 0), np.int32)


def _total(layout: ClusterLayout, cluster: int, vectors: np.ndarray) -> np.ndarray:
    """Fixed-point sum of a cluster, int64 (d,); ``vectors`` are its members unless several tasks hold them."""
    if cluster in layout.shared_sums:
        return layout.shared_sums[cluster]
    return to_fixed_point(vectors, layout.scale).sum(axis=0)


def _medoid(
    cluster: int, layout: ClusterLayout, total: np.ndarray, nodes: np.ndarray, vectors: np.ndarray
) -> tuple[Any, np.ndarray]:
    if cluster in layout.shared_medoids:
        return layout.shared_medoids[cluster]
    best = best_member(sums_to_others(vectors, total, layout.scale), nodes)
    return nodes[best], vectors[best]


def _members(layout: ClusterLayout, cluster: int, low: int, rows: int) -> slice:
    first, last = layout.runs[cluster]
    return slice(max(first - low, 0), min(last - low, rows))
