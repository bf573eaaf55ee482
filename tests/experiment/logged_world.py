"""A small warehouse as other stages leave it, and its rows by loops: labels, what was available when, counts."""

from __future__ import annotations

import datetime
import random
from collections import Counter, defaultdict

import pandas as pd

from bannermap.platform import tables as T

FIRST = datetime.date(2026, 3, 1)
DAYS, USERS, LAG_HOURS = 5, 40, 6
CLUSTERS = {"a": "k1", "b": "k1", "c": "k2", "d": "k3"}
THEME_OF = {"k1": "t1", "k2": "t2", "k3": "t1"}
SLOT_OF = {"t1": 2, "t2": 4}
TYPES, WINDOWS = ("request", "impression", "click"), (1, 7, 15, 30)


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def midnight(number: int) -> datetime.datetime:
    return datetime.datetime.combine(day(number), datetime.time(), datetime.UTC)


def events(seed: int) -> list[dict]:
    """Requests, impressions and clicks; some clicks name their request, some come a day late, some belong to nothing."""
    rng = random.Random(seed)
    found = []

    def add(kind, at, user, banner, request):
        context = {"campaign_id": None, "app_id": rng.choice(["x", "y"]), "placement_id": "p"}
        found.append(
            {"event_id": f"e{len(found):05d}", "event_type": kind, "event_ts": at, "user_id": user, "banner_id": banner}
            | {"request_id": request, **context}
        )

    for number in range(DAYS):
        for user in range(USERS):
            for _ in range(rng.randint(0, 4)):
                at = midnight(number) + datetime.timedelta(seconds=rng.randrange(86_000))
                name, banner = f"u{user}", rng.choice([*CLUSTERS, "e", "new"])
                request = f"r{len(found)}" if rng.random() < 0.5 else None
                add("request", at, name, banner, request)
                add("impression", at, name, banner, request)
                if rng.random() < 0.35:
                    late = at + datetime.timedelta(hours=rng.choice([0.01, 1, 23, 30]))
                    add(
                        "click",
                        min(late, midnight(DAYS) - datetime.timedelta(seconds=1)),
                        name,
                        banner,
                        rng.choice([request, None]),
                    )
    add("click", midnight(3), "u0", "absent", None)
    return found


def labels(rows: list[dict]) -> tuple[set[str], int]:
    """event_ids of clicked impressions, and how many clicks belong to none."""
    shown = [e for e in rows if e["event_type"] == "impression"]
    hit, lost = set(), 0
    for click in (e for e in rows if e["event_type"] == "click"):
        same = [e for e in shown if (e["user_id"], e["banner_id"]) == (click["user_id"], click["banner_id"])]
        if click["request_id"] is not None:
            fits = sorted((e["event_ts"], e["event_id"]) for e in same if e["request_id"] == click["request_id"])[:1]
        else:
            past = [e for e in same if datetime.timedelta(0) <= click["event_ts"] - e["event_ts"] <= datetime.timedelta(hours=24)]
            fits = sorted((e["event_ts"], e["event_id"]) for e in past)[-1:]
        hit |= {event_id for _, event_id in fits}
        lost += not fits
    return hit, lost


def counts(rows: list[dict], as_of: datetime.date, clusters: dict[str, str]) -> dict[tuple[str, str], list[int]]:
    """(user, cluster) -> 12 counts."""
    found = defaultdict(Counter)
    for e in rows:
        age = (as_of - e["event_ts"].date()).days
        for w in WINDOWS:
            if 0 <= age < w:
                found[e["user_id"], clusters.get(e["banner_id"], "unclustered")][w, e["event_type"]] += 1
    return {pair: [c[w, t] for w in WINDOWS for t in TYPES] for pair, c in found.items()}


def publications() -> list[tuple[datetime.date, int, datetime.datetime]]:
    """As-of day, revision, available_at: every day in time, day 1 corrected a day later, day 2 a day late."""
    normal = [(day(n), 1, midnight(n + 1 + (n == 2)) + datetime.timedelta(hours=LAG_HOURS)) for n in range(DAYS)]
    return [*normal, (day(1), 2, midnight(3) + datetime.timedelta(hours=LAG_HOURS))]


def store(warehouse, log_root, rows: list[dict]) -> None:
    """Log and tables."""
    spark = warehouse.spark
    for number in range(DAYS):
        mine = pd.DataFrame([e for e in rows if e["event_ts"].date() == day(number)])
        mine["event_ts"] = mine["event_ts"].dt.as_unit("us")
        folder = log_root / f"dt={day(number)}"
        folder.mkdir(parents=True)
        texts = [c for c in mine if c != "event_ts"]
        mine.astype(dict.fromkeys(texts, "string")).to_parquet(folder / "part.parquet")

    def put(table, dicts):
        data = [tuple(d.get(c) for c in table.columns) for d in dicts]
        warehouse.append(table, spark.createDataFrame(data, table.schema))

    put(T.EVENT_LOG_DAYS, [{"dt": day(n), "complete": True} for n in range(DAYS)])
    put(T.CLUSTERINGS, [{"clustering_id": f"{day(n)}-c", "dt": day(n), "sequence": 1} for n in range(DAYS)])
    ids = [f"{day(n)}-c" for n in range(DAYS)]
    member = {b: {"banner_id": b, "cluster_id": c, "themes": {5: THEME_OF[c]}} for b, c in CLUSTERS.items()}
    put(
        T.CLUSTER_MEMBERS,
        [{"clustering_id": i, **m} for i in ids for m in [*member.values(), {"banner_id": "e", "themes": {5: "t2"}}]],
    )
    put(T.CLUSTERS, [{"clustering_id": i, "cluster_id": c, "themes": {5: t}} for i in ids for c, t in THEME_OF.items()])
    put(T.THEMES, [{"clustering_id": i, "k": 5, "slot": s, "theme_id": t} for i in ids for t, s in SLOT_OF.items()])
    put(
        T.BANNER_ASSIGNMENTS,
        [{"dt": day(3), "clustering_id": ids[2], "banner_id": "new", "cluster_id": "k2", "themes": {5: "t2"}}],
    )
    published, long = [], []
    for as_of, revision, at in publications():
        name = {"dt": as_of, "clustering_id": f"{as_of}-c", "revision": revision, "available_at": at}
        published.append({**name, "users": 1})
        found = counts(rows, as_of, CLUSTERS)
        columns = T.window_columns()
        long += [{**name, "user_id": u, "cluster_id": c, **dict(zip(columns, n, strict=True))} for (u, c), n in found.items()]
    put(T.FEATURE_PUBLICATIONS, published)
    put(T.USER_CLUSTER_COUNTS, long)
    daily = Counter((e["event_ts"].date(), e["user_id"], e["banner_id"], e["event_type"]) for e in rows)
    keys = sorted({k[:3] for k in daily})
    put(
        T.USER_BANNER_DAYS,
        [dict(zip(("dt", "user_id", "banner_id"), k, strict=True)) | {f"{t}s": daily[*k, t] for t in TYPES} for k in keys],
    )
