"""Trials that were fitted on all rows go through the gates, best first, and the best that pass are ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bannermap.lab.fitting import in_short
from bannermap.lab.gates import against_permuted, bootstrap_stability
from bannermap.lab.ranges import MODES
from bannermap.lab.recommending import Scored, score
from bannermap.lab.trials import Comparing, Trial, by_score

LEAST_STABILITY = 2
"""Bootstrap samples without which there is no stability."""


def ranked_and_refused(work: Comparing, whole: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:
    """The best that passed, best first, and all others with what refused them.

    Args:
        work: data, settings and time.
        whole: with a fit of all rows.
    """
    gated = _all_gated(work, sorted(whole, key=by_score))
    ranked, beyond = _cut(sorted((t for t in gated if t.status == "ranked"), key=by_score), work.settings.top)
    return ranked, [*beyond, *(t for t in gated if t.status != "ranked")]


def _all_gated(work: Comparing, whole: Sequence[Trial]) -> list[Trial]:
    """Trials through the gates, best first, until no other can come among the top: stability only ever lowers a score."""
    gated: list[Trial] = []
    for trial in whole:
        best = sorted((t.score for t in gated if t.status == "ranked"), reverse=True)[: work.settings.top]
        if len(best) == work.settings.top and best[-1] >= trial.score:
            gated.append(replace(trial, status="dropped", reason=f"not among the {work.settings.top} best"))
        else:
            gated.append(_gated(work, trial))
    return gated


def _cut(passed: Sequence[Trial], top: int) -> tuple[list[Trial], list[Trial]]:
    """The best, and those behind them: stability can take a score below that of one that came later."""
    behind = enumerate(passed[top:], top + 1)
    return list(passed[:top]), [replace(t, status="dropped", reason=f"place {n}: not among the {top} best") for n, t in behind]


def _gated(work: Comparing, trial: Trial) -> Trial:
    """With its stability in its score, and ranked where it clears both gates."""
    gate, labels = work.settings.gate, trial.found.labels if trial.found else np.empty(0, np.int64)
    if not work.budget.allows(f"permuted labels of {trial.name}", trial.measured_s * gate.permutations):
        return replace(trial, status="untried", reason="no time was left for the silhouettes of permuted labels")
    value = float(np.nanmean(trial.silhouettes)) if np.isfinite(trial.silhouettes).any() else float("nan")
    permuted = against_permuted(work.vectors, labels, value, gate.permutations, work.settings.seed)
    trial = replace(trial, permuted=permuted)
    if not permuted.cleared(gate.min_deviations):
        return replace(trial, status="gated", reason="its silhouette is not above that of permuted labels")
    replicates = MODES[work.settings.mode].stability
    while replicates >= LEAST_STABILITY and not work.budget.allows(_bootstrap(trial, replicates), trial.seconds * replicates):
        replicates -= 1
    if replicates < LEAST_STABILITY:
        return replace(trial, status="untried", reason=f"no time was left for its stability (about {trial.seconds:.0f} s each)")
    try:
        stability = bootstrap_stability(
            lambda rows, seed: work.fit(trial.configuration, rows, seed).labels, labels, replicates, work.settings.seed
        )
    except Exception as error:  # what a library makes of one sample must not cost what is known of the others
        return replace(trial, status="failed", reason=f"on a bootstrap sample: {in_short(error)}")
    return _with_stability(work, trial, labels, stability)


def _bootstrap(trial: Trial, replicates: int) -> str:
    return f"{replicates} bootstrap samples of {trial.name}"


def _with_stability(work: Comparing, trial: Trial, labels: np.ndarray, stability: np.ndarray) -> Trial:
    scored = Scored(trial.name, labels, trial.silhouettes, stability)
    trial = replace(trial, stability=stability, score=score(scored, work.settings.rank_by, work.weights))
    work.say(f"{trial.name}: stability {stability.mean():.3f}, score {trial.score:.3f}")
    least = work.settings.gate.min_stability
    if stability.mean() < least:
        why = f"its stability {stability.mean():.2f} is below lab.gate.min_stability {least:.2f}"
        return replace(trial, status="gated", reason=why)
    return replace(trial, status="ranked")
