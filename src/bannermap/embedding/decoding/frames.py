"""Which frame of an animation is its picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

FRAMES_LOOKED_AT = 32
"""Frames that may become the picture, spread evenly over the animation, the first and the last among them."""
CELLS = 128
"""Cells along the longer side of a frame, in which it is looked at: dither and noise average out, letters do not."""


def looked_at(count: int) -> set[int]:
    """Numbers of the frames that may become the picture."""
    return set(np.linspace(0, count - 1, min(count, FRAMES_LOOKED_AT)).astype(int).tolist())


def information(pixels: np.ndarray) -> float:
    """How much a frame shows: the mean absolute difference of neighbouring cells, of 255; 0 for a blank frame.

    Cells are means of square blocks, at most `CELLS` along the longer side. The measure is a norm of a linear map, so that a
    blend of two frames never exceeds the better of them, beyond the rounding of cells: half-way through a fade is no maximum.

    Args:
        pixels: uint8 (height, width, 3).
    """
    block = -(-max(pixels.shape[:2]) // CELLS)
    cells = np.asarray(Image.fromarray(pixels).reduce(block)).astype(np.int16)
    steps = (np.abs(np.diff(cells, axis=axis)) for axis in (0, 1))
    return sum(float(step.mean()) for step in steps if step.size)
