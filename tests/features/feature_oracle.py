"""Section 6 by loops over tuples, and random histories: shares no code with the package."""

from __future__ import annotations

import datetime
import random
from collections import Counter, defaultdict

TYPES = ("request", "impression", "click")
WINDOWS = (1, 7, 15, 30)
LOGGED = ("event_id", "event_type", "event_ts", "user_id", "banner_id")


def event(event_id, kind, moment, user, banner) -> dict:
    return dict(zip(LOGGED, (event_id, kind, moment, user, banner), strict=True))


def rank(e: dict) -> tuple:
    return (e["event_ts"], e["user_id"], e["banner_id"] is None, e["banner_id"] or "", e["event_type"])


def counted(events: list[dict]) -> list[dict]:
    """One event per event_id, the smallest; events without a user or with an unknown type don't count."""
    smallest: dict[str, dict] = {}
    for e in events:
        usable = e["user_id"] and e["event_type"] in TYPES and e["event_ts"] is not None and e["event_id"]
        if usable and (e["event_id"] not in smallest or rank(e) < rank(smallest[e["event_id"]])):
            smallest[e["event_id"]] = e
    return list(smallest.values())


def partial_counts(events: list[dict]) -> dict[tuple, tuple]:
    """(day, user, banner) -> (requests, impressions, clicks)."""
    numbers: dict[tuple, Counter] = defaultdict(Counter)
    for e in counted(events):
        numbers[(e["event_ts"].date(), e["user_id"], e["banner_id"])][e["event_type"]] += 1
    return {key: tuple(c[t] for t in TYPES) for key, c in numbers.items()}


def features(events: list[dict], assignment: dict[str, str], as_of: datetime.date) -> dict[tuple, tuple]:
    """(user, cluster) -> 12 counts, shortest window first, then request, impression, click."""
    numbers: dict[tuple, Counter] = defaultdict(Counter)
    for e in counted(events):
        age = (as_of - e["event_ts"].date()).days
        if not 0 <= age < 30:
            continue
        pair = (e["user_id"], assignment.get(e["banner_id"], "unclustered"))
        for window in WINDOWS:
            if age < window:
                numbers[pair][(window, e["event_type"])] += 1
    return {pair: tuple(c[(w, t)] for w in WINDOWS for t in TYPES) for pair, c in numbers.items()}


def random_history(rng: random.Random, prefix: str, last: datetime.date, days: int, size: int) -> list[dict]:
    """Events of up to three users over some days before ``last``, many at the edges of windows, with repeated event_ids."""
    users = [f"{prefix}u{n}" for n in range(rng.randint(1, 3))]
    edges = [0, 1, 6, 7, 14, 15, 29, 30]
    result = []
    for _ in range(rng.randint(1, size)):
        age = rng.choice([rng.randrange(days), rng.choice([a for a in edges if a < days])])
        moment = datetime.datetime.combine(last - datetime.timedelta(days=age), datetime.time(rng.choice([0, 12, 23]), 59, 59))
        banner = rng.choice([None, "a", "b", "c", "d", "e"])
        result.append(event(f"{prefix}e{rng.randrange(size)}", rng.choice(TYPES), moment, rng.choice(users), banner))
    return result
