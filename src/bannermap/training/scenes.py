"""Things that are told apart in training: drawn banners, photos, photos inside banners, and packages on shelves.

Each kind comes in families of look-alikes: pictures that share most of their looks and are yet different, so that the encoder
has to see what tells a family's members apart. A thing gives any number of pictures; which of its looks may change between
them is what makes them pictures of one thing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bannermap.sample.drawing import LAYOUTS, draw_banner
from bannermap.sample.palettes import shaded
from bannermap.sample.plan import BRAND_NAMES, HEADLINES, SIZE_FAMILIES, TEMPLATES, THEMES, Creative, draw_creative, draw_words
from bannermap.training.views import EDITED, PHOTOGRAPHED, RENDITION, any_colour, cropped, view

Thing = Callable[[np.random.Generator], np.ndarray]
"""Gives a random view of one thing: uint8 (side, side, 3)."""
SIZES = tuple(size for family in SIZE_FAMILIES for size in family)
FAMILY = 4
PHOTOGRAPHED_SHARE = 0.4
"""Of the families of photos; the others are edited as files are."""


def banner_family(side_px: int, rng: np.random.Generator) -> list[Thing]:
    """Creatives that share a brand and differ in palette, product or layout."""
    return [functools.partial(_banner_view, creative, None, side_px) for creative in _look_alikes(rng)]


def photo_things(photos: Sequence[Image.Image], side_px: int, rng: np.random.Generator) -> list[Thing]:
    """Photos: some under what a camera may change, some under what people and ad servers do to a file."""
    chosen = rng.choice(len(photos), FAMILY, replace=False)
    strength = PHOTOGRAPHED if rng.random() < PHOTOGRAPHED_SHARE else EDITED
    return [functools.partial(view, photos[int(i)], strength, side_px) for i in chosen]


def photo_banner_family(photos: Sequence[Image.Image], side_px: int, rng: np.random.Generator) -> list[Thing]:
    """Banners of one layout and palette, each with its own photo where the product stands."""
    creative = draw_creative(int(rng.integers(1 << 31)), int(rng.integers(1 << 31)))
    chosen = rng.choice(len(photos), FAMILY, replace=False)
    return [functools.partial(_banner_view, replace(creative, words=draw_words(rng)), photos[int(i)], side_px) for i in chosen]


def package_family(photos: Sequence[Image.Image], side_px: int, rng: np.random.Generator) -> list[Thing]:
    """Packages of one brand in several sorts: one design, other colours and words; each stands before any background."""
    seed = int(rng.integers(1 << 62))
    return [functools.partial(_package_view, _package(seed, sort), photos, side_px) for sort in range(FAMILY)]


def _look_alikes(rng: np.random.Generator) -> list[Creative]:
    base = draw_creative(int(rng.integers(1 << 31)), int(rng.integers(1 << 31)))
    turn = float(rng.choice([-1, 1]) * rng.uniform(0.08, 0.5))
    others = [t for t in THEMES if t != base.theme], [t for t in TEMPLATES if t != base.template]
    return [
        base,
        replace(base, palette=shaded(base.palette, turn, 1.0), words=draw_words(rng)),
        replace(base, theme=str(rng.choice(others[0])), words=draw_words(rng)),
        replace(base, template=str(rng.choice(others[1])), palette=shaded(base.palette, -turn / 2, 0.85), words=draw_words(rng)),
    ]


def _banner_view(creative: Creative, photo: Image.Image | None, side_px: int, rng: np.random.Generator) -> np.ndarray:
    """The creative in any size, sometimes with another price, headline or button."""
    size = SIZES[int(rng.integers(len(SIZES)))]
    other = draw_words(rng)
    words = [old if rng.random() < 0.7 else new for old, new in zip(creative.words, other, strict=True)]
    scale = rng.uniform(0.5, 0.9)
    small = (max(60, round(size[0] * scale)), max(60, round(size[1] * scale)))
    image = draw_banner(creative, small, (words[0], words[1], words[2]))
    if photo is not None:
        _paste_photo(image, creative, photo, rng)
    return view(image, RENDITION, side_px, rng)


def _paste_photo(image: Image.Image, creative: Creative, photo: Image.Image, rng: np.random.Generator) -> None:
    width, height = image.size
    left, top, right, bottom = LAYOUTS[creative.template][0]
    if height > 1.4 * width:
        left, top, right, bottom = top, left, bottom, right
    box = (int(left * width), int(top * height), int(right * width), int(bottom * height))
    size = (max(8, box[2] - box[0]), max(8, box[3] - box[1]))
    image.paste(cropped(photo, 0.7, rng).resize(size, Image.Resampling.BILINEAR), box[:2])


def _package(seed: int, sort: int) -> Image.Image:
    """The flat front of a package; sorts of one seed share shape, layout and brand."""
    design, own = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1 + sort])
    width, height = int(design.integers(60, 140)), int(design.integers(90, 180))
    ground = any_colour(design) if design.random() < 0.6 else any_colour(own)
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    for _ in range(int(design.integers(3, 8))):
        x, y = design.uniform(-0.2, 0.9, 2) * (width, height)
        w, h = design.uniform(0.1, 0.8, 2) * (width, height)
        colour = any_colour(own) if design.random() < 0.5 else any_colour(design)
        (draw.ellipse if design.random() < 0.5 else draw.rectangle)((x, y, x + w, y + h), fill=colour)
    for text, rng in ((str(design.choice(BRAND_NAMES)), design), (str(own.choice(HEADLINES)).split()[-1], own)):
        at, size = design.uniform(0.05, 0.7, 2) * (width * 0.6, height), float(design.uniform(0.1, 0.28)) * width
        draw.text(tuple(at), text, fill=any_colour(rng), font=ImageFont.load_default(size))
    return image


def _package_view(package: Image.Image, photos: Sequence[Image.Image], side_px: int, rng: np.random.Generator) -> np.ndarray:
    """The package before a blurred background, once or in a row as on a shelf."""
    background = cropped(photos[int(rng.integers(len(photos)))], 0.1, rng).resize((256, 256))
    if rng.random() < 0.7:
        background = background.filter(ImageFilter.GaussianBlur(float(rng.uniform(1, 5))))
    height = int(rng.uniform(130, 250))
    width = max(20, int(height * package.width / package.height * rng.uniform(0.85, 1.15)))
    front = package.resize((width, height), Image.Resampling.BILINEAR)
    left, top = int(rng.uniform(-0.2, 0.2) * 256) + 128 - width // 2, int(rng.uniform(-0.15, 0.15) * 256) + 128 - height // 2
    copies = 1 if rng.random() < 0.5 else int(256 / width) + 1
    for i in range(copies):
        background.paste(front, (left + (i - copies // 2) * (width + 3), top + int(rng.integers(-4, 5))))
    return view(background, replace(PHOTOGRAPHED, least_area=0.55), side_px, rng)
