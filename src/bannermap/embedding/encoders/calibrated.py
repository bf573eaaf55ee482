"""An encoder whose vectors are calibrated: see `embedding.calibration`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bannermap.embedding.calibration import Calibration, read_calibration
from bannermap.embedding.encoders.interface import Encoder
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

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        """As the encoder does."""
        return self.encoder.prepare(pixels)

    def encode(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Calibrated vectors; float32 (n, d), unit rows."""
        return self.calibration.apply(self.encoder.encode(inputs))


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
