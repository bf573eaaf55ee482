"""Labelled pictures that no encoder was trained on: groceries, one photo in many edits, renditions of photos, drawn creatives."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from bannermap.embedding.decoding.decode import decode
from bannermap.embedding.statuses import Failure
from bannermap.platform.settings import DecodeSettings
from bannermap.sample.lives import draw_campaigns, draw_renditions
from bannermap.sample.plan import SIZES
from bannermap.sample.renditions import rendition_file


@dataclass(frozen=True)
class Pictures:
    """A set of pictures and which belong together.

    Attributes:
        name: of the set.
        pixels: uint8 (height, width, 3) each.
        groups: (n,) equal for pictures that should be found together.
        is_query: (n,) bool; the others are only there to be mistaken for them.
    """

    name: str
    pixels: list[np.ndarray]
    groups: np.ndarray
    is_query: np.ndarray


def grocery(data: Path, settings: DecodeSettings) -> Pictures:
    """279 photos of 31 products, in shops and in a studio: another camera, another light, other things beside them."""
    with (data / "grocery/labels.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    pixels = [_pixels(data / "grocery" / row["file"], settings) for row in rows]
    return Pictures("grocery products", pixels, np.array([row["sku"] for row in rows]), np.ones(len(rows), bool))


def formats(data: Path, settings: DecodeSettings) -> Pictures:
    """One photo in edits, turns, flips and colour modes, among photos of clothes."""
    folder = data / "formats"
    edits = [p for p in sorted(folder.rglob("*")) if p.suffix in (".jpg", ".png", ".webp") and p.parent.name != "misc-images"]
    others = sorted((data / "clothing/test").rglob("*.jpg"))
    pixels, groups = [], []
    for path in (*edits, *others):
        try:
            pixels.append(_pixels(path, settings))
        except Failure:
            continue
        groups.append("bridge" if path in edits else path.name)
    return Pictures("edits of one photo", pixels, np.array(groups), np.array(groups) == "bridge")


def photo_renditions(name: str, folder: Path, settings: DecodeSettings, limit: int) -> Pictures:
    """Photos of a folder, each with every edit of `EDITS`."""
    paths = sorted(folder.rglob("*.jpg"))
    paths = paths[:: max(1, len(paths) // limit)][:limit]
    pixels, groups = [], []
    for number, path in enumerate(paths):
        photo = Image.fromarray(_pixels(path, settings))
        rng = np.random.default_rng(number)
        shown = [photo, *(edit(photo, rng) for edit in EDITS.values())]
        pixels += [np.asarray(image.convert("RGB")) for image in shown]
        groups += [path.name] * len(shown)
    return Pictures(f"renditions of {name}", pixels, np.array(groups), np.ones(len(groups), bool))


def drawn_creatives(settings: DecodeSettings, seed: int, campaigns: int) -> Pictures:
    """Banners of a drawn world, grouped by creative; campaigns whose creatives merge or change are left out."""
    quiet = [c for c in draw_campaigns(SIZES["small"], 1, seed)[:campaigns] if c.event == "none"]
    drawn = draw_renditions(quiet, SIZES["small"], 4, seed)
    pixels = [decode(rendition_file(r, seed)[0], settings).pixels for r in drawn]
    groups = [r.creative.number for r in drawn]
    return Pictures("drawn creatives", pixels, np.array(groups), np.ones(len(groups), bool))


def _pixels(path: Path, settings: DecodeSettings) -> np.ndarray:
    return decode(path.read_bytes(), settings).pixels


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    target = io.BytesIO()
    image.save(target, "JPEG", quality=quality)
    return Image.open(target).convert("RGB")


def _badge(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A price over a twelfth of the picture."""
    result, side = image.copy(), int(0.29 * min(image.size))
    x, y = int(rng.integers(0, image.width - side)), int(rng.integers(0, image.height - side))
    draw = ImageDraw.Draw(result)
    draw.ellipse((x, y, x + side, y + side), fill=(220, 30, 30))
    draw.text((x + side // 4, y + side // 3), "-50%", fill=(255, 255, 255), font_size=side // 4)
    return result


def _squeezed(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((max(1, int(image.width * factor)), image.height), Image.Resampling.LANCZOS)


def _edges_cut(image: Image.Image, share: float) -> Image.Image:
    x, y = int(image.width * share), int(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


EDITS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "recompressed": lambda i, _: _jpeg(i, 35),
    "a third": lambda i, _: i.resize((i.width // 3, i.height // 3), Image.Resampling.LANCZOS),
    "squeezed": lambda i, _: _squeezed(i, 0.5),
    "edges cut": lambda i, _: _edges_cut(i, 0.04),
    "badge": _badge,
    "brighter": lambda i, _: ImageEnhance.Brightness(i).enhance(1.2),
    "paler": lambda i, _: ImageEnhance.Color(i).enhance(0.75),
    "blurred": lambda i, _: i.filter(ImageFilter.GaussianBlur(1.5)),
    "letterboxed": lambda i, _: _jpeg(ImageOps.expand(i, (i.width // 3, 0), (255, 255, 255)), 70),
}
"""What ad servers do to one picture; drawn here and not by the code that trains."""


@functools.cache
def all_sets(data: Path, settings: DecodeSettings, photos: int) -> tuple[Pictures, ...]:
    """Every set; clothes are those of the test folder, which no training may read."""
    return (
        grocery(data, settings),
        formats(data, settings),
        photo_renditions("groceries", data / "grocery/images", settings, photos),
        photo_renditions("clothes", data / "clothing/test", settings, photos),
        drawn_creatives(settings, seed=4242, campaigns=60),
    )
