"""How many pictures fit: the same number for every cluster, and one more for the largest as far as there is room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TEXT_BYTES_PER_CLUSTER = 1250
BYTES_PER_SQUARE_PIXEL = 0.15
BYTES_PER_PICTURE = 250
"""What a cluster's text with its place in the overview, and its pictures, usually take; only the plan rests on it."""
SHRINKS = (1.0, 0.75, 0.6, 0.5, 0.4)
"""Of the side that is asked for, tried in this order; below 0.4 of 112 pixels nobody recognises a banner."""
WANTED_PICTURES = 4
"""Pictures per cluster for which the side is shrunk; more of them are only taken where they fit."""


@dataclass(frozen=True)
class Plan:
    """What is drawn, before it is known what it weighs.

    Attributes:
        thumbnail_px: side of a cluster's pictures.
        pictures: per cluster, at most.
    """

    thumbnail_px: int
    pictures: int


def plan(clusters: int, thumbnail_px: int, pictures: int, max_total_bytes: int) -> Plan:
    """The largest side at which every cluster usually has a small contact sheet, and as many pictures as may fit at that side.

    Args:
        clusters: shown.
        thumbnail_px: side asked for.
        pictures: per cluster, asked for.
        max_total_bytes: of all pages.
    """
    room = max_total_bytes / max(clusters, 1) - TEXT_BYTES_PER_CLUSTER
    wanted = min(pictures, WANTED_PICTURES)
    sides = [max(16, round(thumbnail_px * s)) for s in SHRINKS]
    side = next((s for s in sides if wanted * _picture_bytes(s) <= room), sides[-1])
    # Twice what usually fits is drawn, since flat pictures take far less than this; the driver holds no more than that.
    return Plan(side, max(1, min(pictures, int(2 * room / _picture_bytes(side)))))


def _picture_bytes(side: int) -> float:
    return BYTES_PER_SQUARE_PIXEL * side * side + BYTES_PER_PICTURE


@dataclass(frozen=True)
class Fill:
    """What fits.

    Attributes:
        pictures: that every cluster shows, where it has so many.
        one_more: clusters, from the largest, that show one more.
    """

    pictures: int
    one_more: int

    def of(self, rank: int) -> int:
        """Pictures of the cluster at a position, 0 for the largest."""
        return self.pictures + (rank < self.one_more)


def fill(wanted: Sequence[Sequence[str]], page: Sequence[int], weight: Mapping[str, int], room: int) -> Fill:
    """The first picture of each cluster, then the second of each, and so on, until the next one does not fit.

    Args:
        wanted: per cluster, largest first, its pictures in the order in which they matter.
        page: per cluster, its page; a picture counts once per page.
        weight: picture -> bytes in a page.
        room: bytes.
    """
    most = max(map(len, wanted), default=0)
    held: set[tuple[int, str]] = set()
    used = 0
    for number in range(most):
        for rank, (pictures, at) in enumerate(zip(wanted, page, strict=True)):
            if len(pictures) <= number or (at, pictures[number]) in held:
                continue
            used += weight[pictures[number]]
            if used > room:
                return Fill(number, rank)
            held.add((at, pictures[number]))
    return Fill(most, 0)
