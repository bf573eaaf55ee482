"""Mosaics of a comparison's best clusterings, from the stored bytes of the pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bannermap.lab.comparing import Compared
from bannermap.lab.mosaics import TILE_PX, Mosaic, chosen_pictures, mosaics
from bannermap.lab.page import Sheets, shown_names
from bannermap.platform.image_store import stored_bytes
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import IMAGE_FETCHES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Drawing = Callable[["DataFrame", "DataFrame", Callable[["DataFrame"], "DataFrame"]], "DataFrame"]
"""pixel_hash and side, image_fetches, content_hash -> its bytes: pixel_hash, side and thumbnail of each that can be drawn."""


def contact_sheets(context: JobContext, done: Sequence[Compared], draw: Drawing) -> Sheets:
    """encoder_id, configuration -> mosaics of the largest clusters, of the configurations that the page shows.

    Pictures without stored bytes, as of imported vectors, are left out; each is read and drawn once, in the tasks.
    """
    wanted = {
        (d.encoder_id, name): chosen_pictures(d.pictures.vectors, d.labels[name], d.pictures.names)
        for d in done
        for name in shown_names(d)
    }
    names = sorted({n for chosen in wanted.values() for c in chosen for n in c.names})
    if not names:
        return {}
    warehouse = context.warehouse
    asked = warehouse.spark.createDataFrame([(n, TILE_PX) for n in names], "pixel_hash string, side int")
    bytes_of = functools.partial(stored_bytes, warehouse, context.settings.fetch.image_cache)
    rows = draw(asked, warehouse.read_or_empty(IMAGE_FETCHES), bytes_of).select("pixel_hash", "thumbnail").collect()
    tiles = {r["pixel_hash"]: bytes(r["thumbnail"]) for r in rows}
    made: dict[tuple[str, str], list[Mosaic]] = {key: mosaics(chosen, tiles) for key, chosen in wanted.items()}
    return {key: sheet for key, sheet in made.items() if sheet}
