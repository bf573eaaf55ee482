"""The definitions of docs/analytics.md by loops over plain rows, and small random worlds: shares no code with the package."""

from __future__ import annotations

import datetime
import math
import random
from collections import Counter, defaultdict

UNCLUSTERED = "unclustered"


def random_day(rng: random.Random, day: datetime.date) -> tuple[list[dict], list[dict], dict[str, str]]:
    """Partials of a day, its banner log, and an assignment."""
    banners = [f"b{n}" for n in range(rng.randint(1, 12))]
    partials = []
    for user in range(rng.randint(1, 9)):
        for banner in rng.sample([*banners, None, "unlogged"], rng.randint(1, min(4, len(banners)))):
            counts = [rng.choice([0, 0, 1, 2, 5]) for _ in range(3)]
            if any(counts):
                row = {"dt": day, "user_id": f"u{user}", "banner_id": banner}
                partials.append(row | dict(zip(("requests", "impressions", "clicks"), counts, strict=True)))
    logged = [
        {"dt": day, "banner_id": b, "advertiser_id": rng.choice(["x", "y", "z", None])} for b in banners if rng.random() < 0.8
    ]
    assignment = {b: f"k{rng.randint(1, 3)}" for b in [*banners, "unlogged"] if rng.random() < 0.7}
    return partials, logged, assignment


def entropy_bits(counts: Counter) -> float | None:
    total = sum(counts.values())
    return -sum(n / total * math.log2(n / total) for n in counts.values()) if total else None


def cluster_day(partials: list[dict], logged: list[dict], assignment: dict[str, str]) -> dict[str, dict]:
    """cluster_id -> its figures of the day; users exactly."""
    banners, users, counts, advertisers = defaultdict(set), defaultdict(set), defaultdict(Counter), defaultdict(Counter)
    for row in partials:
        cluster = assignment.get(row["banner_id"], UNCLUSTERED)
        users[cluster].add(row["user_id"])
        for name in ("requests", "impressions", "clicks"):
            counts[cluster][name] += row[name]
        if row["banner_id"] is not None:
            banners[cluster].add(row["banner_id"])
    for row in logged:
        cluster = assignment.get(row["banner_id"], UNCLUSTERED)
        banners[cluster].add(row["banner_id"])
        if row["advertiser_id"] is not None:
            advertisers[cluster][row["advertiser_id"]] += 1
    everyone = set().union(*users.values()) if users else set()
    found = {}
    for cluster in {*users, *banners}:
        known = advertisers[cluster]
        c = counts[cluster]
        found[cluster] = {
            "banners": len(banners[cluster]),
            **{name: c[name] for name in ("requests", "impressions", "clicks")},
            "ctr": c["clicks"] / c["impressions"] if c["impressions"] else None,
            "users": len(users[cluster]),
            "reach": len(users[cluster]) / len(everyone) if everyone else None,
            "advertisers": len(known),
            "advertiser_entropy_bits": entropy_bits(known),
            "top_advertiser_share": max(known.values()) / sum(known.values()) if known else None,
        }
    return found


def tags(ads: list[dict], words_of, per_cluster: int, min_banners: int, min_advertisers: int, min_lift: float) -> dict:
    """cluster_id -> its (tag, score) in order, by class-based TF-IDF; ``words_of`` gives the words of an ad."""
    classes, advertisers = defaultdict(Counter), defaultdict(set)
    for ad in ads:
        for word in words_of(ad):
            classes[ad["cluster_id"]][word] += 1
            if ad["advertiser_id"] is not None:
                advertisers[ad["cluster_id"], word].add(ad["advertiser_id"])
    in_all = sum(classes.values(), Counter())
    total = sum(in_all.values())
    found = {}
    for name, counts in classes.items():
        own = sum(counts.values())
        scored = [
            (-n / own * math.log(1 + total / len(classes) / in_all[word]), word)
            for word, n in counts.items()
            if n >= min_banners
            and len(advertisers[name, word]) >= min_advertisers
            and (n / own) / (in_all[word] / total) >= min_lift
        ]
        found[name] = [(word, -score) for score, word in sorted(scored)[:per_cluster]]
    return {name: told for name, told in found.items() if told}
