"""Bars around a banner: what letterboxing adds and what has to go before banners are compared.

A bar ends in a straight edge along its whole length; the plain margin of a banner ends in the tip of a letter. Only bars are cut,
so that a banner on a plain ground is never cut down to its text: its margins would then move with every change of the text.
"""

from __future__ import annotations

import numpy as np

TOLERANCE = 16
"""Difference to the bar's colour, of 255 per channel, up to which a pixel is bar: the noise of a JPEG."""
EDGE_SHARE = 0.8
"""Share of a line that must be of another colour where a bar ends."""
EDGE_LINES = 16
"""Lines from the first that is not plain to the edge, at most: a JPEG rings within its blocks, 16 lines for colours."""
RINGING = 64
"""Difference, of 255, up to which these lines are ringing; a letter is more."""
CHUNK_PX = 1 << 18
"""Pixels compared at once; bounds memory."""
FRAMED_SHARE = 1 / 4
ROUNDS = 4
"""Bars within bars that are cut: above and below, then left and right, then a frame of one pixel."""
LEAST_SHARE = 1 / 16
"""Of each side that must remain: a 728 x 90 in a square has 1/8. Where less would, that axis stays as it was."""


def trimmed(pixels: np.ndarray) -> np.ndarray:
    """The picture without bars, each side by itself.

    A bar is a run of lines along a side in which every pixel is within `TOLERANCE` of the median of the outermost line, up to an
    edge: a line of which `EDGE_SHARE` is not. Bars of other colours and bars within bars go, too. Where a picture stands within a
    wide frame, no edge is as long as the whole side; a frame goes where each of its inner edges is as long as the part that is
    not frame, and that part has at least `FRAMED_SHARE` of either side: less is a logo.

    Args:
        pixels: uint8 (height, width, 3), at least 1 x 1.

    Returns:
        A C-contiguous part of it; the whole where there is no bar.
    """
    top, bottom, left, right = content_lines(pixels)
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def content_lines(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """What `trimmed` keeps: first row and that behind the last, first column and that behind the last."""
    height, width, _ = pixels.shape
    top, bottom, left, right = 0, height, 0, width
    for _ in range(ROUNDS):
        cut = _cut(pixels[top:bottom, left:right])
        top, bottom, left, right = top + cut[0], bottom - cut[1], left + cut[2], right - cut[3]
        if not any(cut) or top >= bottom or left >= right:
            break
    if bottom - top < height * LEAST_SHARE:
        top, bottom = 0, height
    if right - left < width * LEAST_SHARE:
        left, right = 0, width
    return top, bottom, left, right


def _cut(pixels: np.ndarray) -> list[int]:
    """Lines to cut at the top, bottom, left and right: bars, else a frame."""
    turned = pixels.transpose(1, 0, 2)
    sides = (pixels, pixels[::-1], turned, turned[::-1])
    bars = [_bar(lines) for lines in sides]
    if any(bars) or None not in bars:
        return [lines or 0 for lines in bars]
    frame = [_bar(lines, framed=True) for lines in sides]
    top, bottom, left, right = (lines or 0 for lines in frame)
    height, width, _ = pixels.shape
    large = height - top - bottom >= FRAMED_SHARE * height and width - left - right >= FRAMED_SHARE * width
    return [top, bottom, left, right] if large and None not in frame else [0, 0, 0, 0]


def _bar(lines: np.ndarray, framed: bool = False) -> int | None:
    """Lines of the leading bar: 0 where the first is not plain, None where plain lines end in no edge, or not at all.

    Most pictures have none, so that few lines are looked at first.
    """
    colour = np.median(lines[0], axis=0)
    at, some = 0, 4
    while at < len(lines):
        plain = np.logical_not(_differs(lines[at : at + some], colour, TOLERANCE).any(axis=1))
        if not plain.all():
            at += int(plain.argmin())
            break
        at, some = at + plain.size, min(2 * some, max(4, CHUNK_PX // lines.shape[1]))
    if at in (0, len(lines)):
        return 0 if at == 0 else None
    ringing = _ringing(lines[at:], colour, framed)
    return None if ringing is None else at + ringing


def _ringing(lines: np.ndarray, colour: np.ndarray, framed: bool) -> int | None:
    """Lines before the edge, None where there is no edge."""
    first, last = _extent(lines, colour) if framed else (0, lines.shape[1])
    near = lines[:EDGE_LINES, first:last]
    edges = np.flatnonzero(_differs(near, colour, TOLERANCE).mean(axis=1) >= EDGE_SHARE)
    strong = np.flatnonzero(_differs(near, colour, RINGING).any(axis=1))
    if not len(edges) or (len(strong) and strong[0] < edges[0]):
        return None
    return int(edges[0])


def _extent(lines: np.ndarray, colour: np.ndarray) -> tuple[int, int]:
    """From the first to behind the last place along the lines where any of them is of another colour."""
    some = max(1, CHUNK_PX // lines.shape[1])
    parts = [_differs(lines[n : n + some], colour, TOLERANCE).any(axis=0) for n in range(0, len(lines), some)]
    places = np.flatnonzero(np.any(parts, axis=0))
    return int(places[0]), int(places[-1]) + 1


def _differs(lines: np.ndarray, colour: np.ndarray, tolerance: int) -> np.ndarray:
    """Which pixels are further from the colour in any channel; bool (lines, pixels)."""
    low = np.clip(np.ceil(colour - tolerance), 0, 255).astype(np.uint8)
    high = np.clip(np.floor(colour + tolerance), 0, 255).astype(np.uint8)
    return ((lines < low) | (lines > high)).any(axis=2)
