"""WebP, BMP and AVIF: whether the file is as long as it says; their decoders refuse the rest by themselves."""

from __future__ import annotations

from collections.abc import Iterator

from bannermap.embedding.decoding.files.contents import Contents, broken, truncated


def examined_webp(data: bytes) -> Contents:
    """A WebP file and its canvas, which its decoder allocates when it opens the file.

    Raises:
        Failure: ``truncated``.
    """
    if len(data) < max(30, 8 + int.from_bytes(data[4:8], "little")):
        raise truncated("webp")
    return Contents(data, *_webp_canvas(data))


def _webp_canvas(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def examined_bmp(data: bytes) -> Contents:
    """A BMP file. Some writers declare no length; the decoder then counts rows itself.

    Raises:
        Failure: ``truncated``.
    """
    if len(data) < int.from_bytes(data[2:6], "little"):
        raise truncated("bmp")
    return Contents(data)


def examined_avif(data: bytes) -> Contents:
    """An AVIF file whose EXIF block has no name any more: it must not turn the picture (properties of the item do), and its
    parser can be made to allocate gigabytes.

    Raises:
        Failure: ``truncated``, or ``decode_error``.
    """
    parts = [box if box[4:8] == b"mdat" else box.replace(b"Exif", b"none") for box in _boxes(data)]
    return Contents(b"".join(parts))


def _boxes(data: bytes) -> Iterator[bytes]:
    """The boxes of the outermost level; the last may reach to the end of the file."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        size = size or len(data) - at
        if size < 8 and at + 8 <= len(data):
            raise broken("avif", f"has a box of {size} bytes")
        if at + max(8, size) > len(data):
            raise truncated("avif")
        yield data[at : at + size]
        at += size
