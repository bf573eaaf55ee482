"""PNG and APNG: the chunks of the picture, without text and profiles, whose compressed forms can be bombs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from bannermap.embedding.decoding.files.contents import Contents, broken, truncated

MAX_CHUNKS = 50_000
_PICTURE = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT", b"IEND"}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def examined(data: bytes) -> Contents:
    """The picture of a PNG file.

    Raises:
        Failure: ``truncated``, or ``decode_error``.
    """
    if not data.startswith(_SIGNATURE):
        raise truncated("png") if _SIGNATURE.startswith(data) else broken("png", "has a damaged signature")
    kept, header, exif, frames = [_SIGNATURE], b"", b"", 1
    for name, chunk in _chunks(data):
        body = chunk[8:-4]
        if (name == b"IHDR") == bool(header) or (name == b"IHDR" and len(body) != 13):
            raise broken("png", "does not have exactly one header, and that first")
        if name == b"IHDR":
            header = body
        elif name == b"acTL":
            frames = int.from_bytes(body[:4], "big")
        elif name == b"eXIf":
            exif = exif or body
        elif name == b"tRNS":
            chunk = _transparency(chunk, depth=header[8], colours=header[9])
        if name in _PICTURE:
            kept.append(chunk)
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    return Contents(b"".join(kept), width, height, max(1, frames), exif)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and whole bytes of each chunk, the end among them."""
    at = len(_SIGNATURE)
    for _ in range(MAX_CHUNKS):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if at + 12 + length > len(data):
            raise truncated("png")
        yield name, data[at : at + 12 + length]
        at += 12 + length
        if name == b"IEND":
            return
    raise broken("png", f"has more than {MAX_CHUNKS} chunks")


def _transparency(chunk: bytes, depth: int, colours: int) -> bytes:
    """The transparent colour in the scale of the decoded pixels, which is where Pillow looks for it: grey of 2 and 4 bits is
    stretched to 8, and of 16-bit colours the high byte is kept."""
    values = chunk[8:-4]
    if colours == 0 and depth in (2, 4) and len(values) == 2:
        values = (int.from_bytes(values, "big") * 255 // (2**depth - 1)).to_bytes(3, "big")[1:]
    elif colours == 2 and depth == 16 and len(values) == 6:
        values = bytes(b for high in values[::2] for b in (0, high))
    else:
        return chunk
    return chunk[:8] + values + zlib.crc32(chunk[4:8] + values).to_bytes(4, "big")
