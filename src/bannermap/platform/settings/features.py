"""What is counted, which feature sets are made of it, and what the gate before publishing lets pass."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from bannermap.platform.settings.common import Positive, Section, Share, VariableName

EventType = Literal["request", "impression", "click"]
WindowDays = Literal[1, 7, 15, 30]
EVENT_ORDER: tuple[EventType, ...] = ("request", "impression", "click")
SET_NAME = "[a-z][a-z0-9_]{0,39}"


def _events_once(events: tuple[EventType, ...]) -> tuple[EventType, ...]:
    if len(set(events)) < len(events):
        raise ValueError(f"{', '.join(events)} names an event type twice: name each once")
    return events


def _in_order(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"[{limits[0]:g}, {limits[1]:g}] lets nothing pass: the smaller limit comes first")
    return limits


Events = Annotated[tuple[EventType, ...], Field(min_length=1), AfterValidator(_events_once)]
Windows = Annotated[tuple[WindowDays, ...], Field(min_length=1)]
Change = Annotated[
    tuple[Annotated[float, Field(ge=0.0)], Annotated[float, Field(ge=0.0)]],
    AfterValidator(_in_order),
]
"""Least and greatest ratio of a figure to the same one of the publication before."""
Limit = Annotated[int, Field(ge=0)]


class GateSettings(Section):
    """What a revision of features must not exceed to be published, see `features.gate`."""

    min_compared: Positive = 1000
    max_null_values: Limit = 0
    max_repeated_keys: Limit = 0
    max_negative_counts: Limit = 0
    max_shrinking_windows: Limit = 0
    max_total_difference: Limit = 0
    max_clicks_over_impressions_share: Share = 0.2
    max_unclustered_share: Share = 0.8
    users_change: Change = (0.5, 5.0)
    day_events_change: Change = (0.2, 5.0)
    month_events_change: Change = (0.5, 5.0)


class FeatureSetSettings(Section):
    """One feature set: what it counts, over which windows, by what, in which form; see `features.sets`."""

    events: Events = EVENT_ORDER
    windows_days: Windows = (1, 7, 15, 30)
    themes: Annotated[int, Field(ge=1, le=32)] | None = None
    layout: Literal["arrays", "wide", "list"] = "arrays"
    recency: bool = False
    share: bool = False

    @field_validator("events")
    @classmethod
    def _in_the_order_of_events(cls, events: tuple[EventType, ...]) -> tuple[EventType, ...]:
        return tuple(e for e in EVENT_ORDER if e in events)

    @field_validator("windows_days")
    @classmethod
    def _shortest_first_each_once(cls, windows: tuple[WindowDays, ...]) -> tuple[WindowDays, ...]:
        if len(set(windows)) < len(windows):
            raise ValueError(f"{', '.join(map(str, windows))} names a window twice: name each once")
        return tuple(sorted(windows))

    @model_validator(mode="after")
    def _fixed_width_needs_themes(self) -> FeatureSetSettings:
        if self.themes is None and self.layout != "arrays":
            raise ValueError(
                f"layout {self.layout} has a fixed number of places and clusters have none: set themes to one of "
                "clustering.theme_counts, or layout to arrays"
            )
        return self


class FeatureSettings(Section):
    """What is counted and when it may be used."""

    kept_days: Annotated[int, Field(ge=30, le=3650)]
    available_lag_hours: Annotated[float, Field(ge=0.0, le=24.0 * 30)]
    min_share_of_previous_day: Share
    wide_themes: Annotated[int, Field(ge=1, le=32)]
    wide_events: Events
    pseudonymise_users: bool
    pseudonym_key_variable: VariableName
    purge_retention_hours: Annotated[float, Field(ge=0.0, le=24.0 * 365)]
    user_buckets: Annotated[int, Field(ge=1, le=65536)]
    sets: dict[str, FeatureSetSettings] = Field(default_factory=dict)
    gate: GateSettings = GateSettings()

    @field_validator("sets")
    @classmethod
    def _named_for_folders(cls, sets: dict[str, FeatureSetSettings]) -> dict[str, FeatureSetSettings]:
        wrong = [name for name in sets if not re.fullmatch(SET_NAME, name)]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} cannot name a feature set, whose folder is user_feature_set_NAME: begin with a small letter, "
                "go on with small letters, digits and _, 40 characters at most"
            )
        return sets

    @property
    def theme_counts(self) -> tuple[int, ...]:
        """Numbers of themes that exports and sets need, ascending."""
        return tuple(sorted({self.wide_themes, *(s.themes for s in self.sets.values() if s.themes)}))
