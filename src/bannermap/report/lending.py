"""What jobs hand from this stage to others, which know it by its functions only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bannermap.report import transforms as t

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


Lookup = Callable[["DataFrame"], "DataFrame"]


def thumbnails(wanted: DataFrame, image_fetches: DataFrame, held: Lookup, bytes_of: Lookup) -> dict[str, bytes]:
    """Pictures as the report draws them, each read and drawn once, in the tasks that hold the bytes.

    Args:
        wanted: pixel_hash and side (pixels), one row a picture.
        image_fetches: the table.
        held: distinct content_hash -> content_hash of those whose bytes are there.
        bytes_of: distinct content_hash -> content_hash, data.

    Returns:
        pixel_hash -> file of its thumbnail, of those that were fetched and can be drawn.
    """
    files = t.files_to_draw(wanted, image_fetches, held).persist()
    rows = t.drawn(files, bytes_of).select("pixel_hash", "thumbnail").collect()
    files.unpersist()
    return {r["pixel_hash"]: bytes(r["thumbnail"]) for r in rows}
