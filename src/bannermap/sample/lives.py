"""Lives of campaigns: they start, some change or merge, and they end; new renditions arrive as long as they run.

A campaign's whole life follows from its number and the seed, never from the days of the world, so a longer world only goes on
where a shorter one stopped. What an event does to the creative groups, which are what a perfect clustering would find:

- changed: from the event's day on, the first creative comes in a revised design: new words, new price, a near shade of its
  palette. Banners of the first design run out. Both designs are *one* group: a viewer takes them for the same ad.
- merged: the first two creatives are siblings, one layout in two colours that are told apart. From the event's day on, both
  come in blends of the two, which fill the space between them. Up to that day they are two groups, from it on one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bannermap.sample.palettes import blended, shaded
from bannermap.sample.plan import (
    CREATIVES_PER_CAMPAIGN,
    MEAN_DAYS_PER_BANNER,
    RENDITIONS,
    Creative,
    WorldSize,
    draw_creative,
    draw_words,
)

EVENTS = ("none", "changed", "merged")
EVENT_SHARES = (0.5, 0.3, 0.2)
CREATIVES_IN_EVENT = {"none": 0, "changed": 1, "merged": 2}
LIFE_DAYS = (5, 14)
"""Shortest and longest life; the shortest leaves two days before and after an event."""
QUIET_DAYS = 2
"""Days of a life before its event and, at least, after it."""
EVENT_LAUNCH_RENDITIONS = 4.0
"""Banners with which a revised design or a blend starts, mean."""
SIBLING_HUE_TURN = 0.08
"""Turns of the colour circle between siblings: far enough for two clusters, near enough for blends to join them."""
REVISION_HUE_TURN, REVISION_BRIGHTNESS = 0.012, 0.04
"""Greatest change of a revised palette: less than a campaign's colours differ, about what the rendition `colour` does."""
GOLDEN_SHARE = 0.6180339887498949
"""Multiples of it, less their whole parts, spread evenly however many there are (Weyl 1916)."""


@dataclass(frozen=True)
class Campaign:
    """A campaign from its first day to its last.

    Attributes:
        number: of the world, from 0.
        start_day: number of the first day on which it is served; 0 also for those that ran before the log begins.
        end_day: number of the last such day; it may lie after the world's last day.
        event: one of `EVENTS`.
        event_day: first day of the new designs; null without an event.
        creatives: first designs; an event concerns the first `CREATIVES_IN_EVENT` of them.
    """

    number: int
    start_day: int
    end_day: int
    event: str
    event_day: int | None
    creatives: tuple[Creative, ...]

    @property
    def name(self) -> str:
        """As the advertiser calls it."""
        return self.creatives[0].campaign

    @property
    def concerned(self) -> tuple[int, ...]:
        """Numbers of the creatives that the event changes or merges; the first names the group that remains."""
        return tuple(c.number for c in self.creatives[: CREATIVES_IN_EVENT[self.event]])


@dataclass(frozen=True)
class Rendition:
    """One banner: a design of a creative, drawn in one way, served for some days.

    Attributes:
        campaign: whose it is.
        creative: the design.
        design: `first`, `revised` or `blend`.
        kind: one of `RENDITIONS`.
        variant: number within the creative, in order of first day.
        first_day: number of the first day of serving.
        days: of serving, in a row, at least 1.
    """

    campaign: Campaign
    creative: Creative
    design: str
    kind: str
    variant: int
    first_day: int
    days: int


def draw_campaigns(size: WorldSize, days: int, seed: int) -> list[Campaign]:
    """The campaigns that start within the world's days, in order of start.

    Args:
        size: how many start when.
        days: of the world.
        seed: everything follows from it.
    """
    starts = [0] * size.campaigns
    for day in range(1, days):
        starts += [day] * (int(size.campaigns_per_day * day) - int(size.campaigns_per_day * (day - 1)))
    return [_campaign(number, start, seed) for number, start in enumerate(starts)]


