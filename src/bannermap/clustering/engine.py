"""From numbered nodes to their clusters: the steps in order, on Spark, with the driver's part between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bannermap.clustering.audit import Audit
from bannermap.clustering.auditing import audit_search
from bannermap.clustering.cohesion import fixed_point_scale
from bannermap.clustering.distributed import duplicate_pairs, placed
from bannermap.clustering.duplicates import duplicate_sets
from bannermap.clustering.forest import Edges
from bannermap.clustering.forest_merge import forest_of
from bannermap.clustering.frames import GROUPS, NODE_VECTORS
from bannermap.clustering.group_ids import group_ids
from bannermap.clustering.hierarchy import Hierarchy, build_hierarchy, level_thresholds
from bannermap.clustering.passes import (
    ClusterLayout,
    LevelLayout,
    cluster_centroids,
    cluster_layout,
    level_sums,
    node_clusters,
)
from bannermap.clustering.recursion import Recursion, level_figures, refine_all
from bannermap.clustering.search import Found, Kept, find_neighbours
from bannermap.clustering.themes import ThemeFit, fit_themes
from bannermap.platform.checkpoints import Checkpoints

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.settings import ClusteringSettings

PHASES = ("search neighbours", "merge forests", "sum components", "decide cuts", "audit the search", "fit themes")
Phase = Callable[[str], AbstractContextManager[None]]
THEME_FIT_CLUSTERS = 20_000
"""Clusters (largest first) that themes are fitted to: the driver holds their centroids, 245 MB at 3,072 dimensions."""


@dataclass(frozen=True)
class Clustered:
    """What a clustering leaves.

    Attributes:
        found: neighbours, and how they were found.
        audit: what the search missed; none where everything was searched.
        weakest_link: least cosine of an edge that holds a cluster together; nan without clusters.
        clusters: `NODE_CLUSTERS`.
        groups: `GROUPS`.
        duplicate_pairs: `NEIGHBOUR_ROWS`, each pair once.
        themes: one fit per number of themes asked for; none where there is no cluster.
    """

    found: Found
    audit: Audit | None
    weakest_link: float
    clusters: DataFrame
    groups: DataFrame
    duplicate_pairs: DataFrame
    themes: tuple[ThemeFit, ...]


def cluster_nodes(
    nodes: DataFrame,
    settings: ClusteringSettings,
    name: str,
    phase: Phase,
    themes_before: Mapping[int, np.ndarray],
    kept: Kept | None = None,
    checkpoints: Checkpoints | None = None,
) -> Clustered:
    """Partition the nodes by the rule of `recursion`; byte-identical for any partitioning of ``nodes``.

    Args:
        nodes: `NODES`, persisted, at least one row.
        settings: the rule, and how work is cut.
        name: the clustering's id, part of new groups' ids.
        phase: names a phase for people and the manifest.
        themes_before: number of themes -> float32 (themes, d), where the fit starts.
        kept: what an earlier search left.
        checkpoints: where long phases leave their results; in memory without.
    """
    figures = nodes.select("node", "banners", "lane_a", "lane_b").orderBy("node").toArrow()
    banners, lane_a, lane_b = (figures[c].to_numpy() for c in ("banners", "lane_a", "lane_b"))
    vectors = NODE_VECTORS.select(nodes)
    left = checkpoints or Checkpoints(nodes.sparkSession, None)
    with phase("search neighbours"):
        found = find_neighbours(nodes, lane_a, settings, left, kept)
    with phase("merge forests"):
        forest = _forest(found.rows, figures.num_rows, settings, left)
        hierarchy = build_hierarchy(figures.num_rows, forest, level_thresholds(settings))
    position, banners = hierarchy.position(), banners[hierarchy.order]
    with phase("sum components"):
        at_place = placed(vectors, position, settings.block_rows)
        layout = _layout(hierarchy, banners, _largest_component(vectors), settings)
        norms, shared = level_sums(at_place, layout)
    with phase("decide cuts"):
        recursion = refine_all(level_figures(hierarchy, banners, norms), figures.num_rows, settings)
        groups = _groups_frame(
            nodes, recursion, hierarchy, group_ids(recursion, lane_a[hierarchy.order], lane_b[hierarchy.order], name)
        )
    accepted = _accepted_groups(recursion)
    with phase("audit the search"):
        audit = _audit(vectors, found, lane_b, accepted[position], settings)
    duplicate_of = duplicate_sets(hierarchy, accepted, banners, settings.min_duplicate_cosine)
    clusters = cluster_layout(recursion, layout.bounds, shared, layout.scale, duplicate_of)
    with phase("fit themes"):
        themes = _themes(at_place, clusters, recursion, settings, themes_before)
    outcome = node_clusters(at_place, replace(clusters, themes=themes))
    pairs = duplicate_pairs(found.rows, duplicate_of, settings.min_duplicate_cosine)
    return Clustered(found, audit, _weakest_link(hierarchy, accepted), outcome, groups, pairs, themes)


def _forest(rows: DataFrame, nodes: int, settings: ClusteringSettings, checkpoints: Checkpoints) -> Edges:
    def make() -> pa.Table:
        with checkpoints.scratch("runs") as folder:
            return pa.table(vars(forest_of(rows, nodes, settings, folder)))

    kept = checkpoints.table("forest", make)
    return Edges(**{name: kept[name].to_numpy() for name in kept.column_names})


def _audit(
    vectors: DataFrame, found: Found, rank: np.ndarray, cluster_of: np.ndarray, settings: ClusteringSettings
) -> Audit | None:
    if found.cells.centroids is None:
        return None
    return audit_search(vectors, found.rows, rank, cluster_of, settings, found.asked, found.reduction)


def _weakest_link(hierarchy: Hierarchy, accepted: np.ndarray) -> float:
    inside = (accepted[1:] == accepted[:-1]) & (accepted[1:] >= 0)
    return float(hierarchy.gap[1:][inside].min(initial=np.inf)) if inside.any() else float("nan")


def _accepted_groups(recursion: Recursion) -> np.ndarray:
    """int32 (n,): the cluster at each position, -1 for outliers."""
    accepted = np.array([g.accepted for g in recursion.groups] + [False])
    return np.where(accepted[recursion.group_of], recursion.group_of, -1)


def _themes(
    at_place: DataFrame,
    layout: ClusterLayout,
    recursion: Recursion,
    settings: ClusteringSettings,
    before: Mapping[int, np.ndarray],
) -> tuple[ThemeFit, ...]:
    largest = sorted(layout.runs, key=lambda g: (-recursion.groups[g].banners, g))[:THEME_FIT_CLUSTERS]
    if not (largest and settings.theme_counts):
        return ()
    centroids = cluster_centroids(at_place, layout, set(largest))
    weights = np.array([recursion.groups[g].banners for g in centroids], np.float64)
    points = np.stack(list(centroids.values()))
    return tuple(fit_themes(points, weights, k, before.get(k)) for k in settings.theme_counts)


def _largest_component(vectors: DataFrame) -> float:
    largest = F.max(F.array_max(F.transform("vector", F.abs)))
    return float(vectors.agg(largest).collect()[0][0])


def _layout(hierarchy: Hierarchy, banners: np.ndarray, largest: float, settings: ClusteringSettings) -> LevelLayout:
    total = np.concatenate([[0], np.cumsum(banners)])
    bounds = [hierarchy.bounds(level) for level in range(len(hierarchy.starts))]
    wanted = [np.diff(total[b]) >= settings.min_group_size for b in bounds]
    return LevelLayout(bounds, wanted, fixed_point_scale(len(banners), largest))


def _groups_frame(nodes: DataFrame, recursion: Recursion, hierarchy: Hierarchy, names: list[str]) -> DataFrame:
    rows: list[tuple[Any, ...]] = [(-1, None, [], False, 0, 0, None, None, None, None)]
    for number, g in enumerate(recursion.groups):
        path = [names[a] for a in recursion.ancestors(number)]
        threshold, parent = float(hierarchy.thresholds[g.level]), path[-2] if len(path) > 1 else None
        rows.append((number, names[number], path, g.accepted, g.banners, g.nodes, g.cohesion, threshold, g.level, parent))
    return nodes.sparkSession.createDataFrame(rows, GROUPS.schema)
