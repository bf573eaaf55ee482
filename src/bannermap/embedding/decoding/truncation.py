"""Whether a file is complete, for formats whose decoder accepts one that is cut short.

Pillow reads a GIF up to wherever it ends and a JPEG without its end marker; a banner that lost its lower half would get a hash
and a vector of its own. The structure of the file says what the decoder does not.
"""

from __future__ import annotations

from bannermap.embedding.statuses import Failure


def check_complete(data: bytes, kind: str) -> None:
    """Refuse a file that ends before its format says it does.

    Args:
        data: the file.
        kind: format, lower case; others than those known here pass.

    Raises:
        Failure: ``truncated``.
    """
    check = {"gif": _gif_ends, "jpeg": _jpeg_ends, "mpo": _jpeg_ends, "png": _png_ends, "webp": _riff_ends, "bmp": _bmp_ends}.get(
        kind
    )
    if check and not check(data):
        raise Failure("truncated", f"the {kind} ends before its last byte")


def _gif_ends(data: bytes) -> bool:
    """Walk the blocks to the trailer."""
    try:
        at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
        while data[at] != 0x3B:
            if data[at] == 0x21:
                at = _after_sub_blocks(data, at + 2)
            elif data[at] == 0x2C:
                table = 3 << ((data[at + 9] & 7) + 1) if data[at + 9] & 0x80 else 0
                at = _after_sub_blocks(data, at + 11 + table)
            else:
                return False
    except IndexError:
        return False
    return True


def _after_sub_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def _jpeg_ends(data: bytes) -> bool:
    """An end marker; bytes may follow it, as cameras append previews."""
    return b"\xff\xd9" in data[data.rfind(b"\xff\xda") :]


def _png_ends(data: bytes) -> bool:
    at = 8
    while at + 12 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += 12 + length
        if name == b"IEND":
            return at <= len(data)
    return False


def _riff_ends(data: bytes) -> bool:
    return len(data) >= 8 + int.from_bytes(data[4:8], "little")


def _bmp_ends(data: bytes) -> bool:
    declared = int.from_bytes(data[2:6], "little")
    return len(data) >= declared  # 0 in some writers' headers; the decoder then counts rows itself
