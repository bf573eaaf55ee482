"""What jobs hand from this stage to others, which know it by its functions only."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from bannermap.platform.image_store import one_held_file, stored_bytes
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import IMAGE_FETCHES
from bannermap.report import transforms as t

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def thumbnails(warehouse: Warehouse, cache: str | None, wanted: DataFrame) -> dict[str, bytes]:
    """Pictures as the report draws them, each read and drawn once, in the tasks that hold the bytes.

    Args:
        warehouse: the tables.
        cache: ``fetch.image_cache``.
        wanted: pixel_hash and side (pixels), one row a picture.

    Returns:
        pixel_hash -> file of its thumbnail, of those that were fetched and can be drawn.
    """
    one_each = functools.partial(one_held_file, warehouse, cache, "pixel_hash")
    files = t.files_to_draw(wanted, warehouse.read_or_empty(IMAGE_FETCHES), one_each).persist()
    rows = t.drawn(files, functools.partial(stored_bytes, warehouse, cache)).select("pixel_hash", "thumbnail").collect()
    files.unpersist()
    return {r["pixel_hash"]: bytes(r["thumbnail"]) for r in rows}
