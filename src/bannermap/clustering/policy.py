"""Which thresholds a group is cut at: every further one (fixed), or steps and a reach that follow its looseness (adaptive).

Looseness is 1 - cohesion. Tight groups take short steps and are soon left as they are; loose ones take longer steps and look
further ahead. Where a group is cut far above the cosines it holds together by, it crumbles into its nearest pairs, and pairs
are always more cohesive than the group: the reach keeps such cuts from being mistaken for good ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from bannermap.clustering.hierarchy import GRID_STEP, LevelFigures

if TYPE_CHECKING:
    from bannermap.platform.settings import AdaptiveSettings, ClusteringSettings


def candidate_cuts(levels: list[LevelFigures], level: int, component: int, settings: ClusteringSettings) -> Iterable[int]:
    """Levels at which a group may be cut, the first to be tried first.

    Args:
        levels: figures by level, of `hierarchy.level_thresholds`.
        level: of the cut that made the group.
        component: the group's number there.
        settings: the policy and its parameters.
    """
    if settings.threshold_policy == "fixed":
        return range(level + 1, len(levels))
    return _adaptive_cuts(levels, level, component, settings.adaptive)


def _adaptive_cuts(levels: list[LevelFigures], level: int, component: int, rule: AdaptiveSettings) -> Iterator[int]:
    """Every step-th level, up to the reach behind the first one that more than stragglers have left the largest part by."""
    here = levels[level]
    looseness = 1.0 - float(here.cohesion[component])
    low, high = (int(p) for p in here.bounds[component : component + 2])
    last = len(levels) - 1
    falls_apart = False
    for cut in range(level + step_levels(looseness, rule), len(levels), step_levels(looseness, rule)):
        if not falls_apart and _share_outside_largest(levels[cut], low, high) >= rule.straggler_share:
            falls_apart = True
            last = cut + round(rule.reach_per_looseness * looseness / GRID_STEP)
        if cut > last:
            return
        yield cut


def step_levels(looseness: float, rule: AdaptiveSettings) -> int:
    """Levels between two cuts: step_per_looseness * looseness, rounded to the grid, min_step to max_step.

    Args:
        looseness: 1 - cohesion, 0 to 2.
        rule: steps as cosines.
    """
    shortest, longest = (round(step / GRID_STEP) for step in (rule.min_step, rule.max_step))
    return min(max(round(rule.step_per_looseness * looseness / GRID_STEP), shortest), longest)


def _share_outside_largest(cut: LevelFigures, low: int, high: int) -> float:
    inside = cut.inside(low, high)
    largest = int(np.diff(cut.bounds[inside.start : inside.stop + 1]).max())
    return (high - low - largest) / (high - low)
