"""An encoder whose vectors are calibrated: see `embedding.calibration`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bannermap.embedding.calibration import Calibration, read_calibration
from bannermap.embedding.decoding.views import View
from bannermap.embedding.encoders.interface import Encoded, Encoder
from bannermap.platform.errors import ConfigError


@dataclass(frozen=True)
class CalibratedEncoder:
    """See the module.

    Attributes:
        encoder: makes the vectors.
        calibration: what becomes of them.
        digest: sha256 of the calibration's file.
    """

    encoder: Encoder
    calibration: Calibration
    digest: str

    @property
    def encoder_id(self) -> str:
        """The encoder's, and which calibration."""
        return f"{self.encoder.encoder_id}-cal{self.digest[:8]}"

    def check(self) -> None:
        """See `Encoder.check`."""
        self.encoder.check()

    def prepare(self, pixels: np.ndarray) -> View:
        """As the encoder does."""
        return self.encoder.prepare(pixels)

    def encode(self, inputs: list[View]) -> Encoded:
        """Calibrated vectors; where the encoder looked stays as it was."""
        made = self.encoder.encode(inputs)
        return replace(made, vectors=self.calibration.apply(made.vectors))


def calibrated_encoder(encoder: Encoder, file: str) -> CalibratedEncoder:
    """The encoder with a calibration.

    Raises:
        ConfigError: the file can't be read, or was made for another encoder.
    """
    calibration, digest = read_calibration(Path(file).expanduser())
    if calibration.encoder_id != encoder.encoder_id:
        raise ConfigError(
            f"encoder.calibration: {file} was made for {calibration.encoder_id} and the encoder is {encoder.encoder_id}: "
            "the mean of other vectors means nothing for these. Set encoder as it was then, or run calibrate_encoder again."
        )
    return CalibratedEncoder(encoder, calibration, digest)
