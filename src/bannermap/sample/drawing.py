"""Drawing of banners: products, templates, words; everything in shares of width and height, so that sizes look alike."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont

from bannermap.sample.palettes import Colour
from bannermap.sample.plan import Creative

Box = tuple[float, float, float, float]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_banner(creative: Creative, size: tuple[int, int], words: tuple[str, str, str]) -> Image.Image:
    """A banner of a creative.

    Args:
        creative: design and palette.
        size: width, height in pixels.
        words: headline, price, button; those of the creative unless a rendition changes them.
    """
    image = _background(creative, size)
    draw = ImageDraw.Draw(image)
    strip = size[0] > 4 * size[1]
    product, text = LAYOUTS["product_left" if strip and creative.template == "centre" else creative.template]
    tall = size[1] > 1.4 * size[0]
    product, text = (_stacked(product), _stacked(text)) if tall else (product, text)
    if creative.template == "burst":
        _burst(draw, _pixels(product, size), creative.palette[2])
    PRODUCTS[creative.theme](draw, _square(_pixels(product, size)), creative.palette[2], creative.palette[3])
    _words(draw, _pixels(text, size), creative, words)
    return image


LAYOUTS: dict[str, tuple[Box, Box]] = {
    "product_left": ((0.03, 0.08, 0.42, 0.92), (0.45, 0.06, 0.98, 0.94)),
    "product_right": ((0.58, 0.08, 0.97, 0.92), (0.03, 0.06, 0.55, 0.94)),
    "centre": ((0.30, 0.05, 0.70, 0.60), (0.08, 0.55, 0.92, 0.97)),
    "burst": ((0.52, 0.05, 0.98, 0.95), (0.03, 0.10, 0.50, 0.90)),
    "stripes": ((0.05, 0.15, 0.40, 0.85), (0.42, 0.10, 0.97, 0.90)),
    "split": ((0.55, 0.10, 0.95, 0.90), (0.04, 0.10, 0.46, 0.90)),
}


def _background(creative: Creative, size: tuple[int, int]) -> Image.Image:
    ground, second = creative.palette[0], creative.palette[1]
    width, height = size
    if creative.template in ("centre", "product_left"):
        ramp = Image.linear_gradient("L").resize(size)
        return Image.composite(Image.new("RGB", size, second), Image.new("RGB", size, ground), ramp)
    image = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(image)
    if creative.template == "split":
        draw.polygon([(width * 0.5, 0), (width, 0), (width, height), (width * 0.42, height)], fill=second)
    if creative.template == "stripes":
        for i in range(0, 12, 2):
            draw.polygon([(width * x / 10, y) for x, y in ((i, 0), (i + 1, 0), (i - 1, height), (i - 2, height))], fill=second)
    return image


def _stacked(box: Box) -> Box:
    """The same place in a tall banner: what was left is above."""
    left, top, right, bottom = box
    return top, left, bottom, right


def _pixels(box: Box, size: tuple[int, int]) -> Box:
    return box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]


def _square(box: Box) -> Box:
    left, top, right, bottom = box
    side = min(right - left, bottom - top)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    return x, y, x + side, y + side


def _words(draw: ImageDraw.ImageDraw, box: Box, creative: Creative, words: tuple[str, str, str]) -> None:
    """Brand, headline, price and button, below each other or, in a strip, with the button at the right."""
    left, top, right, bottom = box
    height, width, ink = bottom - top, right - left, creative.palette[3]
    rows = ((creative.brand, 0.00, 0.20, ink), (words[0], 0.24, 0.26, ink), (f"only {words[1]}", 0.52, 0.18, creative.palette[2]))
    for text, start, share, colour in rows:
        font = _font(text, width, height * share)
        draw.text((left, top + height * start), text, font=font, fill=colour)
    button = (left, top + height * 0.74, left + width * 0.62, top + height * 0.98)
    draw.rounded_rectangle(button, radius=max(2, height * 0.05), fill=creative.palette[2])
    font = _font(words[2], (button[2] - button[0]) * 0.86, (button[3] - button[1]) * 0.7)
    centre = ((button[0] + button[2]) / 2, (button[1] + button[3]) / 2)
    draw.text(centre, words[2], font=font, fill=(255, 255, 255), anchor="mm")


def _font(text: str, width: float, height: float) -> Font:
    size = max(6.0, height * 0.9)
    return _default_font(round(max(5.0, size * min(1.0, width / max(_relative_length(text) * size, 1.0))), 1))


@functools.lru_cache(maxsize=2048)
def _default_font(size: float) -> Font:
    """Pillow's own font; kept, since each is parsed from text."""
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=65536)
def _relative_length(text: str) -> float:
    """Length of a text in sizes of its font; measuring takes as long as drawing."""
    return _default_font(64.0).getlength(text) / 64.0


