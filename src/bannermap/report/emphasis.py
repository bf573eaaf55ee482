"""What an encoder looks at, as a curtain over a thumbnail: opaque where it hardly looks, clear where the vector comes from.

A curtain is a few hundred bytes beside a picture that the page has anyway, and the browser lays one over the other. It has one
colour, so that it is seen by its darkness and its hue, on white ground as on black, whatever colours one sees.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

LEVELS = 15
"""Steps of opacity; more of them cannot be told apart and take more bytes."""


def curtain(emphasis: bytes) -> bytes:
    """The curtain over a picture, as lossless WebP of one pixel per cell; only its opacity counts.

    Opacity falls with the root of the weight: weights are exponential in attention, and a part that weighs a quarter of the
    strongest is looked at.

    Args:
        emphasis: of the table `embeddings`: a byte per cell, as many rows as columns, from the top left.
    """
    side = math.isqrt(len(emphasis))
    share = np.sqrt(np.frombuffer(emphasis, np.uint8).reshape(side, side) / 255.0)
    cells = np.zeros((side, side, 4), np.uint8)
    cells[:, :, 3] = np.rint(np.rint((1 - share) * LEVELS) * (255 / LEVELS))
    target = io.BytesIO()
    Image.fromarray(cells).save(target, "WEBP", lossless=True, quality=100, method=6, exact=True)
    return target.getvalue()
