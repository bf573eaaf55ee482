"""Uniform borders: what letterboxing adds around a banner and what has to go before banners are compared."""

from __future__ import annotations

import numpy as np


def trimmed(pixels: np.ndarray, tolerance: int = 8) -> np.ndarray:
    """The image without uniform borders, those of letterboxed copies; an image of one colour stays whole.

    Args:
        pixels: uint8 (height, width, 3).
        tolerance: difference to the corner's colour, of 255, up to which a pixel is border.
    """
    differs = (np.abs(pixels.astype(np.int16) - pixels[0, 0].astype(np.int16)) > tolerance).any(axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return pixels
    return np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
