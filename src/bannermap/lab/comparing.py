"""One comparison on gathered pictures: held out, searched, measured, and told."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bannermap.lab.budget import Budget
from bannermap.lab.curve import Curve, learning_curve
from bannermap.lab.data import Pictures, held_out
from bannermap.lab.figures import Pairs, choices, figures, held_out_figures, pair_figures, target_figures
from bannermap.lab.fitting import Fit
from bannermap.lab.ranges import MODES, configurations
from bannermap.lab.search import compared
from bannermap.lab.sizes import Weights, giant_warning
from bannermap.lab.strategies import STRATEGIES, Tools
from bannermap.lab.targets import Target, placed_targets
from bannermap.lab.trials import Comparing, Outcome, Say, Trial
from bannermap.platform.settings import LabSettings

CURVE_SHARE = 0.85
"""Of the budget, that the search may use; the rest is for the learning curve."""
TRUST = (
    "Silhouette, Davies-Bouldin and Calinski-Harabasz suit round groups, DBCV groups of any shape; none of them sees noise "
    "that was left out, so look at outlier_share beside them. The composite and the simple advertiser measures follow the "
    "number and the sizes of clusters: random labels can win them. AMI and ARI do not; where advertisers or judged pairs say "
    "what you mean by alike, trust these first. V rises with the number of clusters."
)


@dataclass(frozen=True)
class Compared:
    """A comparison of one encoder's vectors.

    Attributes:
        encoder_id: whose.
        pictures: all of the sample.
        hidden: bool (n,), held out.
        outcome: of the search.
        figures: name of a configuration -> its figures, where it was fitted on all.
        labels: name -> int64 (n,), of held-out pictures too.
        curve: learning curve of the recommended one.
        seconds: in all, with measures and curve.
        budget_s: that there were for all of it.
        left_out: for want of time, of the search or of the curve: what another comparison needs to repeat this one.
        targets: where the pictures that are asked for by name lie in the recommended configuration; none without one.
    """

    encoder_id: str
    pictures: Pictures
    hidden: np.ndarray
    outcome: Outcome
    figures: Mapping[str, dict[str, float]]
    labels: Mapping[str, np.ndarray]
    curve: Curve
    seconds: float
    budget_s: float
    left_out: frozenset[str]
    targets: tuple[Target, ...] = ()

    @property
    def overrun_s(self) -> float:
        """Seconds over the budget; 0 where it was kept."""
        return max(0.0, self.seconds - self.budget_s)

    @property
    def budget_bound(self) -> bool:
        """Whether anything was left out for want of time."""
        return bool(self.left_out)


def compare(
    encoder_id: str,
    pictures: Pictures,
    pairs: Pairs | None,
    settings: LabSettings,
    tools: Tools,
    share: float,
    say: Say,
    targets: np.ndarray | None = None,
    earlier: Collection[str] | None = None,
) -> Compared:
    """Compare strategies on one encoder's vectors.

    Args:
        encoder_id: whose.
        pictures: the sample.
        pairs: judged ones among them.
        settings: of the lab.
        tools: what strategies work with.
        share: of the budget that is this encoder's.
        say: tells a person how far it is.
        targets: int64 (t,), places of pictures that are asked for by name; None for none.
        earlier: what the comparison that is repeated left out; None where none is.
    """
    hidden = held_out(pictures, settings.test_share, settings.split, settings.seed)
    train, test = pictures.of(np.flatnonzero(~hidden)), pictures.of(np.flatnonzero(hidden))
    total = (settings.budget_s or MODES[settings.mode].budget_s) * share
    budget = Budget(total, earlier=earlier)
    work = Comparing(train.vectors, train.sizes, settings, tools, budget.part(CURVE_SHARE), say)
    outcome = _warned(compared(work, configurations(train.vectors, settings, train.sizes)), settings.max_cluster_share)
    known, labels, asked = {}, {}, np.empty(0, np.int64) if targets is None else targets
    for trial in outcome.trials:
        if trial.found:
            measured = _measured(trial, trial.found, pictures, hidden, train, test, pairs, work.weights)
            labels[trial.name], known[trial.name] = measured
            known[trial.name] |= target_figures(pictures.vectors, labels[trial.name], asked)
    chosen = labels.get(outcome.recommendation.chosen or "")
    curve = _curve(train, test, outcome, chosen[hidden] if chosen is not None else None, settings, tools, budget, say)
    placed = placed_targets(pictures, chosen, hidden, asked) if chosen is not None else ()
    left_out = frozenset(budget.left_out)
    done = Compared(encoder_id, pictures, hidden, outcome, known, labels, curve, budget.spent(), total, left_out, placed)
    if done.overrun_s:
        say(f"{done.overrun_s:.0f} s over the whole budget of {total:.0f} s, with measures and the learning curve")
    return done


def _chosen(outcome: Outcome) -> Trial | None:
    return next((t for t in outcome.ranked if t.name == outcome.recommendation.chosen), None)


def _warned(outcome: Outcome, max_cluster_share: float) -> Outcome:
    """The reason of the recommendation says it, too, where one cluster holds too much: the reason is what everybody reads."""
    chosen, told = _chosen(outcome), outcome.recommendation
    warning = giant_warning(chosen.found.labels, max_cluster_share) if chosen and chosen.found else None
    return replace(outcome, recommendation=replace(told, reason=f"{told.reason} But {warning}.")) if warning else outcome


def _curve(
    train: Pictures,
    test: Pictures,
    outcome: Outcome,
    full: np.ndarray | None,
    settings: LabSettings,
    tools: Tools,
    budget: Budget,
    say: Say,
) -> Curve:
    """Of the recommended one, which gives ``full`` to what is held out; without a curve, why there is none, which is said."""
    chosen = _chosen(outcome)
    absent = "" if settings.curve_shares else "lab.curve_shares is empty"
    if len(test) < 2:
        absent = f"{len(test)} pictures are held out, and two are needed (lab.test_share, lab.split)"
    if chosen and chosen.found and full is not None and not absent:
        shares, seed, least = settings.curve_shares, settings.seed, settings.smallest_difference
        return learning_curve(train, test, chosen.found, full, chosen.configuration, shares, seed, tools, budget, least, say)
    absent = absent or "nothing is recommended"
    say(f"no learning curve: {absent}")
    return Curve(absent=absent)


def _measured(
    trial: Trial,
    fit: Fit,
    pictures: Pictures,
    hidden: np.ndarray,
    train: Pictures,
    test: Pictures,
    pairs: Pairs | None,
    weights: Weights,
) -> tuple[np.ndarray, dict[str, float]]:
    labels = np.empty(len(pictures), np.int64)
    labels[~hidden] = fit.labels
    labels[hidden] = fit.model.predict(test.vectors, test.sizes)
    found = figures(train, fit.labels, trial.silhouettes, weights) | held_out_figures(train, fit.labels, test, labels[hidden])
    found |= pair_figures(pairs, labels) if pairs else {}
    return labels, found | {"score": trial.score}


def told(done: Compared, settings: LabSettings) -> dict[str, Any]:
    """One encoder's part of summary.json: plain values, null for what is not defined."""
    outcome = done.outcome
    chosen = outcome.recommendation
    return plain(
        {
            "encoder_id": done.encoder_id,
            "pictures": len(done.pictures),
            "held_out": int(done.hidden.sum()),
            "seconds": done.seconds,
            "budget_s": done.budget_s,
            "budget_bound": done.budget_bound,
            "left_out_for_want_of_time": sorted(done.left_out),
            "pictures_digest": done.pictures.digest(),
            "overrun_s": done.overrun_s,
            "recommended": chosen.chosen,
            "reason": chosen.reason,
            "paired_comparisons": [vars(c) for c in chosen.comparisons],
            "targets": [vars(t) for t in done.targets],
            "would_have_been_chosen_by": choices(list(done.figures.items())),
            "learning_curve": [vars(p) for p in done.curve.points],
            "learning_curve_missing": [vars(m) for m in done.curve.missing],
            "learning_curve_absent": done.curve.absent or None,
            "enough_data": [vars(e) for e in done.curve.enough],
            "enough_data_means": done.curve.means or None,
            "configurations": [_told_trial(t, done, settings) for t in outcome.trials],
        }
    )


def _told_trial(trial: Trial, done: Compared, settings: LabSettings) -> dict[str, Any]:
    return {
        "name": trial.name,
        "strategy": trial.configuration.strategy,
        "about": STRATEGIES[trial.configuration.strategy].about,
        "parameters": dict(trial.configuration.parameters),
        "preparation": vars(trial.configuration.preparation),
        "status": trial.status,
        "reason": trial.reason or None,
        "rows": trial.rows,
        "seconds": trial.seconds,
        "score": trial.score,
        "silhouette_of_permuted_labels": trial.permuted.permuted.mean() if trial.permuted else None,
        "permuted_deviations": trial.permuted.deviations if trial.permuted else None,
        "stability": trial.stability.mean() if len(trial.stability) else None,
        "warning": giant_warning(trial.found.labels, settings.max_cluster_share) if trial.found else None,
        "figures": done.figures.get(trial.name, {}),
    }


def plain(value: Any) -> Any:
    """The value as JSON has it: numbers of numpy as Python's, null for nan and infinity."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
