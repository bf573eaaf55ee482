"""The one interface of all encoders, and which setting makes which."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bannermap.embedding.decoding.views import View
from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import EncoderSettings


class EncoderUnavailable(Exception):
    """An encoder that could not make vectors now and may later: a picture stays without one until the next run."""


@dataclass(frozen=True)
class Encoded:
    """What an encoder made of some pictures.

    Attributes:
        vectors: float32 (n, d), unit rows; a row of NaN where the model gave nothing that can be scaled to unit length.
        emphasis: uint8 (n, CELLS, CELLS), see `emphasis.emphasis_map`; null where no part of a picture counts more than another.
    """

    vectors: np.ndarray
    emphasis: np.ndarray | None = None


class Encoder(Protocol):
    """Makes vectors of pictures, in two steps: threads prepare pictures one by one, the model then takes a batch."""

    @property
    def encoder_id(self) -> str:
        """Names everything that changes a vector; vectors of two ids never mix."""

    def check(self) -> None:
        """Say what is wrong with the configuration while that costs nothing, such as weights that can't be loaded.

        Raises:
            ConfigError: something is.
        """

    def prepare(self, pixels: np.ndarray) -> View:
        """What the encoder looks at: trimmed and resized, so that a batch is small whatever the pictures were.

        Args:
            pixels: uint8 (height, width, 3), RGB, at least 1 x 1.
        """

    def encode(self, inputs: list[View]) -> Encoded:
        """Vectors of prepared pictures; they do not depend on the batch, beyond rounding.

        Args:
            inputs: what `prepare` gave, one or more.

        Raises:
            EncoderUnavailable: none of them could be encoded.
        """


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """The rows scaled to unit length; NaN where a row has no direction: zero, or not finite.

    Args:
        vectors: (n, d), any real type.

    Returns:
        float32 (n, d).
    """
    rows = vectors.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)  # first, so that no square overflows
        rows = rows / np.where(largest > 0, largest, np.nan)
        rows = rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    rows[~np.isfinite(rows).all(axis=1)] = np.nan
    return rows.astype(np.float32)


def seen_as(trim_borders: bool) -> str:
    """The part of an encoder_id that names what comes before any resizing: the rule that chooses a frame of an animation, and the
    rule that cuts borders. A changed rule has to get another number here."""
    return f"frame2.{'trim2' if trim_borders else 'whole'}"


def encode_pictures(encoder: Encoder, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Vectors of pictures as they were decoded; float32 (n, d), see `Encoder`."""
    return encoder.encode([encoder.prepare(pixels) for pixels in pictures]).vectors


@functools.cache
def make_encoder(settings: EncoderSettings) -> Encoder:
    """The configured encoder, without its chain; one per process and settings, since a model is loaded once per worker.

    Raises:
        ConfigError: the settings can't be right.
    """
    encoder = MAKERS[settings.name](settings)
    if settings.calibration is None:
        return encoder
    from bannermap.embedding.encoders.calibrated import calibrated_encoder

    return calibrated_encoder(encoder, settings.calibration)


def _refuse(settings: EncoderSettings, *names: str) -> None:
    """Raise ConfigError for settings that were given and that this encoder has no use for."""
    given = [f"encoder.{name} ({getattr(settings, name)})" for name in names if getattr(settings, name) is not None]
    if given:
        raise ConfigError(
            f"The encoder {settings.name} has no use for {' and '.join(given)}, and its vectors would be the same without. "
            "Set what is named here to null, or encoder.name to the encoder that it is meant for."
        )


def _perceptual(settings: EncoderSettings) -> Encoder:
    from bannermap.embedding.encoders.perceptual import PerceptualEncoder

    _refuse(settings, "weights", "resize_mode", "resolution_px")
    return PerceptualEncoder(settings.trim_borders)


def _dinov2(settings: EncoderSettings) -> Encoder:
    from bannermap.embedding.encoders.dinov2 import Dinov2Encoder

    return Dinov2Encoder(settings)


def _hf(settings: EncoderSettings) -> Encoder:
    from bannermap.embedding.encoders.hf import hf_encoder

    return hf_encoder(settings)


def _clip(settings: EncoderSettings) -> Encoder:
    from bannermap.embedding.encoders.clip import clip_encoder

    return clip_encoder(settings)


def _remote(settings: EncoderSettings) -> Encoder:
    from bannermap.embedding.encoders.remote import RemoteEncoder

    _refuse(settings, "weights")
    return RemoteEncoder(settings)


MAKERS: dict[str, Callable[[EncoderSettings], Encoder]] = {
    "perceptual": _perceptual,
    "dinov2": _dinov2,
    "hf": _hf,
    "clip": _clip,
    "remote": _remote,
}
"""Each imports its module when it is configured: models are heavy."""
