"""Colours of a design, and how a design's colours move: another shade, or a mixture of two."""

from __future__ import annotations

import colorsys

import numpy as np

Colour = tuple[int, int, int]
Palette = tuple[Colour, ...]
"""Background, second background, accent, text; RGB, each 0 to 255."""


def draw_palette(hue: float, rng: np.random.Generator) -> Palette:
    """A palette around a hue, dark with white text or light with black text.

    Args:
        hue: of the background, 0 to 1.
        rng: of the creative.
    """
    dark = rng.random() < 0.5
    light, lighter = (rng.uniform(0.2, 0.45), rng.uniform(0.35, 0.6)) if dark else (rng.uniform(0.8, 1.0), rng.uniform(0.75, 1.0))
    ground = _rgb(hue, rng.uniform(0.35, 0.9), light)
    second = _rgb(hue + rng.uniform(-0.08, 0.08), rng.uniform(0.15, 0.7), lighter)
    accent = _rgb(hue + rng.uniform(0.35, 0.65), 0.85, 0.95)
    return ground, second, accent, (255, 255, 255) if dark else (25, 25, 35)


def shaded(palette: Palette, hue_turn: float, brightness: float) -> Palette:
    """Another shade of a palette; the text keeps its colour.

    Args:
        palette: of the first design.
        hue_turn: added to every hue, in turns of the colour circle.
        brightness: factor of every value (of hue, saturation, value), cut at 1.
    """
    return (*(_turned(colour, hue_turn, brightness) for colour in palette[:3]), palette[3])


def blended(first: Palette, second: Palette, share: float) -> Palette:
    """A mixture of two palettes.

    Args:
        first: what share 0 gives.
        second: what share 1 gives.
        share: of the second, 0 to 1.
    """
    return tuple(_mixed(a, b, share) for a, b in zip(first, second, strict=True))


def _mixed(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _turned(colour: Colour, hue_turn: float, brightness: float) -> Colour:
    hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255.0 for part in colour))
    return _rgb(hue + hue_turn, saturation, min(1.0, value * brightness))


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
