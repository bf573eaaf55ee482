"""The one interface of all encoders, and which setting makes which."""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np

from bannermap.platform.settings import EncoderSettings


class Encoder(Protocol):
    """Makes vectors of pictures."""

    @property
    def encoder_id(self) -> str:
        """Names everything that changes a vector; vectors of two ids never mix."""

    def encode(self, images: list[np.ndarray]) -> np.ndarray:
        """Vectors of pictures.

        Args:
            images: uint8 (height, width, 3), RGB.

        Returns:
            float32 (n, d), unit rows; a picture's vector does not depend on the batch.
        """


@functools.cache
def make_encoder(settings: EncoderSettings) -> Encoder:
    """The configured encoder; one per process and settings, since a model is loaded once per worker."""
    from bannermap.embedding.perceptual import PerceptualEncoder

    return PerceptualEncoder(settings.trim_borders)
