"""Several experiments as one table: numbers of clusters times sets of features."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bannermap.experiment.cluster_features import FeatureChoice, feature_names
from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import ExperimentSettings, Settings

HEAD = (
    *("Clusters", "Features", "per user", "Model", "Log loss without", "with", "Gain %", "95 % interval"),
    *("AUC without", "with", "Verdict"),
)


@dataclass(frozen=True)
class Cell:
    """One experiment of a grid.

    Attributes:
        clusters: number of clusters, and of themes.
        name: of the set of features.
        features: that a user has.
        settings: of the experiment.
    """

    clusters: int
    name: str
    features: int
    settings: ExperimentSettings


@dataclass(frozen=True)
class Line:
    """A row of the table: one model of one cell; figures are null where they are not defined.

    Attributes:
        cell: which.
        model: which.
        loss, loss_with: log loss without and with the features.
        low, high: 95 % interval of the difference of log loss.
        auc, auc_with: area under the curve without and with them.
        verdict: helps, hurts or can't tell; leaks where a check of the experiment failed.
    """

    cell: Cell
    model: str
    loss: float | None
    loss_with: float | None
    low: float | None
    high: float | None
    auc: float | None
    auc_with: float | None
    verdict: str


def cells(settings: Settings) -> list[Cell]:
    """The experiments, number by number."""
    grid, made = settings.feature_grid, []
    for k in grid.clusters:
        for name, chosen in grid.sets.items():
            blocks = ("themes", "theme_shares") if chosen.share else ("themes",)
            window = (grid.window_days,)
            one = {"blocks": blocks, "events": chosen.events, "windows_days": window, "themes": k}
            names = feature_names(FeatureChoice(blocks, chosen.events, window, k))
            made.append(Cell(k, name, len(names), settings.experiment.model_copy(update=one)))
    return made


def check_clusters(settings: Settings) -> None:
    """Have every number of clusters be a number of themes.

    Raises:
        ConfigError: one is not.
    """
    absent = [str(k) for k in settings.feature_grid.clusters if k not in settings.clustering.theme_counts]
    if absent:
        raise ConfigError(
            f"feature_grid.clusters has {', '.join(absent)} and clustering.theme_counts does not: add them there, "
            "since a feature needs a theme to count by."
        )


def as_of_days(last_day: datetime.date, settings: ExperimentSettings, taken_in: Iterable[datetime.date]) -> list[datetime.date]:
    """As-of days whose features the experiment may join, ascending: from the day before its first impressions on.

    Args:
        last_day: of the impressions.
        settings: of the experiment.
        taken_in: days of the event log that are complete.
    """
    before = last_day - datetime.timedelta(days=settings.train_days + settings.test_days)
    return sorted(day for day in taken_in if before <= day <= last_day)


def lines_of(cell: Cell, metrics: Sequence[Mapping[str, Any]], verdicts: Mapping[str, str]) -> list[Line]:
    """Rows of one experiment.

    Args:
        cell: which.
        metrics: model, metric, baseline, value, low, high; of all test rows, with the features.
        verdicts: model -> verdict.
    """
    found = {(m["model"], m["metric"]): m for m in metrics}
    result = []
    for model in cell.settings.models:
        loss, auc = found[model, "log_loss"], found[model, "auc"]
        numbers = (loss["baseline"], loss["value"], loss["low"], loss["high"], auc["baseline"], auc["value"])
        result.append(Line(cell, model, *numbers, verdicts[model]))
    return result


def table(lines: Sequence[Line]) -> str:
    """The table in Markdown."""
    rows = [_row(line) for line in lines]
    return "\n".join(["| " + " | ".join(r) + " |" for r in (HEAD, ["---"] * len(HEAD), *rows)])


def _row(line: Line) -> list[str]:
    gain = None if line.loss is None or line.loss_with is None else line.loss - line.loss_with
    ends = [None if x is None else -x for x in (line.high, line.low)]
    shares = [None if x is None or not line.loss else 100.0 * x / line.loss for x in (gain, *ends)]
    head = [str(line.cell.clusters), line.cell.name, str(line.cell.features), line.model]
    losses = [_said(line.loss, 5), _said(line.loss_with, 5), _said(shares[0], 2), " to ".join(_said(x, 2) for x in shares[1:])]
    return [*head, *losses, _said(line.auc, 4), _said(line.auc_with, 4), line.verdict]


def _said(value: float | None, digits: int) -> str:
    return "not defined" if value is None else f"{value:.{digits}f}"
