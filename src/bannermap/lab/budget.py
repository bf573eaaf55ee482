"""How much time a comparison may take, and has taken, and what a fit will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from bannermap.lab.strategies import Strategy

CAUTION = 1.3
"""Times by which an estimate is stretched before it is held against what is left."""


class Budget:
    """Seconds that may pass, from its making on."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock, self.began, self.bound = seconds, clock, clock(), False

    def spent(self) -> float:
        """Seconds since it was made."""
        return self.clock() - self.began

    def allows(self, estimate: float, share: float = 1.0) -> bool:
        """Whether something of so many seconds may be started, within a share of the whole; notes where it may not."""
        allowed = self.spent() + estimate * CAUTION <= self.seconds * share
        self.bound |= not allowed
        return allowed


class Times:
    """What fits of each strategy took on the most rows that it was fitted on: by these one that has no fit yet is estimated."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, dict[int, float]]] = {}

    def __contains__(self, strategy: str) -> bool:
        return strategy in self._known

    def of(self, strategy: str) -> tuple[int, dict[int, float]]:
        """Rows, and number of clusters -> seconds of the last fit of so many; 0 and nothing for one without a fit."""
        return self._known.get(strategy, (0, {}))

    def note(self, strategy: str, rows: int, clusters: int, seconds: float) -> None:
        """A fit; of those on fewer rows nothing is kept.

        Args:
            strategy: name.
            rows: of the fit, no fewer than of any before.
            clusters: as in `foretold_s`.
            seconds: that it took.
        """
        known, taken = self.of(strategy)
        self._known[strategy] = rows, (taken if known == rows else {}) | {clusters: seconds}


def foretold_s(strategy: Strategy, known: int, taken: Mapping[int, float], rows: int, clusters: int) -> float:
    """Seconds of a fit, by fits of the same strategy: by its growth with rows, and by the number of clusters.

    That of as many clusters, or of the next more, counts as it is. Where all had fewer, the one of the most is scaled by the
    ratio of clusters. If another of them had fewer still, only the part that grows with clusters is scaled, by the line through
    the two, since most of what a fit by Spark takes is the same for any number; so the time goes up between not at all and in
    proportion.

    Args:
        strategy: whose.
        known: rows of those fits.
        taken: number of clusters -> their seconds, at least one; 1 for a strategy that is told no number.
        rows: of the fit; of more than the strategy bears it fits a sample.
        clusters: of the fit, at least 1.
    """
    bearable = min(rows, strategy.max_rows or rows)
    return _by_clusters(taken, clusters) * (bearable / min(known, bearable)) ** strategy.growth


def _by_clusters(taken: Mapping[int, float], clusters: int) -> float:
    least, most = min(taken), max(taken)
    if clusters <= most:
        return taken[min(k for k in taken if k >= clusters)]
    grows = taken[most]
    if least < most:
        slope = (taken[most] - taken[least]) / (most - least)
        grows = min(max(slope * most, 0.0), grows)
    return taken[most] + grows * (clusters / most - 1)
