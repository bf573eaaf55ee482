"""How much data is enough: a configuration fitted on growing parts, and what each says of pictures that none of them has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bannermap.lab.budget import Budget
from bannermap.lab.chance import adjusted_rand
from bannermap.lab.data import Pictures
from bannermap.lab.figures import held_out_figures
from bannermap.lab.fitting import Configuration, Fit, fit, in_short
from bannermap.lab.search import Say
from bannermap.lab.strategies import STRATEGIES, Tools


@dataclass(frozen=True)
class Point:
    """One part of the data.

    Attributes:
        by: banners (drawn) or days (the last ones).
        pictures: of the part.
        days: different days in it.
        seconds: of the fit.
        held_out_silhouette: mean over held-out pictures, an outlier's being 0; -1 to 1.
        agreement: ARI with the fit of everything on held-out pictures: what more data would still change.
    """

    by: str
    pictures: int
    days: int
    seconds: float
    held_out_silhouette: float
    agreement: float


def learning_curve(
    train: Pictures,
    test: Pictures,
    whole: Fit,
    configuration: Configuration,
    shares: Sequence[float],
    seed: int,
    tools: Tools,
    budget: Budget,
    say: Say = print,
) -> list[Point]:
    """Points by number of banners, then by days; parts that there is no time for are left out, the largest first, and so are
    those that the strategy fails on, which is said.

    Args:
        train: what ``whole`` was fitted on.
        test: held out, at least one.
        whole: the fit of everything.
        configuration: the same.
        shares: of the pictures, and of the days, each between 0 and 1.
        seed: of the draw and the fits.
        tools: what strategies work with.
        budget: the time.
        say: tells a person of a part that is left out because its fit failed.
    """
    full = whole.model.predict(test.vectors, test.sizes)
    order, days = np.random.default_rng(seed).permutation(len(train)), np.unique(train.days)
    parts = [("banners", np.sort(order[: max(2, round(len(train) * s))])) for s in sorted(shares)]
    if len(days) > 1:
        counts = sorted({max(1, round(len(days) * s)) for s in shares} - {len(days)})
        parts += [("days", np.flatnonzero(np.isin(train.days, days[-count:]))) for count in counts]
    growth, result = STRATEGIES[configuration.strategy].growth, []
    for by, rows in parts:
        if len(rows) > 1 and budget.allows(whole.seconds * (len(rows) / len(train)) ** growth):
            part = train.of(rows)
            try:
                made = fit(part.vectors, configuration, seed, tools, part.sizes)
                result.append(_point(by, part, made, test, full))
            except Exception as error:  # few rows, say: the comparison itself is done, and must not be lost by this
                say(f"learning curve: no point for {len(part):,} pictures, by {by}: {in_short(error)}")
    end = _point("banners", train, whole, test, full)
    result += [end, replace(end, by="days")] if len(days) > 1 else [end]
    return sorted(result, key=lambda p: (p.by, p.pictures))


def _point(by: str, part: Pictures, made: Fit, test: Pictures, full: np.ndarray) -> Point:
    given = made.model.predict(test.vectors, test.sizes)
    silhouette = held_out_figures(part, made, test)["held_out_silhouette"]
    return Point(by, len(part), len(np.unique(part.days)), made.seconds, silhouette, adjusted_rand(given, full))
