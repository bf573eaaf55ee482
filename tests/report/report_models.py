"""Random reports as plain values, for tests of the pages without tables."""

from __future__ import annotations

import datetime
import functools

import numpy as np
from report_worlds import HOSTILE, drawn_file

from bannermap.report.analyses import Audience, Compared, Experiment, Trend, TrendFamily
from bannermap.report.emphasis import curtain
from bannermap.report.model import (
    Change,
    Cluster,
    Day,
    Duplicates,
    FellOut,
    Image,
    Outlier,
    Pair,
    Report,
    Shown,
    Step,
    Theme,
)
from bannermap.report.thumbnails import draw

DAY = datetime.date(2026, 1, 31)
SINGLE, SPLIT, COUNT = 200, 5, 12
"""Clusters per page that put a report of `COUNT` clusters on one page, or on several."""
AXIS = [DAY - datetime.timedelta(days=back) for back in range(29, -1, -1)]
SIDES = (40, 56, 112, 220)
SQUARE = (slice(2, 6), slice(9, 14))
"""Cells that the encoder looks at, in every second picture of a cluster, the medoid too."""


def emphasis() -> bytes:
    cells = np.full((16, 16), 3, np.uint8)
    cells[SQUARE] = 255
    return cells.tobytes()


@functools.cache
def image(number: int) -> Image:
    drawn = draw(drawn_file(number), SIDES)
    address = HOSTILE if number == 7 else f"https://ads.example/{number}.jpg"
    return Image(drawn.files, address, drawn.brightness, drawn.sharpness, curtain(emphasis()) if number % 7 % 2 == 0 else None)


def name(kind: int, number: int) -> str:
    return f"{kind:x}{number * 2654435761 % 2**32:08x}{number:023x}"


