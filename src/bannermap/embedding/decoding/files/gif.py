"""GIF: the walk over its blocks. A decoder reads a GIF up to wherever it ends, and only a walk tells how many frames it has."""

from __future__ import annotations

from bannermap.embedding.decoding.files.contents import Contents, broken, truncated

MAX_BLOCKS = 200_000
"""Blocks of at most 255 bytes: 200,000 full ones are 51 MB. More are a flood of tiny blocks that costs a decoder seconds."""
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B


def examined(data: bytes) -> Contents:
    """A GIF file and the extent of all its frames, which may lie outside of its canvas.

    Raises:
        Failure: ``truncated``, or ``decode_error``.
    """
    try:
        return _walked(data)
    except IndexError:
        raise truncated("gif") from None


def _walked(data: bytes) -> Contents:
    at, blocks, frames = 13 + _table(data[10]), 0, 0
    width, height = _short(data, 6), _short(data, 8)
    while data[at] != _TRAILER:
        if data[at] == _EXTENSION:
            at, passed = _after_blocks(data, at + 2)
        elif data[at] == _IMAGE:
            frames += 1
            width = max(width, _short(data, at + 1) + _short(data, at + 5))
            height = max(height, _short(data, at + 3) + _short(data, at + 7))
            at, passed = _after_blocks(data, at + 11 + _table(data[at + 9]))
        elif data[at] == 0:  # some encoders leave a block terminator too many
            at, passed = at + 1, 1
        else:
            raise broken("gif", f"has an unknown block at byte {at}")
        blocks += passed
        if blocks > MAX_BLOCKS:
            raise broken("gif", f"has more than {MAX_BLOCKS} blocks")
    return Contents(data, width, height, max(1, frames))


def _after_blocks(data: bytes, at: int) -> tuple[int, int]:
    """The byte after a chain of data blocks, and how many there were."""
    blocks = 1
    while data[at] and blocks <= MAX_BLOCKS:
        at, blocks = at + data[at] + 1, blocks + 1
    return at + 1, blocks


def _table(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _short(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8
