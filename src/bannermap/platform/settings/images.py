"""Settings of fetching, decoding and encoding."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bannermap.platform.settings.common import Positive, Seconds, Section, VariableName


class FetchSettings(Section):
    """Limits of one fetch."""

    fetch_deadline_s: Seconds
    connect_timeout_s: Seconds
    max_bytes: Positive
    threads_per_task: Annotated[int, Field(ge=1, le=256)]
    attempts: Annotated[int, Field(ge=1, le=10)]
    max_redirects: Annotated[int, Field(ge=0, le=20)]
    schemes: tuple[Literal["file", "http", "https"], ...]
    allow_private_addresses: bool
    user_agent: str
    retry_after_days: Annotated[int, Field(ge=0)]


class DecodeSettings(Section):
    """What may be decoded, checked before it is."""

    formats: tuple[str, ...]
    max_pixels: Positive
    max_frames: Positive


class RemoteSettings(Section):
    """An HTTP endpoint that makes vectors; used by `encoder.name: remote`."""

    endpoint: str | None
    model: str | None
    key_variable: VariableName | None
    deadline_s: Seconds
    attempts: Annotated[int, Field(ge=1, le=10)]
    batch_images: Annotated[int, Field(ge=1, le=1024)]


class EncoderSettings(Section):
    """Which encoder makes vectors, and what it looks at."""

    name: Literal["perceptual", "dinov2", "hf", "clip", "remote"]
    weights: str | None
    resize_mode: Literal["resize", "letterbox", "grid", "center_crop"] | None
    resolution_px: Annotated[int, Field(ge=14, le=2048)] | None
    trim_borders: bool
    emphasis_strength: Annotated[float, Field(ge=0.0, le=100.0)]
    precision: Literal["auto", "fp32", "bf16"]
    calibration: str | None
    batch_images: Annotated[int, Field(ge=1, le=4096)]
    max_batch_tokens: Annotated[int, Field(ge=16, le=10_000_000)]
    chain: tuple[EncoderLink, ...]
    remote: RemoteSettings


class EncoderLink(Section):
    """A further encoder of a chain. These keys are its own, null where they are not given; the others are the first one's."""

    name: Literal["perceptual", "dinov2", "hf", "clip", "remote"]
    weights: str | None = None
    resize_mode: Literal["resize", "letterbox", "grid", "center_crop"] | None = None
    resolution_px: Annotated[int, Field(ge=14, le=2048)] | None = None
    calibration: str | None = None


EncoderSettings.model_rebuild()
