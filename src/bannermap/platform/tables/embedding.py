"""Tables of fetching and embedding."""

from __future__ import annotations

from bannermap.platform.tables.declaration import Table
from bannermap.platform.tables.migrations import AddColumns

IMAGE_FETCHES = Table(
    name="image_fetches",
    about="One row per banner and address: what came of fetching and decoding its image.",
    columns={
        "banner_id": "string: see banners",
        "image_url": "string: the address asked",
        "status": "string: ok, or the typed reason why there is no picture",
        "error": "string: the message behind a status that is not ok",
        "content_hash": "string: sha256 of the bytes; null where none came",
        "pixel_hash": "string: sha256 of size, frame count and composited frames; null unless decoded",
        "bytes": "bigint: length of the body",
        "format": "string: image format by content, lower case",
        "width": "int: pixels, after EXIF orientation",
        "height": "int: pixels, after EXIF orientation",
        "frames": "int: number of frames",
        "fetched_dt": "date: day whose run fetched it, the earliest that shows it; or tried to last",
        "first_failed_dt": "date: day of the first of its failures, from which giving up counts; null where status is ok",
    },
    key=("banner_id", "image_url"),
    version=2,
    migrations={
        2: AddColumns(
            ("first_failed_dt",),
            "failures: the day of their last try",
            "SELECT banner_id, image_url, fetched_dt AS first_failed_dt FROM {image_fetches} WHERE status != 'ok'",
        )
    },
)
IMAGE_BYTES = Table(
    name="image_bytes",
    about="The bytes of every decodable image, once per content hash.",
    columns={
        "content_hash": "string: sha256 of data",
        "data": "binary: the file as it came",
    },
    key=("content_hash",),
)
EMBEDDINGS = Table(
    name="embeddings",
    about="One unit vector per encoder and image.",
    columns={
        "encoder_id": "string: everything that changes a vector, named",
        "content_hash": "string: see image_bytes",
        "vector": "array<float>: unit length",
        "emphasis": "binary: what each part of the picture weighs in the vector: a byte per cell, 16 rows of 16 cells over the "
        "whole picture from the top left, the largest 255; null where the encoder gives no part more weight than another",
    },
    key=("encoder_id", "content_hash"),
    partition_by=("encoder_id",),
    version=2,
    migrations={2: AddColumns(("emphasis",), "null: the report shows it for vectors that are made from now on")},
)
EXTERNAL_VECTORS = Table(
    name="external_vectors",
    about="Banners whose vectors were made elsewhere and imported by banner_id: no picture stands behind them.",
    columns={
        "encoder_id": "string: see embeddings; starts with external-",
        "banner_id": "string: see banners; it may be one that no log has had yet",
        "content_hash": "string: external: and the banner_id, under which embeddings holds the vector",
        "imported_dt": "date: day of the run that brought it first; clusterings of earlier days do not see it",
    },
    key=("encoder_id", "banner_id"),
    partition_by=("encoder_id",),
)

FILE_EMBEDDINGS = Table(
    name="file_embeddings",
    about="embed_banners on a folder: one row per file.",
    columns={
        "file": "string: path below the folder",
        "content_hash": "string: sha256 of the bytes; null where they could not be read",
        "pixel_hash": "string: see image_fetches",
        "status": "string: see image_fetches",
        "error": "string: see image_fetches",
        "width": "int: pixels, after EXIF orientation",
        "height": "int: pixels, after EXIF orientation",
        "frames": "int: number of frames",
        "vector": "array<float>: unit length; null unless status is ok",
    },
    key=("file",),
    format="parquet",
)
