"""What an encoder looks at, and which part of the picture that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.embedding.decoding.borders import content_lines
from bannermap.embedding.decoding.resizing import Box, ResizeMode, fitted, fitted_box


@dataclass(frozen=True)
class View:
    """A prepared picture.

    Attributes:
        pixels: uint8 (height, width, 3), RGB, as a model takes it.
        box: where it lies in the picture it was made of.
    """

    pixels: np.ndarray
    box: Box


def content(pixels: np.ndarray, trim_borders: bool) -> View:
    """The picture without bars where they are to be cut, else the whole; see `borders.trimmed`."""
    height, width, _ = pixels.shape
    top, bottom, left, right = content_lines(pixels) if trim_borders else (0, height, 0, width)
    box = Box(top / height, bottom / height, left / width, right / width)
    return View(np.ascontiguousarray(pixels[top:bottom, left:right]), box)


def fitted_view(pixels: np.ndarray, trim_borders: bool, mode: ResizeMode, side_px: int, patch_px: int) -> View:
    """The picture, trimmed where it has to be, in the size that a model takes; see `resizing.fitted`."""
    seen = content(pixels, trim_borders)
    height, width, _ = seen.pixels.shape
    box = _within(seen.box, fitted_box(width, height, mode, side_px))
    return View(fitted(seen.pixels, mode, side_px, patch_px), box)


def _within(outer: Box, inner: Box) -> Box:
    """A box of a part of a picture as a box of the picture."""
    height, width = outer.bottom - outer.top, outer.right - outer.left
    top, bottom = (outer.top + share * height for share in inner[:2])
    left, right = (outer.left + share * width for share in inner[2:])
    return Box(top, bottom, left, right)
