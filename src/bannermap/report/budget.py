"""How many pictures fit: the same number for every cluster, so that no cluster looks poorer because it comes later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TEXT_BYTES_PER_CLUSTER = 800
BYTES_PER_SQUARE_PIXEL = 0.3
BYTES_PER_PICTURE = 150
"""What a cluster's text and its pictures usually take in a page; only the plan rests on them, the fill counts real bytes."""
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


def rounds_that_fit(wanted: Sequence[Sequence[Sequence[str]]], weight: Mapping[str, int], room: int) -> int:
    """The largest r such that the first r pictures of every cluster fit; a picture counts once per page.

    Args:
        wanted: per page, per cluster, its pictures in the order in which they matter.
        weight: picture -> bytes in a page.
        room: bytes.
    """
    most = max((len(pictures) for page in wanted for pictures in page), default=0)
    held: list[set[str]] = [set() for _ in wanted]
    used = 0
    for number in range(most):
        for page, inside in zip(wanted, held, strict=True):
            new = {pictures[number] for pictures in page if len(pictures) > number} - inside
            used += sum(weight.get(picture, 0) for picture in new)
            inside |= new
        if used > room:
            return number
    return most
