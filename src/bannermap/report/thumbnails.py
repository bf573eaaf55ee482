"""Small pictures for a page; the bytes were decodable once, but nothing here may stop a report."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

FRAMES_LOOKED_AT = 12
WEBP_QUALITY = 72


def thumbnail(data: bytes, longest_side: int) -> bytes | None:
    """A WebP of the image with its proportions kept; of an animation, the frame with the most contrast.

    Args:
        data: the image file.
        longest_side: pixels; a smaller image stays as it is.

    Returns:
        The file, or null where the image cannot be drawn.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            picture = _on_white(_best_frame(image))
        picture.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
        target = io.BytesIO()
        picture.save(target, "WEBP", quality=WEBP_QUALITY, method=4)
        return target.getvalue()
    except Exception:  # a broken picture is shown as a placeholder; its reason stands in image_fetches
        return None


def _best_frame(image: Image.Image) -> Image.Image:
    """The first frames of animated ads are often blank."""
    count = getattr(image, "n_frames", 1)
    if count == 1:
        return ImageOps.exif_transpose(image)
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
