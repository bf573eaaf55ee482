"""A rendition's file: what an ad server would hold for it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageEnhance

from bannermap.sample.drawing import draw_banner
from bannermap.sample.lives import Rendition
from bannermap.sample.plan import SIZE_FAMILIES, TRANSLATIONS, draw_price


def rendition_file(rendition: Rendition, seed: int) -> tuple[bytes, str]:
    """The bytes of a banner and the ending of its name; equal arguments give equal bytes.

    Args:
        rendition: what to draw.
        seed: of the world.
    """
    rng = np.random.default_rng([seed, 3, rendition.creative.number, rendition.variant])
    image = _drawn(rendition, rng)
    if rendition.kind == "gif":
        return _gif(image), "gif"
    if rendition.kind == "jpeg":
        return _encoded(image, "JPEG", quality=int(rng.integers(45, 85))), "jpg"
    if rendition.kind == "webp":
        return _encoded(image, "WEBP", quality=int(rng.integers(60, 90)), method=2), "webp"
    # A variant's number in the file's comment would change no pixel; two renditions of one kind differ by their draw.
    return (_encoded(image, "PNG"), "png") if rng.random() < 0.5 else (_encoded(image, "JPEG", quality=88), "jpg")


def _drawn(rendition: Rendition, rng: np.random.Generator) -> Image.Image:
    creative = rendition.creative
    sizes, (headline, price, button) = SIZE_FAMILIES[creative.family], creative.words
    size = sizes[int(rng.integers(1, len(sizes)))] if rendition.kind == "size" else sizes[0]
    if rendition.kind == "price":
        price = draw_price(rng)
    if rendition.kind == "language":
        button = TRANSLATIONS[button]
    image = draw_banner(creative, size, (headline, price, button))
    if rendition.kind == "crop":
        edge = [int(rng.integers(0, max(2, side // 30))) for side in (*size, *size)]
        image = image.crop((edge[0], edge[1], size[0] - edge[2], size[1] - edge[3]))
    if rendition.kind == "colour":
        image = ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.9, 1.1)))
        image = ImageEnhance.Color(image).enhance(float(rng.uniform(0.8, 1.2)))
    return image


def _gif(image: Image.Image) -> bytes:
    """An animation that starts blank, as many do while they load, and ends a little darker: one search for colours for all."""
    full = image.quantize(128, dither=Image.Dither.NONE)
    dimmed = full.copy()
    dimmed.putpalette([round(0.92 * part) for part in full.getpalette() or []])
    frames = [Image.new("RGB", image.size, (255, 255, 255)).convert("P"), full, dimmed]
    target = io.BytesIO()
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:], duration=300, loop=0)
    return target.getvalue()


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()
