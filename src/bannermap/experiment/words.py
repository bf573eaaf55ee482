"""The result in sentences, in rows of tables, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bannermap.experiment.assembling import Breach, LateBegin
from bannermap.experiment.bootstrap import METRICS
from bannermap.experiment.evaluation import ALL, FEATURES, FUTURE, PLACEBO, SHUFFLED_FUTURE, Comparison
from bannermap.experiment.verdict import CANNOT_TELL, HELPS, HURTS
from bannermap.platform.tables import EXPERIMENT_RESULTS, EXPERIMENT_VERDICTS

NAMES = {
    FEATURES: "the features",
    PLACEBO: "other users' features of the same day (placebo)",
    FUTURE: "features with the impression's own day (a leak, to compare)",
    SHUFFLED_FUTURE: "other users' features of the impression's own day (placebo)",
}
VERBS = {HELPS: "help", HURTS: "hurt", CANNOT_TELL: "can't be told from none"}


def sentence(found: Comparison) -> str:
    """One comparison in words: where, what, by how much, how sure, and how many rows it would take."""
    loss, base = found.differences["log_loss"], found.baseline["log_loss"]
    where = "" if found.kind == ALL else f" for {found.kind} {found.value}"
    head = f"{found.model}{where}: {NAMES[found.variant]} {VERBS[found.verdict.word]}"
    shares = [100.0 * -x / base if base else math.nan for x in (loss.value, loss.high, loss.low)]
    interval = f"{shares[0]:.2f} % (95 % {shares[1]:.2f} to {shares[2]:.2f})"
    gain = f"log loss {base:.5f} -> {found.variant_values['log_loss']:.5f}, a gain of {interval}"
    auc = found.differences["auc"]
    ranks = f"AUC {found.baseline['auc']:.4f} -> {found.variant_values['auc']:.4f} ({auc.low:+.4f} to {auc.high:+.4f})"
    text = f"{head}; {gain}; {ranks}; {found.rows:,} impressions, {found.clicks:,} clicks, {found.users:,} users."
    return text + (_rows_it_would_take(found) if found.verdict.word == CANNOT_TELL else "")


def _rows_it_would_take(found: Comparison) -> str:
    seen, least = found.verdict.rows_for_observed, found.verdict.rows_for_smallest
    known = [f"a difference as large as the one seen would take {seen:,.0f} impressions" if math.isfinite(seen) else ""]
    known += [f"the smallest gain worth having {least:,.0f}" if math.isfinite(least) else ""]
    said = ", ".join(k for k in known if k)
    return f" To tell: {said}." if said else ""


def result_rows(found: Sequence[Comparison], key: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Rows of `EXPERIMENT_RESULTS`; what is not defined is null.

    Args:
        found: comparisons.
        key: experiment_id and dt.
    """
    rows = []
    for c in found:
        for metric in METRICS:
            d = c.differences[metric]
            values = {"baseline": c.baseline[metric], "value": c.variant_values[metric], "difference": d.value}
            values |= {"low": d.low, "high": d.high, "standard_error": d.standard_error}
            row = {**key, **_place(c), "metric": metric, **{k: _finite(v) for k, v in values.items()}}
            rows.append(tuple(row[column] for column in EXPERIMENT_RESULTS.columns))
    return rows


def verdict_rows(found: Sequence[Comparison], key: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Rows of `EXPERIMENT_VERDICTS`; arguments as `result_rows`."""
    return [tuple({**key, **verdict_of(c)}[column] for column in EXPERIMENT_VERDICTS.columns) for c in found]


def verdict_of(c: Comparison) -> dict[str, Any]:
    """A comparison's verdict by column of `EXPERIMENT_VERDICTS`, less the key of the experiment."""
    return {
        **_place(c),
        "impressions": c.rows,
        "clicks": c.clicks,
        "users": c.users,
        "users_without_auc": c.users_without_auc,
        "verdict": c.verdict.word,
        "p_value": _finite(c.verdict.p_value),
        "rows_for_observed": _finite(c.verdict.rows_for_observed),
        "rows_for_smallest": _finite(c.verdict.rows_for_smallest),
        "text": sentence(c),
    }


def alarm(leaking: Sequence[Comparison], broken: Sequence[Breach]) -> str | None:
    """What is wrong and where, if anything leaks; null if nothing does."""
    said = [f"{sum(b.by_day.values()):,} rows {b.what} ({_days(b.by_day)})" for b in broken]
    said += [sentence(c) for c in leaking]
    if not said:
        return None
    return (
        f"Something leaks, so no verdict of this experiment can be believed: {' | '.join(said)} The tables and summary.json hold "
        "all figures. Look at how the features of those days were made, and whether they tell the day or the outcome."
    )


def unchecked(late: LateBegin | None) -> str | None:
    """Which counts could not be held against the events, and what it would take; null if all were."""
    if late is None:
        return None
    return (
        f"the check of counts against events is left out for {late.publications} of {late.joined} as-of days: their 30 days "
        f"begin before {late.begin}, with which the events begin; to have it, give events from {late.wanted} on"
    )


def _days(by_day: Mapping[str, int]) -> str:
    shown = [f"{day}: {rows:,}" for day, rows in list(by_day.items())[:5]]
    return ", ".join(shown) + (f" and {len(by_day) - 5} more days" if len(by_day) > 5 else "")


def _place(c: Comparison) -> dict[str, str]:
    return {"model": c.model, "variant": c.variant, "slice_kind": c.kind, "slice_value": c.value}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
