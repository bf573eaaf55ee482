"""Bytes to one picture and a hash of all its pixels, or a typed failure.

Banners come from strangers: only named formats are opened, the file's structure is walked and its sizes are checked before
anything is decoded, a decoder never sees metadata where that can be left out, and one frame is held at a time. docs/decoding.md
has the rules.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import AvifImagePlugin, Image, features

from bannermap.embedding.decoding.colours import rgb_on_white
from bannermap.embedding.decoding.files import examined, kind_by_mark
from bannermap.embedding.decoding.frames import information, looked_at
from bannermap.embedding.statuses import Failure
from bannermap.platform.exif import orientation, upright
from bannermap.platform.settings import DecodeSettings

LARGE_PX = 4_000_000
"""Pixels of a frame from which pictures are decoded one at a time in a process, whatever the number of threads: a decoder needs
up to 19 bytes per pixel."""
_LARGE = threading.Lock()

warnings.filterwarnings(
    "ignore", module="PIL"
)  # of sizes and damage that are decided on here; a filter per call is not thread-safe
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # threads of ours decode side by side, and a decoder's own would not be on its clock


@dataclass(frozen=True)
class Picture:
    """A decoded banner.

    Attributes:
        pixels: uint8 (height, width, 3), RGB, the most informative frame, composited on white.
        pixel_hash: sha256 over all frames, see `hash_frames`.
        format: by content, lower case.
        frames: number of frames.
    """

    pixels: np.ndarray
    pixel_hash: str
    format: str
    frames: int


def decode(data: bytes, settings: DecodeSettings) -> Picture:
    """Decode an image.

    Args:
        data: the file.
        settings: formats and limits.

    Raises:
        Failure: typed; no other exception leaves.
    """
    with _typed_failures(), _opened(data, settings) as source:
        shown, digest = _Choice(source.count), None
        for pixels in source.frames():
            height, width, _ = pixels.shape
            digest = digest or hashlib.sha256(struct.pack("<III", width, height, source.count))
            digest.update(pixels.data)
            shown.look_at(pixels)
        if digest is None:
            raise Failure("decode_error", "the image has no frame")
        return Picture(shown.pixels, digest.hexdigest(), source.kind, source.count)


def hash_frames(width: int, height: int, frames: list[bytes]) -> str:
    """The pixel hash: sha256 of width, height and frame count, each as little-endian uint32, then each frame's RGB bytes.

    Args:
        width: pixels.
        height: pixels.
        frames: per frame, ``3 * width * height`` bytes, row by row from the top.
    """
    digest = hashlib.sha256(struct.pack("<III", width, height, len(frames)))
    for frame in frames:
        digest.update(frame)
    return digest.hexdigest()


@contextlib.contextmanager
def _typed_failures() -> Iterator[None]:
    try:
        yield
    except Failure:
        raise
    except Image.DecompressionBombError as error:
        raise Failure("too_many_pixels", str(error)) from None
    except Exception as error:
        cut = "truncated" in str(error).lower() or isinstance(error, EOFError)
        raise Failure("truncated" if cut else "decode_error", f"{type(error).__name__}: {error}") from None


class _Clocked(io.BytesIO):
    """A file whose reader is stopped when its time is over: decoders read in pieces, and ours is checked between frames, too.

    The clock is that of the thread's own work: a busy machine makes no failures.
    """

    def __init__(self, data: bytes, limit_s: float) -> None:
        super().__init__(data)
        self._limit_s, self._started_s = limit_s, time.thread_time()

    def check(self) -> None:
        if time.thread_time() - self._started_s > self._limit_s:
            raise Failure("decode_timeout", f"decoding took more than {self._limit_s} s, see decode.max_decode_s")

    def read(self, size: int | None = -1, /) -> bytes:
        self.check()
        return super().read(size)


@dataclass
class _Source:
    image: Image.Image
    kind: str
    count: int
    turned: int
    clock: _Clocked

    def frames(self) -> Iterator[np.ndarray]:
        """uint8 (height, width, 3) each; what an animation draws outside of its first frame's canvas is not seen."""
        height = width = 0
        for number in range(self.count):
            self.clock.check()
            if self.count > 1:
                self.image.seek(number)
            self.image.load()
            width, height = (width, height) if number else self.image.size
            yield upright(rgb_on_white(self.image)[:height, :width], self.turned)


class _Choice:
    """The most informative of the frames that are looked at; of equal ones the earliest."""

    def __init__(self, count: int) -> None:
        self._count, self._looked_at = count, looked_at(count)
        self._number, self._most = 0, -1.0
        self.pixels = np.empty((0, 0, 3), np.uint8)

    def look_at(self, pixels: np.ndarray) -> None:
        if self._number in self._looked_at:
            shown = information(pixels) if self._count > 1 else 0.0
            if shown > self._most:
                self.pixels, self._most = pixels, shown
        self._number += 1


@contextlib.contextmanager
def _opened(data: bytes, settings: DecodeSettings) -> Iterator[_Source]:
    kind = _allowed_kind(data, settings)
    contents = examined(data, kind)
    _check_sizes(contents.width or 1, contents.height or 1, contents.frames, settings)
    file = _Clocked(contents.data, settings.max_decode_s)
    try:
        image = Image.open(file, formats=[kind.upper()])
    except Image.UnidentifiedImageError:
        raise Failure("decode_error", f"it starts like {kind} and has no readable header") from None
    count = getattr(image, "n_frames", 1)
    _check_sizes(image.width, image.height, count, settings)
    exif = contents.exif if contents.exif is not None else image.info.get("exif", b"")
    with _LARGE if image.width * image.height > LARGE_PX else contextlib.nullcontext():
        yield _Source(image, kind, count, orientation(exif), file)


def _allowed_kind(data: bytes, settings: DecodeSettings) -> str:
    kind = kind_by_mark(data)
    if kind is None:
        raise Failure("not_an_image", f"the bytes start with {data[:8]!r}")
    if kind not in settings.formats:
        raise Failure("unsupported_format", f"{kind} is not among decode.formats")
    if kind == "avif" and not features.check("avif"):
        raise Failure("unsupported_format", "the Pillow installed here cannot read avif; its wheels can")
    return kind


def _check_sizes(width: int, height: int, frames: int, settings: DecodeSettings) -> None:
    if not width or not height:
        raise Failure("decode_error", f"the image has no pixels: {width} x {height}")
    if frames > settings.max_frames:
        raise Failure("too_many_frames", f"{frames} frames, decode.max_frames is {settings.max_frames}")
    for name, found in (
        ("max_side_px", max(width, height)),
        ("max_frame_pixels", width * height),
        ("max_pixels", width * height * frames),
    ):
        limit = getattr(settings, name)
        if found > limit:
            raise Failure("too_many_pixels", f"{width} x {height} x {frames} frames: {found}, decode.{name} is {limit}")
