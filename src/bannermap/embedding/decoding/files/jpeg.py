"""JPEG: the segments a decoder needs, up to the end marker of the picture itself.

A camera's file may hold further pictures, a preview within its EXIF block or whole JPEGs after the end marker (MPO); each has an
end marker of its own, so only a walk over the segments tells whether the picture is complete.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bannermap.embedding.decoding.files.contents import Contents, broken, truncated

MAX_SEGMENTS = 2_000
MAX_SCANS = 100
"""A progressive JPEG has about ten; each scan is one more pass over the whole picture and may take only forty bytes."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Not a stuffed zero, fill byte or restart marker: those stand within a scan."""
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_TABLES = {0xC4, 0xCC, 0xDB, 0xDD}
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_ALONE = {0x01, _START}


def examined(data: bytes) -> Contents:
    """The first picture of a JPEG file.

    Raises:
        Failure: ``truncated``, or ``decode_error`` where there is no picture or far too many segments.
    """
    walk = _Walk(data)
    for _ in range(MAX_SEGMENTS):
        if walk.step() == _END:
            return walk.contents()
    raise broken("jpeg", f"has more than {MAX_SEGMENTS} segments")


@dataclass
class _Walk:
    data: bytes
    at: int = 2
    kept: list[bytes] = field(default_factory=lambda: [b"\xff\xd8"])
    scans: int = 0
    size: tuple[int, int] | None = None
    exif: bytes = b""

    def step(self) -> int:
        """One segment, with the scan's data before it; its marker."""
        found = _MARKER.search(self.data, self.at)
        if not found:
            raise truncated("jpeg")
        if self.scans:
            self.kept.append(self.data[self.at : found.start()])
        self.at, marker = found.end(), self.data[found.start() + 1]
        if marker not in _ALONE and marker != _END:
            self._segment(marker)
        return marker

    def _segment(self, marker: int) -> None:
        length = int.from_bytes(self.data[self.at : self.at + 2], "big")
        body = self.data[self.at + 2 : self.at + length]
        if length < 2:
            raise broken("jpeg", "has a segment of negative length")
        if len(body) != length - 2:
            raise truncated("jpeg")
        self.at += length
        if marker in _FRAMES:
            self._frame(body)
        elif marker == _SCAN:
            self.scans += 1
            if self.scans > MAX_SCANS:
                raise broken("jpeg", f"has more than {MAX_SCANS} scans")
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            self.exif = self.exif or body
        if marker in _FRAMES | _TABLES | {_SCAN} or _says_colours(marker, body):
            self.kept.append(bytes((0xFF, marker)) + length.to_bytes(2, "big") + body)

    def _frame(self, body: bytes) -> None:
        if self.size or len(body) < 6:
            raise broken("jpeg", "has a second frame header" if self.size else "has a frame header that is too short")
        self.size = (int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big"))

    def contents(self) -> Contents:
        if not self.size or not self.scans:
            raise broken("jpeg", "holds no picture")
        return Contents(b"".join([*self.kept, b"\xff\xd9"]), *self.size, exif=self.exif)


def _says_colours(marker: int, body: bytes) -> bool:
    """From JFIF and Adobe segments a decoder knows which colour model the components are."""
    return (marker == 0xE0 and body.startswith(b"JFIF\0")) or (marker == 0xEE and body.startswith(b"Adobe"))
