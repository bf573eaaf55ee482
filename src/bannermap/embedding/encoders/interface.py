"""The one interface of all encoders, and which setting makes which."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from bannermap.platform.settings import EncoderSettings


class Encoder(Protocol):
    """Makes vectors of pictures, in two steps: threads prepare pictures one by one, the model then takes a batch."""

    @property
    def encoder_id(self) -> str:
        """Names everything that changes a vector; vectors of two ids never mix."""

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        """What the encoder looks at: trimmed and resized, so that a batch is small whatever the pictures were.

        Args:
            pixels: uint8 (height, width, 3), RGB, at least 1 x 1.

        Returns:
            uint8 (height, width, 3), RGB.
        """

    def encode(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Vectors of prepared pictures.

        Args:
            inputs: what `prepare` gave, one or more.

        Returns:
            float32 (n, d), unit rows; a picture's vector does not depend on the batch, beyond rounding.
        """


def encode_pictures(encoder: Encoder, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Vectors of pictures as they were decoded; float32 (n, d), see `Encoder`."""
    return encoder.encode([encoder.prepare(pixels) for pixels in pictures])


@functools.cache
def make_encoder(settings: EncoderSettings) -> Encoder:
    """The configured encoder; one per process and settings, since a model is loaded once per worker."""
    if settings.name == "dinov2":
        from bannermap.embedding.encoders.dinov2 import make_dinov2

        return make_dinov2(settings, "cpu")
    from bannermap.embedding.encoders.perceptual import PerceptualEncoder

    return PerceptualEncoder(settings.trim_borders)
