"""The structure of image files, read before a decoder sees them: is it complete, how large is it, what of it is picture."""

from __future__ import annotations

from bannermap.embedding.decoding.files import gif, jpeg, png
from bannermap.embedding.decoding.files.contents import Contents
from bannermap.embedding.decoding.files.others import examined_avif, examined_bmp, examined_webp

_MARKS = {b"II*\0": "tiff", b"MM\0*": "tiff", b"%PDF": "pdf", b"<svg": "svg", b"8BPS": "psd", b"\0\0\1\0": "ico"}
_MARKS |= {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"GIF87a": "gif", b"GIF89a": "gif", b"BM": "bmp"}
_EXAMINERS = {"jpeg": jpeg.examined, "png": png.examined, "gif": gif.examined}
_EXAMINERS |= {"webp": examined_webp, "bmp": examined_bmp, "avif": examined_avif}


def kind_by_mark(data: bytes) -> str | None:
    """Name of a well-known format by its first bytes; nothing is opened."""
    if data[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        return "avif" if b"avif" in brands or b"avis" in brands else "heic"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)


def examined(data: bytes, kind: str) -> Contents:
    """What the structure of a file says; only complete files pass.

    Args:
        data: the file.
        kind: jpeg, png, gif, webp, bmp or avif, as `kind_by_mark` says.

    Raises:
        Failure: ``truncated``, or ``decode_error`` where no encoder writes such a file.
    """
    return _EXAMINERS[kind](data)
