"""What may happen to a picture without making it another one: crops, colours, compression, turns, stickers."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from bannermap.embedding.decoding.borders import trimmed


@dataclass(frozen=True)
class Strength:
    """How far a view may lie from its picture.

    Attributes:
        least_area: smallest share of the picture that a crop keeps.
        turn_degrees: greatest rotation.
        skew: greatest shift of a corner, as a share of the side.
        colour: greatest relative change of brightness, contrast and saturation.
        tint: greatest relative change of one colour channel.
        sticker: probability that something is stuck on.
        mirrored: probability that left and right change places.
        quarter_turns: probability of one to three quarter turns.
        grey: probability that colours are lost.
    """

    least_area: float
    turn_degrees: float
    skew: float
    colour: float
    tint: float
    sticker: float
    mirrored: float = 0.0
    quarter_turns: float = 0.0
    grey: float = 0.0


RENDITION = Strength(0.85, 0.0, 0.0, 0.15, 0.04, 0.5)
"""What an ad server does to one creative."""
EDITED = Strength(0.6, 3.0, 0.04, 0.2, 0.05, 0.6, mirrored=0.1, quarter_turns=0.06, grey=0.15)
"""What people do to one photo; letters of a banner would no longer be letters."""
PHOTOGRAPHED = Strength(0.25, 10.0, 0.10, 0.15, 0.04, 0.15)
"""What another camera, hand and light do to one thing. With twice these changes of colour, colour is no longer seen."""


SIGNALS = ((230, 0, 18), (255, 214, 0), (0, 150, 60), (20, 60, 200), (255, 120, 0), (0, 0, 0), (255, 255, 255))
"""Colours in which prices are printed."""


def view(image: Image.Image, strength: Strength, side_px: int, rng: np.random.Generator) -> np.ndarray:
    """A random view of a picture, as an encoder sees it: trimmed and squeezed to a square.

    Args:
        image: RGB.
        strength: how far it may go.
        side_px: of the square.
        rng: everything follows from it.

    Returns:
        uint8 (side_px, side_px, 3).
    """
    image = cropped(image, strength.least_area, rng)
    image.thumbnail((2 * side_px, 2 * side_px), Image.Resampling.BILINEAR, reducing_gap=1.5)  # steps below cost by the pixel
    image = turned(image, strength, rng)
    if strength.skew:
        image = skewed(image, strength, rng)
    if rng.random() < strength.sticker:
        image = stickered(image, rng)
    image = image.convert("L").convert("RGB") if rng.random() < strength.grey else coloured(image, strength, rng)
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.2))))
    if rng.random() < 0.5:
        image = recompressed(image, int(rng.integers(25, 90)))
    seen = Image.fromarray(trimmed(np.asarray(image)))
    return np.asarray(seen.resize((side_px, side_px), Image.Resampling.BICUBIC))


def cropped(image: Image.Image, least_area: float, rng: np.random.Generator) -> Image.Image:
    """A part of the picture of at least that share of its area, its aspect changed by up to a third."""
    area, aspect = rng.uniform(least_area, 1.0), np.exp(rng.uniform(-0.3, 0.3) * (1.0 - least_area) / 0.65)
    width = min(1.0, np.sqrt(area * aspect)) * image.width
    height = min(1.0, np.sqrt(area / aspect)) * image.height
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    return image.crop((int(left), int(top), max(int(left) + 1, int(left + width)), max(int(top) + 1, int(top + height))))


def turned(image: Image.Image, strength: Strength, rng: np.random.Generator) -> Image.Image:
    """Mirrored, or turned by quarters."""
    if rng.random() < strength.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < strength.quarter_turns:
        turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
        image = image.transpose(turns[int(rng.integers(3))])
    return image


def skewed(image: Image.Image, strength: Strength, rng: np.random.Generator) -> Image.Image:
    """Turned and seen from another side: each corner moves, and nothing beyond the edges is shown."""
    turn = np.deg2rad(rng.uniform(-strength.turn_degrees, strength.turn_degrees))
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)], float) + rng.uniform(-strength.skew, strength.skew, (4, 2))
    corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    corners /= max(1.0, np.abs(corners).max())
    size = np.array(image.size)
    quad = ((corners + 1.0) / 2.0 * (size - 1)).ravel().tolist()
    return image.transform(image.size, Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)


def coloured(image: Image.Image, strength: Strength, rng: np.random.Generator) -> Image.Image:
    """Another brightness, contrast, saturation and tint."""
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.6:
            image = kind(image).enhance(float(rng.uniform(1.0 - strength.colour, 1.0 + strength.colour)))
    factors = rng.uniform(1.0 - strength.tint, 1.0 + strength.tint, 3)
    table = np.clip(np.arange(256) * factors[:, None], 0, 255).astype(int)
    return image.point(table.ravel().tolist())


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    """The picture after a JPEG of a quality, 1 to 95."""
    target = io.BytesIO()
    image.save(target, "JPEG", quality=quality)
    return Image.open(target).convert("RGB")


def stickered(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A price badge, a bar or a line of text over up to a tenth of the picture."""
    image = image.copy()
    draw = ImageDraw.Draw(image)
    width, height = image.size
    box_w, box_h = (max(4, int(side * rng.uniform(0.12, 0.36))) for side in (width, height))
    if rng.random() < 0.5:
        box_w = box_h = min(box_w, box_h)
    x, y = int(rng.integers(0, max(1, width - box_w))), int(rng.integers(0, max(1, height - box_h)))
    ground, ink = _print_colour(rng), _print_colour(rng)
    box = (x, y, x + box_w, y + box_h)
    if rng.random() < 0.4:
        draw.ellipse(box, fill=ground)
    elif rng.random() < 0.7:
        draw.rectangle(box, fill=ground)
    draw.text(
        (x + box_w // 8, y + box_h // 4), f"{rng.integers(1, 99)}%", fill=ink, font=ImageFont.load_default(max(6, box_h // 2))
    )
    return image


def any_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Red, green and blue, each 0 to 255."""
    red, green, blue = (int(c) for c in rng.integers(0, 256, 3))
    return red, green, blue


def _print_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    return SIGNALS[rng.integers(len(SIGNALS))] if rng.random() < 0.5 else any_colour(rng)
