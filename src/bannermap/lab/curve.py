"""How much data is enough: a configuration fitted on growing parts, and what each says of pictures that none of them has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bannermap.lab.budget import Budget, foretold_s
from bannermap.lab.chance import adjusted_rand
from bannermap.lab.data import Pictures
from bannermap.lab.figures import held_out_figures
from bannermap.lab.fitting import Configuration, Fit, fit, in_short
from bannermap.lab.strategies import STRATEGIES, Tools
from bannermap.lab.trials import Say

ENOUGH_AGREEMENT = 0.9
"""ARI with the fit of everything that a part needs to be enough."""


@dataclass(frozen=True)
class Point:
    """One part of the data.

    Attributes:
        by: banners (drawn) or days (the last ones).
        pictures: of the part.
        days: different days in it.
        seconds: of the fit.
        held_out_silhouette: mean over held-out pictures, an outlier's being 0; -1 to 1.
        agreement: ARI with the fit of everything on held-out pictures: what more data would still change. nan of everything
            itself.
    """

    by: str
    pictures: int
    days: int
    seconds: float
    held_out_silhouette: float
    agreement: float


@dataclass(frozen=True)
class Missing:
    """A part without a point.

    Attributes:
        by: as of a point.
        pictures: of the part.
        status: untried (no time) or failed.
        reason: in words.
    """

    by: str
    pictures: int
    status: str
    reason: str


@dataclass(frozen=True)
class Enough:
    """Whether a part would have done.

    Attributes:
        by: as of a point.
        share: of all pictures that were fitted, above 0 and below 1; None where no part is enough.
        pictures: of that part.
        days: different days in it.
        reason: a sentence.
    """

    by: str
    share: float | None
    pictures: int | None
    days: int | None
    reason: str


@dataclass(frozen=True)
class Curve:
    """All of it.

    Attributes:
        points: by banners, then by days, each by rising number of pictures up to everything. Empty where there is no curve.
        missing: parts without one.
        enough: by banners and, with several days, by days. Empty where there is no curve.
        means: what enough is, a sentence.
        absent: why there is no curve, in words; empty where there is one.
    """

    points: tuple[Point, ...] = ()
    missing: tuple[Missing, ...] = ()
    enough: tuple[Enough, ...] = ()
    means: str = ""
    absent: str = ""


def learning_curve(
    train: Pictures,
    test: Pictures,
    whole: Fit,
    full: np.ndarray,
    configuration: Configuration,
    shares: Sequence[float],
    seed: int,
    tools: Tools,
    budget: Budget,
    smallest_difference: float,
    say: Say = print,
) -> Curve:
    """Points by number of banners, then by days. A part that there is no time for is left out, and so is one that the strategy
    fails on; both are said.

    Args:
        train: what ``whole`` was fitted on.
        test: held out, at least one.
        whole: the fit of everything.
        full: int64 (t,), what it gives the held-out pictures.
        configuration: the same.
        shares: of the pictures, and of the days, each between 0 and 1.
        seed: of the draw and the fits.
        tools: what strategies work with.
        budget: the time.
        smallest_difference: of a held-out silhouette, that would be worth having.
        say: tells a person of a part that is left out.
    """
    found: list[Point | Missing] = []
    for by, rows in _parts(train, shares, seed):
        estimate = foretold_s(STRATEGIES[configuration.strategy], len(train), {1: whole.seconds}, len(rows), 1)
        if budget.allows(f"learning curve on {len(rows)} pictures, by {by}", estimate):
            found.append(_fitted(by, train.of(rows), test, full, configuration, seed, tools))
        else:
            found.append(Missing(by, len(rows), "untried", f"no time was left (about {estimate:.0f} s)"))
    missing = tuple(f for f in found if isinstance(f, Missing))
    for m in missing:
        say(f"learning curve: no point for {m.pictures:,} pictures, by {m.by}: {m.reason}")
    end = replace(_point("banners", train, whole, test, full, full), agreement=float("nan"))
    ends = [end, replace(end, by="days")] if end.days > 1 else [end]
    points = sorted([*(f for f in found if isinstance(f, Point)), *ends], key=lambda p: (p.by, p.pictures))
    means = (
        f"Enough is a held-out silhouette less than {smallest_difference:g} from that of all pictures, and an agreement with "
        f"their fit of at least {ENOUGH_AGREEMENT:g} (ARI), of a part and of every larger one that was fitted."
    )
    return Curve(tuple(points), missing, tuple(enough(points, e, smallest_difference) for e in ends), means)


def enough(points: Sequence[Point], end: Point, smallest_difference: float) -> Enough:
    """The smallest part that agrees with everything by `ENOUGH_AGREEMENT` and whose held-out silhouette differs by less than what
    is worth having, where every larger part with a point does so, too.

    Args:
        points: of the curve.
        end: everything, by what the parts are made.
        smallest_difference: of a held-out silhouette.
    """
    found = None
    for point in sorted((p for p in points if p.by == end.by and p.pictures < end.pictures), key=lambda p: -p.pictures):
        away = abs(point.held_out_silhouette - end.held_out_silhouette)
        if not (point.agreement >= ENOUGH_AGREEMENT and away < smallest_difference):
            break
        found = point
    if found is None:
        return Enough(end.by, None, None, None, f"By {end.by}, no smaller part that was fitted is enough.")
    of = f"{found.pictures:,} of {end.pictures:,} pictures, from {found.days} of {end.days} days"
    return Enough(end.by, found.pictures / end.pictures, found.pictures, found.days, f"By {end.by}, {of}, are enough.")


def _fitted(
    by: str, part: Pictures, test: Pictures, full: np.ndarray, configuration: Configuration, seed: int, tools: Tools
) -> Point | Missing:
    try:
        made = fit(part.vectors, configuration, seed, tools, part.sizes)
        return _point(by, part, made, test, made.model.predict(test.vectors, test.sizes), full)
    except Exception as error:  # few rows, say: the comparison itself is done, and must not be lost by this
        return Missing(by, len(part), "failed", in_short(error))


def _parts(train: Pictures, shares: Sequence[float], seed: int) -> list[tuple[str, np.ndarray]]:
    """By what, and ascending rows, two or more."""
    order, days = np.random.default_rng(seed).permutation(len(train)), np.unique(train.days)
    parts = [("banners", np.sort(order[: max(2, round(len(train) * s))])) for s in sorted(shares)]
    counts = sorted({max(1, round(len(days) * s)) for s in shares} - {len(days)})
    parts += [("days", np.flatnonzero(np.isin(train.days, days[-count:]))) for count in counts]
    return [(by, rows) for by, rows in parts if len(rows) > 1]


def _point(by: str, part: Pictures, made: Fit, test: Pictures, given: np.ndarray, full: np.ndarray) -> Point:
    silhouette = held_out_figures(part, made.labels, test, given)["held_out_silhouette"]
    return Point(by, len(part), len(np.unique(part.days)), made.seconds, silhouette, adjusted_rand(given, full))
