"""What the structure of a file says, and the words for what is wrong with one."""

from __future__ import annotations

from dataclasses import dataclass

from bannermap.embedding.statuses import Failure


@dataclass(frozen=True)
class Contents:
    """A complete file, before its pixels are decoded.

    Attributes:
        data: what the decoder gets; JPEG and PNG without metadata, since a decoder's parser of metadata can be made to allocate
            gigabytes by a few kilobytes, and nothing but the orientation matters here.
        width: pixels as declared, over all frames; 0 where only the decoder knows.
        height: likewise.
        frames: as declared; 1 where only the decoder knows.
        exif: the EXIF block; None where the decoder hands it over.
    """

    data: bytes
    width: int = 0
    height: int = 0
    frames: int = 1
    exif: bytes | None = None


def truncated(kind: str) -> Failure:
    """The failure of a file that ends early."""
    return Failure("truncated", f"the {kind} ends before its last byte")


def broken(kind: str, why: str) -> Failure:
    """The failure of a file that no encoder writes."""
    return Failure("decode_error", f"the {kind} {why}")
