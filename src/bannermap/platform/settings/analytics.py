"""Settings of the analytics."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bannermap.platform.settings.common import Positive, Seconds, Section
from bannermap.platform.settings.places import Address


class OcrSettings(Section):
    """How text is read from pictures, see `analytics.reading`."""

    languages: tuple[str, ...]
    deadline_s: Seconds
    max_memory_mb: Annotated[int, Field(ge=128, le=65536)]
    max_pixels: Positive

    @field_validator("languages")
    @classmethod
    def _are_names_of_models(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [n for n in names if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_/]*", n)]
        if wrong or not names:
            raise ValueError(
                f"{wrong or 'nothing'} names no language of tesseract: write them as `tesseract --list-langs` does, as [eng, deu]"
            )
        return names


class AnalyticsSettings(Section):
    """What analysts get of each clustering, see docs/analytics.md."""

    users_sketch_lg_k: Annotated[int, Field(ge=4, le=20)]
    trend_windows_days: tuple[Annotated[int, Field(ge=2, le=183)], ...]
    max_false_discoveries: Annotated[float, Field(gt=0.0, lt=1.0)]
    min_trend_events: Positive
    tags_per_cluster: Annotated[int, Field(ge=0, le=100)]
    min_tag_banners: Positive
    min_tag_advertisers: Annotated[int, Field(ge=0)]
    min_tag_lift: Annotated[float, Field(ge=1.0)]
    read_images: bool
    ocr: OcrSettings
    user_attributes: Address | None
    user_attribute_ids: Literal["logged", "stored"]
    audience_event: Literal["request", "impression", "click"]
    min_audience_users: Annotated[int, Field(ge=2)]

    @field_validator("trend_windows_days")
    @classmethod
    def _each_window_once(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(windows)) < len(windows):
            raise ValueError(f"{', '.join(map(str, windows))} names a window twice: name each once")
        return windows
