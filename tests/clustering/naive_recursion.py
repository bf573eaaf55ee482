"""An oracle for the partition, written from the rule alone: it searches again inside every component.

Slow on purpose: full matrices of cosines, breadth-first search, no forest, no sums, no sharing with the code under test.
"""

from __future__ import annotations

import numpy as np


class NaiveRecursion:
    """The partition of unit vectors; node ids are row numbers."""

    def __init__(self, vectors, settings, banners=None):
        self.settings = settings
        exact = np.asarray(vectors, np.float32).astype(np.float64)
        self.cosine = (exact @ exact.T).astype(np.float32).astype(np.float64)
        self.banners = np.ones(len(exact), int) if banners is None else np.asarray(banners)
        self.clusters: list[list[int]] = []
        self.path: dict[int, list[frozenset]] = {}

    def run(self) -> list[list[int]]:
        for component in self.cut(list(range(len(self.cosine))), 0):
            if self.size(component) >= self.settings.min_group_size:
                self.refine(component, 0, [])
        return self.clusters

    def labels(self) -> np.ndarray:
        self.run()
        labels = np.full(len(self.cosine), -1)
        for number, members in enumerate(sorted(self.clusters, key=min)):
            labels[members] = number
        return labels

    def threshold(self, j: int) -> float:
        if self.settings.threshold_policy == "adaptive":
            return self.settings.min_threshold + j * 0.01
        return self.settings.initial_threshold + j * self.settings.threshold_step

    def size(self, members) -> int:
        return int(self.banners[members].sum())

    def cohesion(self, members) -> float:
        if len(members) == 1:
            return 1.0
        block = self.cosine[np.ix_(members, members)]
        return float((block.sum() - np.trace(block)) / (len(members) * (len(members) - 1)))

    def cut(self, members: list[int], j: int) -> list[list[int]]:
        """Components of the k-nearest graph of these members alone, at t_j."""
        linked: dict[int, set] = {m: set() for m in members}
        for a in members:
            others = sorted((m for m in members if m != a), key=lambda b: (-self.cosine[a, b], b))
            for b in others[: self.settings.k_neighbors]:
                if self.cosine[a, b] >= self.threshold(j):
                    linked[a].add(b)
                    linked[b].add(a)
        return components(linked)

    def steps(self, members: list[int], depth: int, taken: int):
        """The j at which these members may be cut; made at depth, by so many cuts one within the other."""
        if self.settings.threshold_policy == "fixed":
            yield from range(depth + 1, self.settings.max_depth + 1)
        elif taken < self.settings.max_depth:
            yield from self.adaptive_steps(members, depth)

    def adaptive_steps(self, members: list[int], j: int):
        rule, loose = self.settings.adaptive, 1 - self.cohesion(members)
        hundredths = round(100 * rule.step_per_looseness * loose)
        hundredths = max(round(100 * rule.min_step), min(round(100 * rule.max_step), hundredths))
        apart = None
        while True:
            j += hundredths
            fallen_off = len(members) - max(map(len, self.cut(members, j)))
            if apart is None and fallen_off / len(members) >= rule.straggler_share:
                apart = j
            if apart is not None and j > apart + round(100 * rule.reach_per_looseness * loose):
                return
            yield j

    def refine(self, members: list[int], depth: int, path: list[frozenset]) -> None:
        s, here, path = self.settings, self.cohesion(members), [*path, frozenset(members)]
        self.path.update(dict.fromkeys(members, path))
        for j in self.steps(members, depth, len(path) - 1):
            if here >= s.accept_cohesion or self.threshold(j) > s.max_threshold:
                break
            parts = self.cut(members, j)
            large = [g for g in parts if self.size(g) >= s.min_group_size]
            kept = sum(len(g) for g in large)
            gain = sum(len(g) * (self.cohesion(g) - here) for g in large) / (len(members) * max(here, 0.01))
            if kept >= len(members) / 2 and gain >= s.min_split_improvement:
                for g in large:
                    self.refine(g, j, path)
                return
            if s.split_search == "first" and len(parts) > 1:
                break
        self.clusters.append(members)


def components(linked: dict[int, set]) -> list[list[int]]:
    found, seen = [], set()
    for start in linked:
        if start in seen:
            continue
        seen.add(start)
        group, waiting = [], [start]
        while waiting:
            node = waiting.pop()
            group.append(node)
            waiting.extend(linked[node] - seen)
            seen |= linked[node]
        found.append(sorted(group))
    return found