def _burst(draw: ImageDraw.ImageDraw, box: Box, colour: Colour) -> None:
    x, y, radius = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, min(box[2] - box[0], box[3] - box[1]) / 2
    points = [(i, radius * (1.0 if i % 2 else 0.8)) for i in range(32)]
    star = [(x + r * math.cos(i * math.pi / 16), y + r * math.sin(i * math.pi / 16)) for i, r in points]
    draw.polygon(star, fill=tuple(min(255, c // 2 + 110) for c in colour))


Shape = tuple[str, tuple[tuple[float, float], ...], int]
"""Kind of shape, points in shares of the product's square, and its colour: 0 accent, 1 ink, 2 white."""

SHAPES: dict[str, tuple[Shape, ...]] = {
    "phone": (
        ("round", ((0.28, 0.02), (0.72, 0.98)), 1),
        ("box", ((0.32, 0.10), (0.68, 0.86)), 0),
        ("oval", ((0.46, 0.88), (0.54, 0.96)), 2),
    ),
    "shoe": (
        ("poly", ((0.05, 0.35), (0.35, 0.30), (0.55, 0.52), (0.92, 0.62), (0.97, 0.78), (0.05, 0.78)), 0),
        ("box", ((0.04, 0.78), (0.98, 0.88)), 1),
        ("poly", ((0.38, 0.42), (0.46, 0.38), (0.60, 0.58), (0.52, 0.62)), 2),
    ),
    "bottle": (
        ("box", ((0.42, 0.02), (0.58, 0.25)), 1),
        ("round", ((0.30, 0.22), (0.70, 0.98)), 0),
        ("box", ((0.30, 0.45), (0.70, 0.75)), 2),
    ),
    "car": (
        ("poly", ((0.20, 0.50), (0.32, 0.28), (0.68, 0.28), (0.82, 0.50)), 1),
        ("round", ((0.03, 0.48), (0.97, 0.74)), 0),
        ("oval", ((0.14, 0.62), (0.34, 0.84)), 1),
        ("oval", ((0.66, 0.62), (0.86, 0.84)), 1),
    ),
    "bag": (
        ("ring", ((0.32, 0.05), (0.68, 0.50)), 1),
        ("poly", ((0.15, 0.32), (0.85, 0.32), (0.95, 0.95), (0.05, 0.95)), 0),
    ),
    "house": (
        ("poly", ((0.50, 0.05), (0.97, 0.45), (0.03, 0.45)), 1),
        ("box", ((0.14, 0.45), (0.86, 0.95)), 0),
        ("box", ((0.42, 0.62), (0.58, 0.95)), 1),
        ("box", ((0.22, 0.54), (0.36, 0.68)), 2),
    ),
    "watch": (
        ("box", ((0.38, 0.02), (0.62, 0.98)), 1),
        ("oval", ((0.20, 0.24), (0.80, 0.76)), 0),
        ("oval", ((0.28, 0.31), (0.72, 0.69)), 2),
    ),
    "cup": (
        ("ring", ((0.60, 0.38), (0.95, 0.72)), 1),
        ("poly", ((0.12, 0.28), (0.76, 0.28), (0.68, 0.90), (0.20, 0.90)), 0),
        ("oval", ((0.12, 0.20), (0.76, 0.36)), 2),
    ),
    "book": (
        ("box", ((0.18, 0.08), (0.82, 0.94)), 0),
        ("box", ((0.18, 0.08), (0.28, 0.94)), 1),
        ("box", ((0.38, 0.22), (0.72, 0.32)), 2),
    ),
    "chair": (
        ("box", ((0.22, 0.05), (0.34, 0.60)), 1),
        ("box", ((0.22, 0.52), (0.80, 0.64)), 0),
        ("box", ((0.22, 0.64), (0.30, 0.97)), 1),
        ("box", ((0.72, 0.64), (0.80, 0.97)), 1),
    ),
}


def _product(theme: str) -> Callable[[ImageDraw.ImageDraw, Box, Colour, Colour], None]:
    def paint(draw: ImageDraw.ImageDraw, box: Box, accent: Colour, ink: Colour) -> None:
        colours = (accent, ink, (250, 250, 250))
        side = box[2] - box[0]
        for kind, points, colour in SHAPES[theme]:
            at = [(box[0] + x * side, box[1] + y * side) for x, y in points]
            _paint_shape(draw, kind, at, colours[colour], side)

    return paint


def _paint_shape(draw: ImageDraw.ImageDraw, kind: str, at: list[tuple[float, float]], colour: Colour, side: float) -> None:
    if kind == "poly":
        draw.polygon(at, fill=colour)
    elif kind == "box":
        draw.rectangle(at, fill=colour)
    elif kind == "round":
        draw.rounded_rectangle(at, radius=max(1.0, side * 0.08), fill=colour)
    elif kind == "oval":
        draw.ellipse(at, fill=colour)
    else:
        draw.ellipse(at, outline=colour, width=max(2, int(side * 0.06)))


PRODUCTS = {theme: _product(theme) for theme in SHAPES}
