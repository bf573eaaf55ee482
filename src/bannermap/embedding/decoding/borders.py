"""Uniform borders: what letterboxing adds around a banner and what has to go before banners are compared."""

from __future__ import annotations

import numpy as np

TOLERANCE = 16
"""Difference to the border's colour, of 255 per channel, up to which a pixel is border: a JPEG's noise."""
ROUNDS = 4
"""Borders within borders that are cut: bars around a banner, its one-pixel frame, its own plain margin."""
LEAST_SHARE = 1 / 16
"""Of each side that must remain; a 728 x 90 in a square has 1/8. Where less would, that axis is left as it was."""


def trimmed(pixels: np.ndarray) -> np.ndarray:
    """The picture without uniform borders, each side by itself.

    A line along a side is border where every pixel is within `TOLERANCE` of the median of the side's outermost line; one letter
    that touches a line keeps it. Bars of different colours on different sides are borders, and so is what is uniform inside of them:
    a banner and its letterboxed copy come down to the same rectangle.

    Args:
        pixels: uint8 (height, width, 3), at least 1 x 1.

    Returns:
        A C-contiguous part of it; the whole where all is of one colour.
    """
    height, width, _ = pixels.shape
    top, bottom, left, right = 0, height, 0, width
    for _ in range(ROUNDS):
        inner = pixels[top:bottom, left:right]
        before, after = _margins(inner)
        start, end = _margins(inner.transpose(1, 0, 2))
        top, bottom, left, right = top + before, bottom - after, left + start, right - end
        if not any((before, after, start, end)):
            break
    if bottom - top < height * LEAST_SHARE:
        top, bottom = 0, height
    if right - left < width * LEAST_SHARE:
        left, right = 0, width
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def _margins(lines: np.ndarray) -> tuple[int, int]:
    """Border lines at the beginning and at the end of the first axis; none where all lines are."""
    before = _border_lines(lines)
    return (0, 0) if before == len(lines) else (before, _border_lines(lines[::-1]))


def _border_lines(lines: np.ndarray) -> int:
    """How many leading lines are of the first one's colour. Most pictures have none, so that few lines are looked at first."""
    colour = np.median(lines[0], axis=0)
    low = np.clip(colour - TOLERANCE, 0, 255).astype(np.uint8)
    high = np.clip(colour + TOLERANCE, 0, 255).astype(np.uint8)
    at, some = 0, 4
    while at < len(lines):
        looked_at = lines[at : at + some]
        other = ((looked_at < low) | (looked_at > high)).any(axis=(1, 2))
        if other.any():
            return at + int(other.argmax())
        at, some = at + len(looked_at), 2 * some
    return at
