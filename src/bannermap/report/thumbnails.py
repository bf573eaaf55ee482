"""Small pictures for a page, and two figures of each; the bytes were decodable once, but nothing here may stop a report."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from bannermap.platform.exif import orientation_of, upright

FRAMES_LOOKED_AT = 12
WEBP_QUALITY = 60
SMALL_PX, SMALL_QUALITY = 80, 45
"""Below this side, where nobody sees the difference and five thousand of them have to fit."""
MEASURED_PX = 256
"""Longer side at which figures are taken: those of a large and a small copy of one picture then agree."""


@dataclass(frozen=True)
class Drawn:
    """What came of a picture.

    Attributes:
        files: WebP, one per side asked for; empty where it cannot be drawn.
        brightness: mean grey value, 0 to 1.
        sharpness: variance of the Laplacian of grey values of 0 to 255; the usual measure of blur, low is blurred.
    """

    files: dict[int, bytes] = field(default_factory=dict)
    brightness: float | None = None
    sharpness: float | None = None


def draw(data: bytes, sides: Sequence[int]) -> Drawn:
    """WebPs of the image with its proportions kept, and its figures; of an animation, the frame with the most contrast.

    Args:
        data: the image file.
        sides: pixels; a thumbnail has at most the area of a square of this side and no side longer than twice this one, so a
            strip is as large to the eye as a square; a smaller image stays as it is.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            turned = orientation_of(image)
            picture = Image.fromarray(upright(np.asarray(_on_white(_best_frame(image))), turned))
        return Drawn({side: _thumbnail(picture, side) for side in sides}, *_figures(picture))
    except Exception:  # a broken picture is shown as a placeholder; its reason stands in image_fetches
        return Drawn()


def _thumbnail(picture: Image.Image, side: int) -> bytes:
    width, height = picture.size
    scale = min(1.0, side / math.sqrt(width * height), 2 * side / max(width, height))
    size = (max(1, math.floor(width * scale)), max(1, math.floor(height * scale)))
    target = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(
        target, "WEBP", quality=SMALL_QUALITY if side < SMALL_PX else WEBP_QUALITY, method=6
    )
    return target.getvalue()


def _figures(picture: Image.Image) -> tuple[float, float]:
    grey = picture.convert("L")
    grey.thumbnail((MEASURED_PX, MEASURED_PX))
    cells = np.asarray(grey).astype(np.float64)
    return float(cells.mean() / 255), laplacian_variance(cells)


def laplacian_variance(grey: np.ndarray) -> float:
    """Variance of the sum of the four neighbours less four times the middle, over all inner pixels.

    Args:
        grey: float64 (height, width), 0 to 255.

    Returns:
        At least 0; 0 also where there are no inner pixels.
    """
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * middle).var())


def _best_frame(image: Image.Image) -> Image.Image:
    """The first frames of animated ads are often blank."""
    count = getattr(image, "n_frames", 1)
    if count == 1:
        return image
    frames = []
    for number in np.unique(np.linspace(0, count - 1, min(count, FRAMES_LOOKED_AT)).astype(int)):
        image.seek(int(number))
        frames.append(_on_white(image.copy()))
    return max(frames, key=_contrast)


def _contrast(frame: Image.Image) -> float:
    return float(np.asarray(frame.convert("L").resize((32, 32))).std())


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer).convert("RGB")
