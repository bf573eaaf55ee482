"""How much time a comparison may take, and has taken, and what a fit will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from bannermap.lab.strategies import Strategy

CAUTION = 1.3
"""Times by which an estimate is stretched before it is held against what is left."""


class Budget:
    """Seconds that may pass, from its making on, and what was left out for want of them.

    What is left out follows from how fast the machine is, so a comparison could not be repeated by its seed alone. It can be by
    what an earlier one left out: then only that is left out again, and the clock decides nothing until all the seconds are spent.
    """

    def __init__(
        self, seconds: float, clock: Callable[[], float] = time.monotonic, earlier: Collection[str] | None = None
    ) -> None:
        """Begin.

        Args:
            seconds: that may pass.
            clock: seconds that rise.
            earlier: what the comparison that is repeated left out; None where none is.
        """
        self.seconds, self.earlier, self.clock, self.began = seconds, earlier, clock, clock()
        self.left_out = set(earlier or ())

    def part(self, share: float) -> Budget:
        """A share of its seconds, from the same beginning; what is left out there is left out here."""
        result = Budget(self.seconds * share, self.clock, self.earlier)
        result.began, result.left_out = self.began, self.left_out
        return result

    @property
    def repeats(self) -> bool:
        """Whether it goes by what an earlier comparison left out."""
        return self.earlier is not None

    def spent(self) -> float:
        """Seconds since it was made."""
        return self.clock() - self.began

    def allows(self, what: str, estimate: float, share: float = 1.0) -> bool:
        """Whether something may be started; notes it where it may not.

        Args:
            what: a name of its own.
            estimate: seconds that it will take.
            share: of the whole, within which it has to end.
        """
        allowed = self.fits(estimate, share) if self.earlier is None else what not in self.earlier and self.fits(0.0)
        if not allowed:
            self.left_out.add(what)
        return allowed

    def fits(self, estimate: float, share: float = 1.0) -> bool:
        """Whether what takes so many seconds would end within a share of the whole."""
        return self.spent() + estimate * CAUTION <= self.seconds * share


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
