"""Users and what they do: requests by taste, impressions, clicks from a known model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bannermap.sample.logs import FIRST_DAY, Banner
from bannermap.sample.plan import BANNERS_PER_REQUEST, THEMES, WorldSize

IMPRESSION_SHARE = 0.6
BASE_LOG_ODDS = -4.2
TASTE_LOG_ODDS = 6.0
"""Of a settled taste against none; `SampleSettings.taste_log_odds` plants another one."""
CURIOSITY = 0.05
"""Added to every taste: nobody sees nothing but his favourites."""
DUPLICATE_SHARE, NO_USER_SHARE, NO_BANNER_SHARE, LATE_SHARE = 0.01, 0.003, 0.004, 0.01


@dataclass(frozen=True)
class Users:
    """Who they are.

    Attributes:
        names: user ids.
        taste: float64 (users, themes), rows sum to 1.
    """

    names: list[str]
    taste: np.ndarray


def draw_users(size: WorldSize, seed: int) -> Users:
    """Users with a few favourite themes each."""
    rng = np.random.default_rng([seed, 6])
    return Users([f"u{i:06d}" for i in range(size.users)], rng.dirichlet(np.full(len(THEMES), 0.4), size.users))


def click_probability(taste: np.ndarray, appeal: np.ndarray, taste_log_odds: float = TASTE_LOG_ODDS) -> np.ndarray:
    """The model behind the clicks: a logistic law of taste for the theme and appeal of the creative.

    Args:
        taste: float64 (n,), the user's share for the banner's theme.
        appeal: float64 (n,), log-odds of the creative.
        taste_log_odds: what the taste counts; 0: who likes what makes no difference to clicks.

    Returns:
        float64 (n,), probability of a click per impression.
    """
    return 1.0 / (1.0 + np.exp(-(BASE_LOG_ODDS + taste_log_odds * (taste - 1.0 / len(THEMES)) + appeal)))


def draw_day(
    banners: list[Banner], users: Users, day: int, size: WorldSize, seed: int, taste_log_odds: float = TASTE_LOG_ODDS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What happens on one day.

    Args:
        banners: all of the world.
        users: who.
        day: number of the day.
        size: how much.
        seed: of the world.
        taste_log_odds: see `click_probability`.

    Returns:
        Events in the columns of the event log, without duplicates or defects; and the truth: per impression its click
        probability and whether it was clicked.
    """
    rng = np.random.default_rng([seed, 7, day])
    active = [b for b in banners if day in b.days]
    theme = np.array([THEMES.index(b.rendition.creative.theme) for b in active])
    shown = _requests(theme, rng.exponential(1.0, len(active)), users, size, rng)
    request, user, banner = shown["request"].to_numpy(), shown["user"].to_numpy(), shown["banner"].to_numpy()
    seen = rng.random(len(shown)) < IMPRESSION_SHARE
    appeal = np.array([b.rendition.creative.appeal for b in active])
    probability = click_probability(users.taste[user, theme[banner]], appeal[banner], taste_log_odds)
    clicked = seen & (rng.random(len(shown)) < probability)
    at = _start_of(day) + pd.to_timedelta(rng.integers(0, 86_300_000_000, request.max() + 1)[request], unit="us")
    columns = {"user_id": np.array(users.names)[user], "banner_id": np.array([b.banner_id for b in active])[banner]}
    base = pd.DataFrame(
        {**columns, "request_id": [f"d{day:03d}r{r:07d}" for r in request], "slot": shown["slot"], "event_ts": at}
    )
    kinds = (("request", np.ones(len(base), bool), 0), ("impression", seen, 2), ("click", clicked, 9))
    events = pd.concat([_events(base[mask], kind, delay) for kind, mask, delay in kinds], ignore_index=True)
    truth = pd.DataFrame({**columns, "dt": at.date, "click_probability": probability, "clicked": clicked})[seen]
    return events, truth


def event_log_day(today: pd.DataFrame, yesterday: pd.DataFrame | None, day: int, seed: int) -> pd.DataFrame:
    """The log that arrives on a day: its events less the late ones, yesterday's late ones, repeats, and rows with holes.

    Args:
        today: events of the day.
        yesterday: events of the day before, null on the first.
        day: number of the day.
        seed: of the world.
    """
    parts = [today[~_is_late(today, day, seed)]]
    if yesterday is not None:
        parts.append(yesterday[_is_late(yesterday, day - 1, seed)])
    log = pd.concat(parts, ignore_index=True)
    rng = np.random.default_rng([seed, 9, day])
    log.loc[rng.random(len(log)) < NO_USER_SHARE, "user_id"] = None
    log.loc[rng.random(len(log)) < NO_BANNER_SHARE, "banner_id"] = None
    repeated = log[rng.random(len(log)) < DUPLICATE_SHARE]
    return (
        pd.concat([log, repeated], ignore_index=True)
        .sample(frac=1.0, random_state=int(rng.integers(2**31)))
        .reset_index(drop=True)
    )


def pick_banners(taste: np.ndarray, theme: np.ndarray, popularity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A banner per slot, each with a chance in proportion to (taste for its theme + `CURIOSITY`) x popularity.

    That weight is one of the user and theme times one of the banner, so drawing the theme, then the banner within it, is the
    same law without a matrix of slots x banners.

    Args:
        taste: float64 (n, themes), of the user of each slot.
        theme: int64 (m,), of each banner, at least one.
        popularity: float64 (m,), above 0.
        rng: of the day.

    Returns:
        int64 (n,), indices of banners.
    """
    mass = np.bincount(theme, popularity, taste.shape[1])
    edges = np.cumsum((taste + CURIOSITY) * mass, axis=1)
    chosen = (rng.random(len(taste)) * edges[:, -1] >= edges.T).sum(axis=0)
    by_theme = np.argsort(theme, kind="stable")
    at = (np.cumsum(mass) - mass)[chosen] + rng.random(len(taste)) * mass[chosen]
    place = np.searchsorted(np.cumsum(popularity[by_theme]), at, side="right")
    return by_theme[np.minimum(place, len(theme) - 1)]


def _requests(theme: np.ndarray, popularity: np.ndarray, users: Users, size: WorldSize, rng: np.random.Generator) -> pd.DataFrame:
    """Each request asks for several banners; a user meets the themes that he likes more often."""
    user = np.repeat(np.arange(len(users.names)), rng.poisson(size.requests_per_user_day, len(users.names)))
    request = np.repeat(np.arange(len(user)), BANNERS_PER_REQUEST)
    banner = pick_banners(users.taste[user[request]], theme, popularity, rng)
    slot = np.tile(np.arange(BANNERS_PER_REQUEST), len(user))
    return pd.DataFrame({"request": request, "user": user[request], "banner": banner, "slot": slot})


def _events(base: pd.DataFrame, kind: str, delay_s: int) -> pd.DataFrame:
    events = base.assign(event_type=kind, event_ts=base["event_ts"] + pd.Timedelta(seconds=delay_s))
    events["event_id"] = events["request_id"] + "-" + events["slot"].astype(str) + "-" + kind[0]
    context = {
        "campaign_id": None,
        "app_id": "app" + (base["slot"] % 4).astype(str),
        "placement_id": "p" + base["slot"].astype(str),
    }
    return events.assign(**context).drop(columns="slot")


def _is_late(events: pd.DataFrame, day: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 8, day]).random(len(events)) < LATE_SHARE


def _start_of(day: int) -> pd.Timestamp:
    return pd.Timestamp(FIRST_DAY, tz="UTC") + pd.Timedelta(days=day)
