"""The frames between fetching and the tables; they are kept no longer than a run."""

from __future__ import annotations

from bannermap.platform.tables import IMAGE_FETCHES, Table

ADDRESSES = Table(
    name="addresses",
    about="What to fetch.",
    columns={"image_url": "string: the address; null where a banner names none"},
    key=("image_url",),
    format="frame",
)
STEPS = {
    "fetch": "seconds from the request to the last byte, pauses included; many wait at the same time",
    "decode": "processor seconds of decoding and preparing; several threads work at the same time",
    "wait": "seconds in which the encoder had nothing to do, a batch's shared evenly",
    "encode": "seconds of the encoder, a batch's shared evenly",
}
"""What a task's time goes into, per image."""
CONTENTS = Table(
    name="contents",
    about="Images by name only.",
    columns={"content_hash": "string: sha256 of the bytes"},
    key=("content_hash",),
    format="frame",
)
IMAGES = Table(
    name="images",
    about="What came of an address: status, hashes, bytes and vector.",
    columns={
        **{c: m for c, m in IMAGE_FETCHES.columns.items() if c not in ("banner_id", "fetched_dt", "first_failed_dt")},
        "data": "binary: the file; null unless decoded",
        "encoder_id": "string: which encoder of the chain made the vector; null without one",
        "not_encoded": "string: why a picture has no vector; null where it has, and where there is no picture",
        "attempts": "int: requests that were made for the address",
        **{f"{step}_s": f"double: {about}" for step, about in STEPS.items()},
        "emphasis": "binary: see embeddings; null also without a vector",
        "vector": "array<float>: unit length; null unless decoded and encoded",
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
