"""Bytes to one picture and a hash of all its pixels, or a typed failure.

Banners come from strangers: only named formats are opened, sizes are checked before anything is decoded, and one frame is held
at a time.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from bannermap.embedding.decoding.truncation import check_complete
from bannermap.embedding.statuses import Failure
from bannermap.platform.settings import DecodeSettings

FRAMES_LOOKED_AT = 32
"""Frames of an animation that may become its picture, spread evenly; all frames are decoded and hashed in any case."""


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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes that the limits below decide on
            return _decode(data, settings)
    except Failure:
        raise
    except Image.DecompressionBombError as error:
        raise Failure("too_many_pixels", str(error)) from None
    except (OSError, SyntaxError, EOFError, struct.error) as error:
        truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
        raise Failure("truncated" if truncated else "decode_error", f"{type(error).__name__}: {error}") from None
    except Exception as error:
        raise Failure("decode_error", f"{type(error).__name__}: {error}") from None


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


def information(pixels: np.ndarray) -> float:
    """How much a frame shows: the entropy of its luminance in 32 steps, in bits; 0 for a blank frame."""
    luminance = pixels[::2, ::2].astype(np.uint16).sum(axis=2) // 24
    share = np.bincount(luminance.ravel(), minlength=32) / luminance.size
    present = share[share > 0]
    return float(-(present * np.log2(present)).sum())


def _decode(data: bytes, settings: DecodeSettings) -> Picture:
    mark = _format_by_mark(data)
    if mark in settings.formats:
        check_complete(data, mark)
    image = _open(data, settings)
    kind = str(image.format).lower()
    count = getattr(image, "n_frames", 1)
    _check_size(image, count, settings)
    frames, digest = _frames(image, count), None
    looked_at = set(np.linspace(0, count - 1, min(count, FRAMES_LOOKED_AT)).astype(int).tolist())
    best, most = np.empty(0), -1.0
    for number, frame in enumerate(frames):
        digest = digest or hashlib.sha256(struct.pack("<III", frame.width, frame.height, count))
        pixels = np.asarray(frame)
        digest.update(pixels.tobytes())
        shown = information(pixels) if number in looked_at else -1.0
        if shown > most:
            best, most = pixels, shown
    if digest is None:
        raise Failure("decode_error", "the image has no frame")
    return Picture(best, digest.hexdigest(), kind, count)


def _open(data: bytes, settings: DecodeSettings) -> Image.Image:
    known = {name.upper() for name in settings.formats}
    try:
        return Image.open(io.BytesIO(data), formats=sorted(known))
    except Image.UnidentifiedImageError:
        other = _format_by_mark(data)
        if other in settings.formats:
            raise Failure("decode_error", f"it starts like {other} and has no readable header") from None
        if other:
            raise Failure("unsupported_format", f"{other} is not among decode.formats") from None
        raise Failure("not_an_image", f"the bytes start with {data[:8]!r}") from None


def _format_by_mark(data: bytes) -> str | None:
    """Name of a well-known format by its first bytes; nothing is opened."""
    marks = {b"II*\0": "tiff", b"MM\0*": "tiff", b"%PDF": "pdf", b"<svg": "svg", b"8BPS": "psd", b"\0\0\1\0": "ico"}
    marks |= {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp"}
    if data[4:12] in (b"ftypavif", b"ftypheic", b"ftypmif1"):
        return data[8:12].decode()
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((name for mark, name in marks.items() if data.startswith(mark)), None)


def _check_size(image: Image.Image, count: int, settings: DecodeSettings) -> None:
    if count > settings.max_frames:
        raise Failure("too_many_frames", f"{count} frames, the limit is {settings.max_frames}")
    pixels = image.width * image.height * count
    if pixels > settings.max_pixels:
        raise Failure(
            "too_many_pixels", f"{image.width} x {image.height} x {count} frames = {pixels}, the limit is {settings.max_pixels}"
        )


def _frames(image: Image.Image, count: int) -> Iterator[Image.Image]:
    for number in range(count):
        if count > 1:
            image.seek(number)
        image.load()
        yield _on_white(ImageOps.exif_transpose(image))


def _on_white(image: Image.Image) -> Image.Image:
    """RGB, transparency composited on white, 16 bits scaled instead of cut."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = _eight_bits(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    return Image.fromarray(np.clip(np.rint(values / 257.0), 0, 255).astype(np.uint8))
