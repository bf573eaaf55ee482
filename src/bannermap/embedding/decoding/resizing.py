"""Pictures of any shape to what a model takes: squeezed, letterboxed, as an aspect-keeping grid of patches, or cropped.

Banners are strips: a central square of a 728 x 90 holds an eighth of it. The first three modes show the whole banner, the last is
there for comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

ResizeMode = Literal["resize", "letterbox", "grid", "center_crop"]

PADDING = (255, 255, 255)
"""Colour around a letterboxed picture: white, as transparent pixels are, so that a banner on a white page has no seam. A colour
taken from the picture would make the padding say something about it."""

FILTER = Image.Resampling.BICUBIC
"""Wide enough not to alias where it reduces (Pillow widens its support by the scale), and smooth where it enlarges."""

REDUCING_GAP = 3.0
"""A picture more than this many times too large is first averaged in whole blocks: several times faster, and it bounds the memory
of a strip, since the first pass of the filter keeps one axis at full length."""


class Box(NamedTuple):
    """A part of a picture, its edges as shares of the height and the width: 0 is the top or the left, 1 the bottom or the right.

    A box may be larger than the picture: what a letterboxed one adds lies outside.
    """

    top: float
    bottom: float
    left: float
    right: float


def fitted_box(width: int, height: int, mode: ResizeMode, side_px: int) -> Box:
    """The part of a picture that fills what `fitted` gives.

    Args:
        width: pixels, at least 1.
        height: pixels, at least 1.
        mode: see `fitted`.
        side_px: see `fitted`.
    """
    if mode == "letterbox":
        inner = _inner_size((width, height), side_px)
        starts = [(side_px - edge) // 2 for edge in inner]
        left, top = (-start / edge for start, edge in zip(starts, inner, strict=True))
        return Box(top, top + side_px / inner[1], left, left + side_px / inner[0])
    if mode == "center_crop":
        left, top = ((1 - min(width, height) / edge) / 2 for edge in (width, height))
        return Box(top, 1 - top, left, 1 - left)
    return Box(0.0, 1.0, 0.0, 1.0)


def fitted(pixels: np.ndarray, mode: ResizeMode, side_px: int, patch_px: int) -> np.ndarray:
    """The picture in the size that a model takes. The same pixels give the same bytes on every machine.

    Args:
        pixels: uint8 (height, width, 3), at least 1 x 1.
        mode: ``resize`` squeezes the whole picture to the square; ``letterbox`` keeps its aspect, centres it and pads with
            `PADDING`; ``grid`` squeezes it to `grid_shape` patches; ``center_crop`` scales the shorter side to the square's and
            keeps the middle.
        side_px: side of the square; for ``grid``, ``(side_px // patch_px) ** 2`` is the most patches.
        patch_px: side of a patch; only ``grid`` looks at it.

    Returns:
        uint8 (side_px, side_px, 3); for ``grid``, (rows * patch_px, columns * patch_px, 3).
    """
    image = Image.fromarray(pixels)
    if mode == "resize":
        shown = _squeezed(image, side_px, side_px)
    elif mode == "letterbox":
        shown = _letterboxed(image, side_px)
    elif mode == "grid":
        rows, columns = grid_shape(image.width, image.height, side_px, patch_px)
        shown = _squeezed(image, columns * patch_px, rows * patch_px)
    elif mode == "center_crop":
        shown = _cropped(image, side_px)
    else:
        raise ValueError(f"no resize mode is called {mode!r}")
    return np.array(shown)


def grid_shape(width: int, height: int, side_px: int, patch_px: int) -> tuple[int, int]:
    """Rows and columns of patches for a picture.

    Of all grids within the budget of ``(side_px // patch_px) ** 2`` patches to which neither a row nor a column could be added,
    the one whose columns : rows is nearest to width : height, as the absolute difference of logarithms. Of two equally near, the
    one with more patches, then the wider one. The comparison is exact.

    Args:
        width: pixels, at least 1.
        height: pixels, at least 1.
        side_px: at least ``patch_px``.
        patch_px: at least 1.

    Returns:
        (rows, columns), both at least 1.
    """
    budget = (side_px // patch_px) ** 2
    if budget < 1:
        raise ValueError(f"a side of {side_px} pixels holds no patch of {patch_px}")

    def distance(shape: tuple[int, int]) -> tuple[Fraction, int, int]:
        rows, columns = shape
        a, b = columns * height, rows * width
        return Fraction(max(a, b), min(a, b)), -rows * columns, rows

    return min(_full_grids(budget), key=distance)


def _full_grids(budget: int) -> Iterator[tuple[int, int]]:
    for rows in range(1, budget + 1):
        columns = budget // rows
        if (rows + 1) * columns > budget:
            yield rows, columns


def _squeezed(image: Image.Image, width: int, height: int) -> Image.Image:
    return image.resize((width, height), FILTER, reducing_gap=REDUCING_GAP)


def _letterboxed(image: Image.Image, side_px: int) -> Image.Image:
    width, height = _inner_size(image.size, side_px)
    square = Image.new("RGB", (side_px, side_px), PADDING)
    square.paste(_squeezed(image, width, height), ((side_px - width) // 2, (side_px - height) // 2))
    return square


def _inner_size(size: tuple[int, int], side_px: int) -> tuple[int, int]:
    longest = max(size)
    width, height = (max(1, (2 * edge * side_px + longest) // (2 * longest)) for edge in size)
    return width, height


def _cropped(image: Image.Image, side_px: int) -> Image.Image:
    """Only the middle is scaled: the whole of a strip would be thousands of pixels long."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((side_px, side_px), FILTER, box=box, reducing_gap=REDUCING_GAP)
