"""Who exists in the world: brands, campaigns, creatives and their renditions, drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

THEMES = ("phone", "shoe", "bottle", "car", "bag", "house", "watch", "cup", "book", "chair")
TEMPLATES = ("product_left", "product_right", "centre", "burst", "stripes", "split")
SIZE_FAMILIES = (
    ((300, 250), (336, 280), (250, 208)),
    ((728, 90), (970, 120), (468, 60)),
    ((160, 600), (120, 450), (200, 750)),
    ((300, 600), (320, 640), (240, 480)),
    ((320, 100), (640, 200), (300, 94)),
)
RENDITIONS = ("original", "size", "jpeg", "webp", "price", "language", "crop", "colour", "gif")
"""What can be done to a creative without making it another one."""
BRAND_NAMES = (
    "Velora",
    "Norwick",
    "Tamsin",
    "Quillon",
    "Brevia",
    "Ostrand",
    "Kelmar",
    "Fenwyn",
    "Juniper & Co",
    "Luxa",
    "Marlow",
    "Zephyra",
    "Halden",
    "Pinova",
    "Calyx",
    "Dovetail",
    "Ember",
    "Solane",
    "Truro",
    "Winslow",
)


@dataclass(frozen=True)
class WorldSize:
    """How large a world is.

    Attributes:
        creatives: creative groups.
        renditions: banners per creative, about.
        users: distinct users.
        requests_per_user_day: mean of a Poisson law.
    """

    creatives: int
    renditions: int
    users: int
    requests_per_user_day: float


SIZES = {"tiny": WorldSize(24, 6, 60, 6.0), "small": WorldSize(170, 7, 500, 8.0)}
BANNERS_PER_REQUEST = 3
MEAN_DAYS_PER_BANNER = 18.4 / 11.4
"""Days on which a banner is seen: an ad network counts 18.4 M banner ids a month, of which 11.4 M are different."""


@dataclass(frozen=True)
class Creative:
    """One design; its renditions are its creative group.

    Attributes:
        number: of the world, from 0.
        brand: name of the advertiser.
        campaign: name; creatives of one campaign share palette and theme.
        theme: what is sold, one of `THEMES`.
        template: layout, one of `TEMPLATES`.
        family: index of `SIZE_FAMILIES`.
        palette: background, second background, accent, text; RGB.
        words: headline, price, button.
        appeal: how much more or less it is clicked, log-odds.
    """

    number: int
    brand: str
    campaign: str
    theme: str
    template: str
    family: int
    palette: tuple[tuple[int, int, int], ...]
    words: tuple[str, str, str]
    appeal: float


@dataclass(frozen=True)
class Rendition:
    """One banner: a creative, drawn in one way.

    Attributes:
        creative: the design.
        kind: one of `RENDITIONS`.
        variant: distinguishes renditions of one kind.
    """

    creative: Creative
    kind: str
    variant: int


HEADLINES = (
    "Feel the difference",
    "New season, new you",
    "Only this week",
    "Made to last",
    "Born to move",
    "Simply better",
    "Go further",
    "Less is more",
    "Your day, upgraded",
    "Crafted for you",
    "Big summer sale",
    "Ready when you are",
)
BUTTONS = ("Shop now", "Learn more", "Buy today", "Get yours", "Discover")
TRANSLATIONS = {
    "Shop now": "Jetzt kaufen",
    "Learn more": "Mehr erfahren",
    "Buy today": "Heute kaufen",
    "Get yours": "Hol es dir",
    "Discover": "Entdecken",
}


def draw_creatives(size: WorldSize, seed: int) -> list[Creative]:
    """The world's creatives; about three per campaign and two campaigns per brand.

    Args:
        size: how many.
        seed: everything follows from it.
    """
    return [_creative(number, seed) for number in range(size.creatives)]


def draw_renditions(creatives: list[Creative], size: WorldSize, seed: int) -> list[Rendition]:
    """The banners: each creative as it is, and some ways of changing it."""
    result = []
    for creative in creatives:
        rng = np.random.default_rng([seed, 2, creative.number])
        more = 1 + int(rng.poisson(size.renditions - 2))
        kinds = ["original", *rng.choice(RENDITIONS[1:], size=more).tolist()]
        result += [Rendition(creative, kind, variant) for variant, kind in enumerate(kinds)]
    return result


def _creative(number: int, seed: int) -> Creative:
    campaign = number // 3
    brand = BRAND_NAMES[(campaign // 2) % len(BRAND_NAMES)]
    shared = np.random.default_rng([seed, 0, campaign])
    own = np.random.default_rng([seed, 1, number])
    hue, theme = shared.random(), THEMES[int(shared.integers(len(THEMES)))]
    palette = _palette((hue + own.choice([0.0, 0.5, 0.33])) % 1.0, own)
    words = (str(own.choice(HEADLINES)), f"{own.integers(9, 399)}.{own.choice(['00', '50', '99'])}", str(own.choice(BUTTONS)))
    template, family = str(own.choice(TEMPLATES)), int(own.integers(len(SIZE_FAMILIES)))
    appeal = float(own.normal(0.0, 0.7))
    return Creative(number, brand, f"{brand} {campaign:03d}", theme, template, family, palette, words, appeal)


def _palette(hue: float, rng: np.random.Generator) -> tuple[tuple[int, int, int], ...]:
    import colorsys

    def rgb(h: float, s: float, v: float) -> tuple[int, int, int]:
        r, g, b = colorsys.hsv_to_rgb(h % 1.0, s, v)
        return round(r * 255), round(g * 255), round(b * 255)

    dark = rng.random() < 0.5
    light, lighter = (rng.uniform(0.2, 0.45), rng.uniform(0.35, 0.6)) if dark else (rng.uniform(0.8, 1.0), rng.uniform(0.75, 1.0))
    ground = rgb(hue, rng.uniform(0.35, 0.9), light)
    second = rgb(hue + rng.uniform(-0.08, 0.08), rng.uniform(0.15, 0.7), lighter)
    accent = rgb(hue + rng.uniform(0.35, 0.65), 0.85, 0.95)
    return ground, second, accent, (255, 255, 255) if dark else (25, 25, 35)