def cluster(number: int, count: int, rng: np.random.Generator) -> Cluster:
    hashes = [f"p{(7 * number + i) % 90}" for i in range(6)]
    seen = int(rng.integers(0, 500)) if number % 5 else 0
    parent = name(9, number // 3) if number % 4 else None
    pair = Pair(name(1, number), hashes[0], hashes[1], 0.97, hashes[1], f"banner {number}", "best_quality", HOSTILE)
    born = DAY - datetime.timedelta(days=(7 * number) % 10)
    other = name(1, (number + 1) % count)
    return Cluster(
        cluster_id=name(1, number),
        size=2 * count - number,
        nodes=9,
        medoid=hashes[0],
        cohesion=float(np.round(rng.uniform(0.5, 1), 4)),
        threshold=0.8,
        depth=1 if parent else 0,
        parent=parent,
        path=[parent, name(1, number)] if parent else [name(1, number)],
        born_dt=born,
        first_seen_dt=born,
        last_seen_dt=DAY,
        advertisers=[(HOSTILE if number == 1 else f"Brand {number}", 3), ("Shared", 1)],
        advertiser_count=2 + (5 * number) % 7,
        pictures=[Shown(h, 1 + i, 1 - i / 50) for i, h in enumerate(hashes)],
        fell_out=FellOut(4, [Shown("p88", 3), Shown("lost", 1)]) if number % 2 else FellOut(),
        day_banners=[int(v) for v in rng.integers(0, 9, 30)],
        changes=[Change(DAY, "merged_from", other, 3), Change(DAY, "split_from", name(5, 1), 2)],
        pairs=[pair] if number % 3 == 0 else [],
        pair_count=4 if number % 3 == 0 else 0,
        themes={5: 1 + number % 5, 10: 1 + number % 10},
        impressions=seen,
        clicks=min(seen, int(rng.integers(0, 30))),
        tags=[HOSTILE if number == 1 else f"tag{number}", "boots", "山道", "распродажа"] if number % 3 else [],
        audiences=[Audience("region", HOSTILE if number == 2 else "north", 120, 1.8, 1.4, 2.2)] if number % 2 else [],
    )


def trends(clusters: list[Cluster]) -> list[TrendFamily]:
    """Two families, the second without a change; the first also has a cluster that is not shown."""
    names = [*(c.cluster_id for c in clusters[:3]), "unclustered"]
    shown = [Trend(n, "rises" if i < 2 else "falls", 0.035, (0.02, 0.03, 0.04, 0.05)[i], 0.001 * i) for i, n in enumerate(names)]
    counts = {"rises": 2, "falls": 2, "steady": 5, "untested": 3}
    return [TrendFamily(7, "impression_share", 9, counts, shown), TrendFamily(7, "ctr", 9, {"steady": 9}, [])]


def experiment() -> Experiment:
    """Two models; of one the gain is not defined, and one slice has a hostile name."""
    told = {"slice_kind": "all", "slice_value": "", "text": f"in words {HOSTILE}"}
    numbers = {"gain": 0.0213, "gain_low": 0.0101, "gain_high": 0.0325}
    sliced = Compared("logistic", "features", "app_id", HOSTILE, "hurts", "worse", -0.0111, -0.02, -0.0022)
    compared = [
        Compared("logistic", "features", **told, verdict="helps", **numbers),
        Compared("gradient_boosting", "placebo", **told, verdict="can't tell"),
    ]
    return Experiment("2026-01-30-0123abcd", AXIS[-2], [*compared, sliced])


SHARES = ("recall_at_k", "edge_recall", "parted_edges", "crossing_edges", "wrong_scores")
SEARCH = {
    "searched_pictures": 40.0,
    "new_pictures": 38.0,
    "share_of_all_distances": 0.031,
    "weakest_link_cosine": 0.7512,
    "cells": 7.0,
    "cell_p10": 3.0,
    "cell_p50": 5.0,
    "cell_p90": 9.0,
    "cell_p100": 14.0,
    "audited_pictures": 20.0,
    **{f"{name}{end}": 0.9 + 0.01 * i for name in SHARES for i, end in enumerate(("_low", "", "_high"))},
}


def report(count: int = 12, **changes) -> Report:
    rng = np.random.default_rng(count)
    clusters = [cluster(i, count, rng) for i in range(count)]
    days = [Day(AXIS[-1 - i], 100 + i, 50, 70, 9, 12, 3, "current", {"created": 3, "merged_from": 2}) for i in range(3)]
    pairs = [p for c in clusters for p in c.pairs][:6]
    themes = [(slot, [c.cluster_id for c in clusters if c.themes[5] == slot][:4]) for slot in range(1, 6)]
    values = {
        "day": DAY,
        "clustering_id": "2026-01-31-abc",
        "encoder_id": "perceptual",
        "funnel": [Step("Log rows of the day", 1234, "5 refused"), Step("Clusters", count)],
        "days": days,
        "day_axis": AXIS,
        "clusters": clusters,
        "all_clusters": count + 28,
        "sizes": [(1, 3), (2, 5)],
        "cohesions": [(0.9, 3), (0.95, 5)],
        "has_lineage": True,
        "themes": [Theme(5, slot, 2, 9, largest) for slot, largest in themes],
        "outliers": [Outlier(Shown(f"p{80 + i}", 2), clusters[i % count].cluster_id if i % 2 else None) for i in range(8)]
        if count
        else [],
        "all_outliers": 20,
        "duplicates": Duplicates(5, 7, 6, pairs, [(0.95, 2), (0.955, 4)]),
        "failures": [{"status": "truncated", "banners": 3, "examples": [{"image_url": HOSTILE, "error": HOSTILE}]}],
        "rejects": [("dedupe_banners", "no_banner_id_and_no_image_url", 5)],
        "runs": [("dedupe_banners", 1.5, "read 1.0")],
        "search": SEARCH,
        "images": {f"p{i}": image(i) for i in range(90)},
        "thumbnail_px": 112,
        "icon_px": 40,
        "pair_px": 220,
        "trends": trends(clusters) if count else [],
        "max_false_discoveries": 0.05,
        "experiments": [experiment()] if count else [],
    }
    return Report(**{**values, **changes})


def empty_report(**changes) -> Report:
    """Nothing but a clustering without clusters."""
    lists = (
        "funnel",
        "days",
        "clusters",
        "sizes",
        "cohesions",
        "themes",
        "outliers",
        "failures",
        "rejects",
        "runs",
        "trends",
        "experiments",
    )
    none = {k: [] for k in lists}
    rest = {"search": {}, "all_clusters": 0, "all_outliers": 0, "duplicates": Duplicates(), "has_lineage": False, "images": {}}
    return report(1, **{**none, **rest, **changes})
