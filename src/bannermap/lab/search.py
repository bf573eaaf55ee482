"""The comparison itself: small samples first, the better part of it again on all rows, gates, the ranking; within a time budget.

Successive halving (Jamieson and Talwalkar 2016): every configuration is fitted on a sample; the best third, and the best of each
strategy, go on to four times as many rows, until these are all. A fit is not started when its time, by the one before, the
strategy's growth and the number of clusters, would not fit into what is left; what was not tried is part of the outcome. A fit
that was started is not cut off. So that nobody's first one is started blindly, each strategy is timed on `PROBE_ROWS` rows before
it is fitted on many more, and where that says that there is no time, on more rows step by step; what can overrun is that probe,
and a fit that takes longer than `budget.CAUTION` times its estimate.
By how much is part of the outcome.

The order of trying, and every fit, follow from the seed. While the budget does not bind, so does the whole outcome. Where it
does, the outcome also follows from what was left out, which is noted: a comparison that repeats another leaves out the same, and
times nobody before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bannermap.lab.budget import Times, foretold_s
from bannermap.lab.fitting import Configuration, in_short
from bannermap.lab.passing import ranked_and_refused
from bannermap.lab.ranges import MODES
from bannermap.lab.recommending import Recommendation, Scored, bootstrap_scores, recommended, score
from bannermap.lab.separation import silhouette
from bannermap.lab.strategies import STRATEGIES
from bannermap.lab.trials import Comparing, Outcome, Trial, by_score

LEAST_RUNG_ROWS = 1000
"""Rows of the smallest sample; a smaller one says little of small groups."""
RUNG_GROWTH = 4
KEPT_SHARE = 1 / 3
FITS_SHARE = 0.6
"""Of the budget, until which fits are started; the rest is for gates, which fit again. Each rung has an equal part of it, as its
authors have it: else the first one, where most is tried, would leave nothing for all rows."""
PROBE_ROWS = 500
"""On which a strategy is timed before a sample of more than twice as many."""


def compared(work: Comparing, configurations: Sequence[Configuration]) -> Outcome:
    """Try configurations, gate the best, rank them, recommend one.

    Args:
        work: data, settings and time.
        configurations: in the order in which they are tried.
    """
    trials = _fitted_by_rungs(work, [Trial(c) for c in configurations])
    ranked, refused = ranked_and_refused(work, [t for t in trials if t.found])
    others = [t for t in trials if not t.found]
    chosen = _recommendation(work, ranked)
    budget = work.budget
    outcome = Outcome((*ranked, *refused, *others), chosen, budget.spent(), budget.seconds, frozenset(budget.left_out))
    if outcome.overrun_s:
        work.say(f"{outcome.overrun_s:.0f} s over the budget of {budget.seconds:.0f} s: a fit took longer than was foreseen")
    return outcome


def rung_rows(rows: int, rungs: int) -> list[int]:
    """Rows of each rung, ascending, the last all of them."""
    result = [rows]
    while len(result) <= rungs and result[0] // RUNG_GROWTH >= LEAST_RUNG_ROWS:
        result.insert(0, result[0] // RUNG_GROWTH)
    return result


def _fitted_by_rungs(work: Comparing, trials: list[Trial]) -> list[Trial]:
    """Trials in their order; those that came through all rungs have a fit of all rows."""
    total, mode = len(work.vectors), MODES[work.settings.mode]
    order = np.random.default_rng(work.settings.seed).permutation(total)
    sizes, going = rung_rows(total, mode.rungs), trials
    done: list[Trial] = []
    unknown = sizes[0] > 2 * PROBE_ROWS and not work.budget.repeats
    times = _probed(work, trials, np.sort(order[:PROBE_ROWS])) if unknown else Times()
    for number, rows in enumerate(sizes):
        work.say(f"{len(going)} configurations on {rows:,} of {total:,} pictures")
        rung = Rung(np.sort(order[:rows]), FITS_SHARE * (number + 1) / len(sizes), times)
        tried = [_fitted(work, t, rung, f"{i} of {len(going)}") for i, t in enumerate(going, 1)]
        if rows == total:
            return done + tried
        going, dropped = _kept(tried)
        done += dropped
        work.say(f"rung {number + 1} of {len(sizes)} done after {work.budget.spent():.0f} s of {work.budget.seconds:.0f} s")
    return done


@dataclass(frozen=True)
class Rung:
    """What trials of one rung share: int64 rows, ascending; the share of the budget by which they have to end; times so far."""

    rows: np.ndarray
    share: float
    times: Times


def _probed(work: Comparing, trials: Sequence[Trial], rows: np.ndarray) -> Times:
    """Of each strategy the time of its first configuration on few rows.

    The second fit is timed: the first also takes what happens once, imports and compilers, which many times the rows would seem
    to take many times.
    """
    times = Times()
    for trial in trials:
        strategy = trial.configuration.strategy
        if strategy not in times and work.budget.allows(f"timing of {strategy}", 0.0, FITS_SHARE):
            for _ in range(2):
                _time(work, trial, rows, times)
    return times


def _clusters(trial: Trial, rows: int) -> int:
    """That it makes of so many rows, where it is told a number; else 1."""
    return min(int(trial.configuration.parameters.get("clusters", 1)), rows)


def _estimate(trial: Trial, rows: int, times: Times) -> float:
    """Seconds of a fit, by the configuration's own last one, else by those of its strategy; 0 where none is known."""
    strategy, clusters = STRATEGIES[trial.configuration.strategy], _clusters(trial, rows)
    if trial.rows:
        return foretold_s(strategy, trial.rows, {_clusters(trial, trial.rows): trial.seconds}, rows, clusters)
    known, taken = times.of(trial.configuration.strategy)
    return foretold_s(strategy, known, taken, rows, clusters) if taken else 0.0


