"""Which cut is taken: the recursion over the hierarchy's runs.

A cut of a component at a higher threshold gives components of the whole graph at that threshold, so every group that the
recursion can meet is a run of some level, and its cohesion comes from that level's sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bannermap.clustering.cohesion import mean_pairwise_cosine
from bannermap.clustering.hierarchy import Hierarchy, LevelFigures
from bannermap.clustering.policy import candidate_cuts
from bannermap.platform.settings import ClusteringSettings

LEAST_COHESION = 0.01
"""Floor of the cohesion that an improvement is measured against; loose or opposed groups would divide by nothing."""


@dataclass(frozen=True)
class Group:
    """A group that the recursion met: accepted as a cluster, or cut further.

    Attributes:
        parent: index of the group that was cut, -1 at the start.
        level: number of the threshold of the cut that made it.
        low: first position.
        high: position behind the last.
        banners: number of banners.
        cohesion: mean pairwise cosine.
        accepted: whether it is a cluster.
    """

    parent: int
    level: int
    low: int
    high: int
    banners: int
    cohesion: float
    accepted: bool

    @property
    def nodes(self) -> int:
        """Number of distinct pictures."""
        return self.high - self.low


@dataclass(frozen=True)
class Recursion:
    """The outcome.

    Attributes:
        groups: parents before children.
        group_of: int32 (n,), per position the deepest group that holds it, -1 for none; an outlier's group is not accepted.
    """

    groups: list[Group]
    group_of: np.ndarray

    def ancestors(self, group: int) -> list[int]:
        """The groups from the start down to ``group``, itself included; empty for -1."""
        path = []
        while group >= 0:
            path.append(group)
            group = self.groups[group].parent
        return path[::-1]


def level_figures(hierarchy: Hierarchy, banners: np.ndarray, squared_norm: list[np.ndarray]) -> list[LevelFigures]:
    """Counts and cohesions of every level.

    Args:
        hierarchy: runs.
        banners: int64 (n,), banners of the node at each position.
        squared_norm: per level, float64 (c,), |sum x|^2 of each component.
    """
    total = np.concatenate([[0], np.cumsum(banners)])
    bounds = [hierarchy.bounds(level) for level in range(len(hierarchy.starts))]
    return [
        LevelFigures(b, np.diff(total[b]), mean_pairwise_cosine(np.diff(b), norms))
        for b, norms in zip(bounds, squared_norm, strict=True)
    ]


def refine_all(levels: list[LevelFigures], nodes: int, settings: ClusteringSettings) -> Recursion:
    """Run the recursion from the components of the first level.

    Args:
        levels: figures by level; the first is the start.
        nodes: n.
        settings: the rule's thresholds.
    """
    groups: list[Group] = []
    group_of = np.full(nodes, -1, np.int32)
    start = levels[0]
    waiting = [(-1, 0, 0, int(c)) for c in np.flatnonzero(start.banners >= settings.min_group_size)[::-1]]
    while waiting:
        parent, depth, level, component = waiting.pop()
        parts = _chosen_cut(levels, level, component, settings) if depth < settings.max_depth else []
        low, high = (int(p) for p in levels[level].bounds[component : component + 2])
        banners, cohesion = int(levels[level].banners[component]), float(levels[level].cohesion[component])
        group_of[low:high] = len(groups)
        waiting.extend((len(groups), depth + 1, cut, c) for cut, c in parts[::-1])
        groups.append(Group(parent, level, low, high, banners, cohesion, accepted=not parts))
    return Recursion(groups, group_of)


def _chosen_cut(levels: list[LevelFigures], level: int, component: int, settings: ClusteringSettings) -> list[tuple[int, int]]:
    """(level, component) of each part of the cut that is taken; none where the component is accepted."""
    here = levels[level]
    cohesion = float(here.cohesion[component])
    if cohesion >= settings.accept_cohesion:
        return []
    low, high = here.bounds[component], here.bounds[component + 1]
    for cut in candidate_cuts(levels, level, component, settings):
        inside = levels[cut].inside(low, high)
        if _is_taken(levels[cut], inside, cohesion, settings):
            large = np.flatnonzero(levels[cut].banners[inside] >= settings.min_group_size) + inside.start
            return [(cut, int(c)) for c in large]
        if settings.split_search == "first" and inside.stop - inside.start > 1:
            return []  # the older rule: the first cut that changes anything decides, also against cutting
    return []


def _is_taken(cut: LevelFigures, inside: slice, cohesion: float, settings: ClusteringSettings) -> bool:
    """Whether a cut keeps half of the nodes in groups and raises their cohesion by min_split_improvement."""
    large = cut.banners[inside] >= settings.min_group_size
    sizes = np.diff(cut.bounds[inside.start : inside.stop + 1])
    kept, gained = sizes[large], cut.cohesion[inside][large] - cohesion
    if 2 * int(kept.sum()) < int(sizes.sum()):
        return False
    gain = math.fsum(kept * gained)  # exact, so the order of the parts cannot matter
    return gain / (int(sizes.sum()) * max(cohesion, LEAST_COHESION)) >= settings.min_split_improvement
