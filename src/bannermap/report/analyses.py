"""What analyse_clusters, evaluate_features and compare_strategies found, as plain values of a report."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Audience:
    """A row of `cluster_audiences` of one cluster."""

    attribute: str
    value: str
    users: int
    lift: float
    lift_low: float
    lift_high: float


@dataclass(frozen=True)
class Trend:
    """A row of `cluster_trends` that rises or falls."""

    cluster_id: str
    trend: str
    rate: float
    rate_before: float
    q_value: float


@dataclass(frozen=True)
class TrendFamily:
    """All tests of one window and measure, see `cluster_trends`.

    Attributes:
        window_days: days of the window, and of the one before.
        measure: impression_share or ctr.
        tested: clusters that could be tested.
        counts: trend -> clusters.
        shown: those that rise, then those that fall, the surest first.
    """

    window_days: int
    measure: str
    tested: int
    counts: Mapping[str, int]
    shown: Sequence[Trend]


@dataclass(frozen=True)
class Compared:
    """A row of `experiment_verdicts` with its log loss.

    Attributes:
        model, variant, slice_kind, slice_value, verdict, text: as there.
        gain: what the features take off the log loss, as a share of the loss without them; null where that is not defined.
        gain_low, gain_high: its 95 % interval.
    """

    model: str
    variant: str
    slice_kind: str
    slice_value: str
    verdict: str
    text: str
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


@dataclass(frozen=True)
class Experiment:
    """A run of evaluate_features.

    Attributes:
        experiment_id: its name.
        dt: last day of its impressions.
        compared: over all rows, then by slice.
    """

    experiment_id: str
    dt: datetime.date
    compared: Sequence[Compared]


@dataclass(frozen=True)
class Ranked:
    """A ranked row of `lab_results`; figures that are not known are null.

    Attributes:
        place, configuration, recommended, score, stability, seconds: as there.
        silhouette, composite, clusters, largest_share, outlier_share: from its figures.
    """

    place: int
    configuration: str
    recommended: bool
    score: float | None
    stability: float | None
    seconds: float
    silhouette: float | None
    composite: float | None
    clusters: float | None
    largest_share: float | None
    outlier_share: float | None


@dataclass(frozen=True)
class StrategyComparison:
    """One encoder's part of a run of compare_strategies.

    Attributes:
        comparison_id: its name.
        dt: its day.
        encoder_id: whose vectors.
        reason: of the recommendation, in words; null where nothing is recommended.
        ranked: best first.
        others: status -> configurations that are not ranked.
    """

    comparison_id: str
    dt: datetime.date
    encoder_id: str
    reason: str | None
    ranked: Sequence[Ranked]
    others: Mapping[str, int]