def _estimate_by_steps(work: Comparing, trial: Trial, rung: Rung) -> float:
    """`_estimate`; where that would leave a strategy's first fit out, by fits on `RUNG_GROWTH` times as many rows, step by step.

    Most of what a fit by Spark takes on few rows does not grow with them at all: stretched over many times the rows at once,
    minutes would become hours.
    """
    name, rows, times = trial.configuration.strategy, rung.rows, rung.times
    while True:
        estimate, step = _estimate(trial, len(rows), times), times.of(name)[0] * RUNG_GROWTH
        if trial.rows or work.budget.repeats or not 0 < step < len(rows) or work.budget.fits(estimate, rung.share):
            return estimate
        if not work.budget.allows(f"timing of {name} on {step} pictures", _estimate(trial, step, times), rung.share):
            return estimate
        _time(work, trial, rows[:: len(rows) // step][:step], times)


def _time(work: Comparing, trial: Trial, rows: np.ndarray, times: Times) -> None:
    """A fit for the sake of its seconds; what fails here will say so when it is tried."""
    began = work.budget.spent()
    with contextlib.suppress(Exception):
        work.fit(trial.configuration, rows, work.settings.seed)
    times.note(trial.configuration.strategy, len(rows), _clusters(trial, len(rows)), work.budget.spent() - began)


def _fitted(work: Comparing, trial: Trial, rung: Rung, place: str) -> Trial:
    rows, times, estimate = rung.rows, rung.times, _estimate_by_steps(work, trial, rung)
    if not work.budget.allows(f"{trial.name} on {len(rows)} pictures", estimate, rung.share):
        why = f"no time was left for {len(rows):,} pictures (about {estimate:.0f} s)" if estimate else "no time was left"
        return replace(trial, status="untried", reason=why)
    try:
        found = work.fit(trial.configuration, rows, work.settings.seed)
    except Exception as error:  # a library that gives up on these vectors must not end the comparison of the others
        return replace(trial, status="failed", reason=in_short(error))
    began = time.monotonic()
    samples = silhouette(work.vectors[rows], found.labels).samples
    measured_s = time.monotonic() - began
    value = score(Scored(trial.name, found.labels, samples), work.settings.rank_by, work.weights)
    work.say(f"{place}: {trial.name} in {found.seconds:.1f} s, score {value:.3f}")
    times.note(trial.configuration.strategy, len(rows), _clusters(trial, len(rows)), found.seconds)
    whole = len(rows) == len(work.vectors)
    kept = (found, samples) if whole else (None, np.empty(0))
    known = replace(trial, rows=len(rows), seconds=found.seconds, measured_s=measured_s, score=value)
    return replace(known, found=kept[0], silhouettes=kept[1])


def _kept(tried: list[Trial]) -> tuple[list[Trial], list[Trial]]:
    """Those that go on, best first, and those that do not: the best third, and the best of each strategy.

    Best first, since time may run out.
    """
    alive = sorted((t for t in tried if t.rows and not t.reason), key=by_score)
    going = {t.name for t in alive[: max(1, round(len(alive) * KEPT_SHARE))]}
    first = {t.configuration.strategy: t.name for t in alive[::-1]}  # the last to be noted is the best
    going |= set(first.values())
    known = {t.name for t in alive}
    dropped = [
        replace(t, status="dropped", reason=f"others did better on {t.rows:,} pictures") if t.name in known else t
        for t in tried
        if t.name not in going
    ]
    return [t for t in alive if t.name in going], dropped


def _recommendation(work: Comparing, ranked: Sequence[Trial]) -> Recommendation:
    settings = work.settings
    candidates = [Scored(t.name, t.found.labels, t.silhouettes, t.stability) for t in ranked if t.found]
    if not candidates:
        return recommended([], {}, np.empty((0, 0)), settings.smallest_difference)
    drawn = bootstrap_scores(candidates, settings.rank_by, work.weights, settings.bootstrap_replicates, settings.seed)
    return recommended(candidates, {t.name: t.score for t in ranked}, drawn, settings.smallest_difference)
