"""Configuration of the offline experiment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bannermap.platform.settings.common import Positive, Section, Share
from bannermap.platform.settings.places import Address

Window = Literal[1, 7, 15, 30]
EventType = Literal["request", "impression", "click"]
Block = Literal["cluster", "theme", "all", "themes", "theme_shares"]
Model = Literal["logistic", "gradient_boosting"]


def _each_once(values: tuple[object, ...]) -> tuple[object, ...]:
    if len(set(values)) < len(values):
        raise ValueError(f"{', '.join(map(str, values))} names something twice: name each once")
    return values


OnceEach = [Field(min_length=1), AfterValidator(_each_once)]


class LogisticSettings(Section):
    """The logistic regression, see `experiment.models`."""

    inverse_penalty: Annotated[float, Field(gt=0.0)] = 0.1
    hash_bits: Annotated[int, Field(ge=8, le=24)] = 18
    max_iterations: Positive = 500


class BoostingSettings(Section):
    """The gradient-boosted trees, see `experiment.models`."""

    trees: Positive = 150
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    leaves: Annotated[int, Field(ge=2, le=1024)] = 15
    min_rows_per_leaf: Positive = 100
    leaf_penalty: Annotated[float, Field(ge=0.0)] = 10.0
    threads: Annotated[int, Field(ge=0)] = 0


class ExperimentSettings(Section):
    """Which rows, which features, which models, and when a difference counts."""

    train_days: Positive = 7
    test_days: Positive = 1
    attribution_hours: Annotated[float, Field(gt=0.0, le=24.0 * 30)] = 24.0
    max_rows: Annotated[int, Field(ge=100)] = 200_000
    blocks: Annotated[tuple[Block, ...], *OnceEach] = ("cluster", "theme", "all", "themes")
    events: Annotated[tuple[EventType, ...], *OnceEach] = ("request", "impression", "click")
    windows_days: Annotated[tuple[Window, ...], *OnceEach] = (1, 7, 30)
    themes: Annotated[int, Field(ge=1, le=32)] = 5
    models: Annotated[tuple[Model, ...], *OnceEach] = ("logistic", "gradient_boosting")
    logistic: LogisticSettings = LogisticSettings()
    gradient_boosting: BoostingSettings = BoostingSettings()
    bootstrap_replicates: Annotated[int, Field(ge=100, le=100_000)] = 1000
    calibration_bins: Annotated[int, Field(ge=2, le=1000)] = 10
    rank_half_life: Annotated[float, Field(gt=1.0)] = 5.0
    min_slice_clicks: Positive = 50
    min_slice_users: Positive = 30
    smallest_gain: Annotated[Share, Field(gt=0.0)] = 0.001
    seed: Annotated[int, Field(ge=0)] = 7
    out: Address | None = None
    export: bool = False


class GridSet(Section):
    """Features of a user: counts in each theme of one window, and their shares of all that he has."""

    events: Annotated[tuple[EventType, ...], *OnceEach] = ("request", "impression", "click")
    share: bool = False


class GridSettings(Section):
    """What compare_feature_sets compares: every number of clusters with every set."""

    strategy: Literal["kmeans", "bisecting_kmeans", "gmm", "lda", "pic"] = "kmeans"
    clusters: Annotated[tuple[Annotated[int, Field(ge=2, le=32)], ...], *OnceEach] = (5, 10, 15)
    window_days: Window = 30
    sets: Annotated[dict[str, GridSet], Field(min_length=1)] = Field(
        default_factory=lambda: {
            "requests": GridSet(events=("request",)),
            "counts": GridSet(),
            "counts and shares": GridSet(share=True),
        }
    )
