"""Decoded pixels of any mode to RGB on white."""

from __future__ import annotations

import numpy as np
from PIL import Image

STRIP_PX = 1 << 20
"""Pixels converted at once: conversions need several copies, and only of a strip."""


def rgb_on_white(image: Image.Image) -> np.ndarray:
    """The pixels in RGB, transparency composited on white.

    Colours are taken as stored: profiles are not applied, so that a pixel hash depends on no colour engine. CMYK becomes
    ``(255 - c)(255 - k) / 255``. 16 bits of grey are scaled to the nearest of 8; of other 16-bit samples Pillow keeps the high
    byte.

    Args:
        image: a loaded frame of any mode that the allowed formats give.

    Returns:
        uint8 (height, width, 3), C-contiguous.
    """
    rows = max(1, STRIP_PX // image.width)
    if rows >= image.height:
        return _converted(image)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = _converted(image.crop((0, top, image.width, bottom)))
    return pixels


def _converted(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        return _sixteen_bits(np.asarray(image).astype(np.int64), image.info.get("transparency"))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, layer).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _sixteen_bits(values: np.ndarray, transparent: int | None) -> np.ndarray:
    """Grey to the nearest of 256 steps; 65535 / 257 is 255."""
    grey = ((np.clip(values, 0, 65535) + 128) // 257).astype(np.uint8)
    if transparent is not None:
        grey[values == transparent] = 255
    return np.repeat(grey[:, :, None], 3, axis=2)
