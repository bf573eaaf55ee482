"""Where the bytes of pictures are kept, by setting: the table image_bytes, or objects in a folder or object store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.platform.image_cache import ImageCache
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import IMAGE_BYTES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def keep_bytes(warehouse: Warehouse, cache: str | None, images: DataFrame) -> None:
    """Store bytes of new contents; in a dry run they are only computed.

    Args:
        warehouse: the tables.
        cache: ``fetch.image_cache``.
        images: content_hash and data, one row per content.
    """
    if cache is None or warehouse.read_only:
        warehouse.insert_new(IMAGE_BYTES, images)
    else:
        put = ImageCache(cache).put_batches
        IMAGE_BYTES.select(images).mapInArrow(put, "content_hash string").count()


def held_contents(warehouse: Warehouse, cache: str | None, contents: DataFrame) -> DataFrame:
    """Those of known contents whose bytes are there; arguments as of `stored_bytes`."""
    wanted = contents.select("content_hash")
    if cache is None:
        return stored_bytes(warehouse, cache, wanted).select("content_hash")
    return wanted.mapInArrow(ImageCache(cache).held_batches, "content_hash string")


def one_held_file(warehouse: Warehouse, cache: str | None, picture: str, files: DataFrame) -> DataFrame:
    """Of each picture the smallest file whose bytes are there: ``picture`` and content_hash; pictures without one have no row.

    Args:
        warehouse: the tables.
        cache: ``fetch.image_cache``.
        picture: column of ``files`` that names one.
        files: that column and content_hash; read twice.
    """
    held = held_contents(warehouse, cache, files.select("content_hash").distinct())
    there = files.join(held, "content_hash", "left_semi")
    return there.groupBy(picture).agg(F.min("content_hash").alias("content_hash"))


def stored_bytes(warehouse: Warehouse, cache: str | None, contents: DataFrame) -> DataFrame:
    """Bytes of known contents: columns content_hash and data; contents that are not there have no row.

    Args:
        warehouse: the tables.
        cache: ``fetch.image_cache``.
        contents: distinct content_hash.
    """
    wanted = contents.select("content_hash")
    if cache is None:
        return warehouse.read_or_empty(IMAGE_BYTES).join(wanted, "content_hash", "left_semi")
    return wanted.mapInArrow(ImageCache(cache).get_batches, "content_hash string, data binary")
