"""Frames between the tables and the pages; they are never stored."""

from __future__ import annotations

from bannermap.platform.tables import Table

DRAWN = Table(
    name="drawn",
    about="Small pictures, one row per picture and side; none where it cannot be drawn.",
    columns={
        "pixel_hash": "string: the picture",
        "side": "int: pixels, see report.thumbnail_px",
        "thumbnail": "binary: WebP",
        "brightness": "double: mean grey value, 0 to 1",
        "sharpness": "double: variance of the Laplacian of grey values of 0 to 255",
    },
    key=("pixel_hash", "side"),
    format="frame",
)
CURTAINS = Table(
    name="curtains",
    about="What the encoder looks at, one row per picture for which that is known.",
    columns={"pixel_hash": "string: the picture", "curtain": "binary: WebP, see report/emphasis.py"},
    key=("pixel_hash",),
    format="frame",
)
