"""The one thing of EXIF that matters here: which way up the picture is. Everything else is left unread.

Pillow's own reader copies every entry, and entries may all claim the same bytes: kilobytes then become gigabytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_TAG = 0x0112
_VALUES = {1: "B", 3: "H", 4: "I"}
"""Types of whole numbers, by their code in the file, and how `struct` calls them."""


def orientation(block: bytes) -> int:
    """The orientation in an EXIF block.

    Args:
        block: a TIFF header and its first directory, with or without ``Exif`` before it.

    Returns:
        1 to 8; 1 where the block is empty, damaged or says nothing.
    """
    tiff = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    first = struct.unpack(order + "I", tiff[4:8])[0]
    entries = tiff[first + 2 :]
    count = int.from_bytes(tiff[first : first + 2], "little" if order == "<" else "big")
    found = 1
    for at in range(0, min(count, len(entries) // 12) * 12, 12):
        tag, kind, values = struct.unpack(order + "HHI", entries[at : at + 8])
        if tag == _TAG and kind in _VALUES and values == 1:
            found = struct.unpack_from(order + _VALUES[kind], entries, at + 8)[0]
    return found if 1 <= found <= 8 else 1


def orientation_of(image: Image.Image) -> int:
    """The orientation of an opened picture, as `orientation` reads it.

    Args:
        image: is loaded, since a PNG may have its block behind the pixels. Of an animation, at its first frame.
    """
    image.load()
    block = image.info.get("exif")
    return orientation(block) if isinstance(block, bytes) else 1


def upright(pixels: np.ndarray, turned: int) -> np.ndarray:
    """The picture as it is to be seen.

    Args:
        pixels: (height, width, 3).
        turned: orientation, 1 to 8, as EXIF defines it.

    Returns:
        C-contiguous; height and width change places from 5 on.
    """
    if turned >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if turned in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turned in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