def draw_renditions(campaigns: list[Campaign], size: WorldSize, days: int, seed: int) -> list[Rendition]:
    """All banners of the world's days, by first day; those of a longer world begin with the same ones.

    Args:
        campaigns: of the world.
        size: how many.
        days: of the world; a banner that starts later is left out.
        seed: of the world.
    """
    every = [r for campaign in campaigns for creative in campaign.creatives for r in _life(campaign, creative, size, seed)]
    return sorted((r for r in every if r.first_day < days), key=lambda r: (r.first_day, r.creative.number, r.variant))


def _campaign(number: int, start: int, seed: int) -> Campaign:
    rng = np.random.default_rng([seed, 10, number])
    end = start + int(rng.integers(LIFE_DAYS[0], LIFE_DAYS[1] + 1)) - 1
    event = str(rng.choice(EVENTS, p=EVENT_SHARES))
    day = int(rng.integers(start + QUIET_DAYS, end - QUIET_DAYS + 1))
    first = number * CREATIVES_PER_CAMPAIGN
    creatives = [draw_creative(first + i, seed) for i in range(CREATIVES_PER_CAMPAIGN)]
    if event == "merged":
        creatives[1] = _sibling(creatives[0], creatives[1], rng)
    return Campaign(number, start, end, event, None if event == "none" else day, tuple(creatives))


def _sibling(first: Creative, second: Creative, rng: np.random.Generator) -> Creative:
    """The second creative in the first one's layout and in colours beside its colours."""
    palette = shaded(first.palette, SIBLING_HUE_TURN * float(rng.choice([-1, 1])), 1.0)
    return replace(second, template=first.template, family=first.family, palette=palette)


def _life(campaign: Campaign, creative: Creative, size: WorldSize, seed: int) -> list[Rendition]:
    """All banners of a creative, in order of first day."""
    rng = np.random.default_rng([seed, 2, creative.number])
    event_day = campaign.event_day if creative.number in campaign.concerned else None
    revised = _revised(creative, rng)
    result = []
    for variant, (first_day, days, kind) in enumerate(_schedule(campaign, event_day, size, rng)):
        design, name = creative, "first"
        if event_day is not None and first_day >= event_day:
            design, name = (revised, "revised") if campaign.event == "changed" else (_blend(campaign, creative, variant), "blend")
        result.append(Rendition(campaign, design, name, kind, variant, first_day, days))
    return result


def _schedule(campaign: Campaign, event_day: int | None, size: WorldSize, rng: np.random.Generator) -> list[tuple[int, int, str]]:
    """First day, days and kind of each banner of a creative: launches begin with the original, others arrive at any time."""
    start, end = campaign.start_day, campaign.end_day
    launches = [(start, size.launch_renditions)] + ([(event_day, EVENT_LAUNCH_RENDITIONS)] if event_day is not None else [])
    result = []
    for day, mean in launches:
        kinds = ["original", *rng.choice(RENDITIONS[1:], size=rng.poisson(mean - 1.0)).tolist()]
        result += [(day, _serving_days(end - day + 1, rng), kind) for kind in kinds]
    for kind in rng.choice(RENDITIONS[1:], size=rng.poisson(size.renditions_per_day * (end - start))).tolist():
        days = _serving_days(end - start, rng)
        result.append((int(rng.integers(start + 1, end - days + 2)), days, kind))
    return sorted(result, key=lambda served: served[0])


def _serving_days(most: int, rng: np.random.Generator) -> int:
    return min(int(rng.geometric(1.0 / MEAN_DAYS_PER_BANNER)), most)


def _revised(creative: Creative, rng: np.random.Generator) -> Creative:
    turn = float(rng.uniform(-REVISION_HUE_TURN, REVISION_HUE_TURN))
    brightness = 1.0 + float(rng.uniform(-REVISION_BRIGHTNESS, REVISION_BRIGHTNESS))
    return replace(creative, words=draw_words(rng), palette=shaded(creative.palette, turn, brightness))


def _blend(campaign: Campaign, creative: Creative, variant: int) -> Creative:
    """A point between the siblings; the second one's points lie between those of the first."""
    first, second = campaign.creatives[:2]
    share = (GOLDEN_SHARE * (variant + (0.5 if creative.number == second.number else 0.0))) % 1.0
    nearer = first if share < 0.5 else second
    return replace(creative, words=nearer.words, palette=blended(first.palette, second.palette, share))
