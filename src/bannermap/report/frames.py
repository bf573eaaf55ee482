"""Frames between the tables and the page; they are never stored."""

from __future__ import annotations

from bannermap.platform.tables import Table

THUMBNAILS = Table(
    name="thumbnails",
    about="Small pictures.",
    columns={"pixel_hash": "string: the picture", "thumbnail": "binary: WebP; null where it could not be drawn"},
    key=("pixel_hash",),
    format="frame",
)
