"""The frame between fetching and the tables; it is never stored."""

from __future__ import annotations

from bannermap.platform.tables import IMAGE_FETCHES, Table

ADDRESSES = Table(
    name="addresses",
    about="What to fetch.",
    columns={"image_url": "string: the address; null where a banner names none"},
    key=("image_url",),
    format="frame",
)
STORED_IMAGES = Table(
    name="stored_images",
    about="Bytes that are here already, to be encoded once more.",
    columns={"content_hash": "string: sha256 of data", "data": "binary: the file"},
    key=("content_hash",),
    format="frame",
)
IMAGES = Table(
    name="images",
    about="What came of an address: status, hashes, bytes and vector.",
    columns={
        **{c: m for c, m in IMAGE_FETCHES.columns.items() if c not in ("banner_id", "fetched_dt")},
        "data": "binary: the file; null unless decoded",
        "vector": "array<float>: unit length; null unless decoded",
    },
    key=("image_url",),
    format="frame",
)
EXTERNAL_ROWS = Table(
    name="external_rows",
    about="Vectors that were made elsewhere, looked at.",
    columns={
        "id": "string: as it came",
        "dimensions": "int: as it came; null without a vector",
        "reason": "string: why it cannot be used; null where it can",
        "vector": "array<float>: unit length; null where there is a reason",
    },
    key=("id",),
    format="frame",
)
