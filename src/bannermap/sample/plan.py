"""What exists in the world: how large it is, brands, and the designs of creatives, drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.sample.palettes import Palette, draw_palette

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
    """How large a world is on each day; so a longer world has the days of a shorter one.

    Attributes:
        campaigns: that run on the first day; each has `CREATIVES_PER_CAMPAIGN` creatives.
        campaigns_per_day: that start on each later day, about as many as end.
        launch_renditions: banners with which a creative starts, mean.
        renditions_per_day: banners that a running creative gets per day after that, mean.
        users: distinct users.
        requests_per_user_day: mean of a Poisson law.
    """

    campaigns: int
    campaigns_per_day: float
    launch_renditions: float
    renditions_per_day: float
    users: int
    requests_per_user_day: float


SIZES = {
    "tiny": WorldSize(7, 1.0, 4.5, 1.0, 60, 6.0),
    "small": WorldSize(48, 5.0, 4.5, 1.0, 500, 8.0),
    "large": WorldSize(268, 28.0, 4.5, 1.0, 3_000, 5.0),
}
CREATIVES_PER_CAMPAIGN = 3
BANNERS_PER_REQUEST = 3
MEAN_DAYS_PER_BANNER = 18.4 / 11.4
"""Days on which a banner is seen: an ad network counts 18.4 M banner ids a month, of which 11.4 M are different."""


@dataclass(frozen=True)
class Creative:
    """A design of a creative; one that is revised or blended has further designs under the same number.

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
    palette: Palette
    words: tuple[str, str, str]
    appeal: float


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


def draw_creative(number: int, seed: int) -> Creative:
    """The first design of a creative; two campaigns per brand.

    Args:
        number: of the creative; those of one campaign follow each other.
        seed: everything follows from it.
    """
    campaign = number // CREATIVES_PER_CAMPAIGN
    brand = BRAND_NAMES[(campaign // 2) % len(BRAND_NAMES)]
    shared = np.random.default_rng([seed, 0, campaign])
    own = np.random.default_rng([seed, 1, number])
    hue, theme = shared.random(), THEMES[int(shared.integers(len(THEMES)))]
    palette = draw_palette((hue + own.choice([0.0, 0.5, 0.33])) % 1.0, own)
    words = draw_words(own)
    template, family = str(own.choice(TEMPLATES)), int(own.integers(len(SIZE_FAMILIES)))
    appeal = float(own.normal(0.0, 0.7))
    return Creative(number, brand, f"{brand} {campaign:03d}", theme, template, family, palette, words, appeal)


def draw_words(rng: np.random.Generator) -> tuple[str, str, str]:
    """Headline, price and button."""
    return str(rng.choice(HEADLINES)), draw_price(rng), str(rng.choice(BUTTONS))


def draw_price(rng: np.random.Generator) -> str:
    """A price without its currency."""
    return f"{rng.integers(9, 399)}.{rng.choice(['00', '50', '99'])}"
