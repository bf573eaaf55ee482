"""Which banners a day fetches, against a loop that a person can check, over days in any order."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from bannermap.embedding.frames import IMAGES
from bannermap.embedding.statuses import FINAL_FAILURES, STATUSES
from bannermap.embedding.transforms import fetch_rows, fetched_on_later_days, pairs_to_fetch
from bannermap.platform.tables import BANNER_DAYS, IMAGE_FETCHES

START = datetime.date(2026, 2, 25)
DAYS = 5
AGAIN = [s for s in STATUSES if s not in ("ok", *FINAL_FAILURES)]


def day_of(number: int) -> datetime.date:
    return START + datetime.timedelta(days=number)


def naive_due(row: dict | None, day: datetime.date, settings) -> bool:
    """The policy, read aloud."""
    if row is None:
        return True
    if row["status"] in settings.retry_also:
        return True
    if row["status"] == "ok" or row["status"] in FINAL_FAILURES:
        return False
    days_since_try = (day - row["fetched_dt"]).days
    days_since_first_failure = (day - row["first_failed_dt"]).days
    return days_since_try >= settings.retry_after_days and days_since_first_failure <= settings.give_up_after_days


def naive_row(old: dict | None, status: str, day: datetime.date) -> dict:
    if status == "ok":
        return {"status": status, "fetched_dt": day, "first_failed_dt": None}
    first = day if old is None or old["first_failed_dt"] is None else min(day, old["first_failed_dt"])
    return {"status": status, "fetched_dt": day, "first_failed_dt": first}


class World:
    """Banners that change addresses, addresses that mostly fail, days that come in any order and more than once."""

    def __init__(self, spark, seed: int) -> None:
        self.spark, self.rng = spark, np.random.default_rng(seed)
        urls = [None, *(f"https://a.example/{i}" for i in range(60))]
        own = {f"b{i}": self.rng.choice(len(urls), 2) for i in range(90)}
        self.seen = {d: {b: urls[self.rng.choice(two)] for b, two in own.items() if self.rng.random() < 0.8} for d in range(DAYS)}
        choices = ["ok", *self.rng.choice(AGAIN, 8), *self.rng.choice(FINAL_FAILURES, 2)]
        self.outcome = {(u, d): str(self.rng.choice(choices)) for u in urls for d in range(DAYS)}
        self.table: dict[tuple, dict] = {}

    def today(self, number: int):
        rows = [(day_of(number), b, u, None, None, None, 1, 0) for b, u in self.seen[number].items()]
        return self.spark.createDataFrame(rows, BANNER_DAYS.schema)

    def stored(self):
        empty = dict.fromkeys(IMAGE_FETCHES.columns)
        rows = [empty | {"banner_id": b, "image_url": u} | row for (b, u), row in self.table.items()]
        return self.spark.createDataFrame([tuple(r.values()) for r in rows], IMAGE_FETCHES.schema)

    def images(self, pairs: set, number: int):
        empty = dict.fromkeys(IMAGES.columns)
        made = [empty | {"image_url": u, "status": self.outcome[u, number]} for u in {u for _, u in pairs}]
        return self.spark.createDataFrame([tuple(r.values()) for r in made], IMAGES.schema)


def dated(rows: list) -> dict[tuple, dict]:
    """Banner and address -> what the policy looks at."""
    return {(r.banner_id, r.image_url): {c: r[c] for c in ("status", "fetched_dt", "first_failed_dt")} for r in rows}


POLICIES = [(1, 1, 2, ()), (2, 0, 1, ("too_large", "timeout"))]


@pytest.mark.parametrize(("seed", "retry_after", "give_up_after", "retry_also"), POLICIES)
def test_a_day_fetches_what_the_naive_loop_fetches(spark, base_settings, seed, retry_after, give_up_after, retry_also):
    changes = {"retry_after_days": retry_after, "give_up_after_days": give_up_after, "retry_also": retry_also}
    settings = base_settings.fetch.model_copy(update=changes)
    world = World(spark, seed)
    kinds = {"new": 0, "again": 0, "left": 0, "of a later day": 0}
    for number in (2, 0, 2, 1, 3, 4):
        day, pairs = day_of(number), set(world.seen[number].items())
        expected = {p for p in pairs if naive_due(world.table.get(p), day, settings)}
        frame = pairs_to_fetch(world.today(number), world.stored(), day, settings)
        assert {(r.banner_id, r.image_url) for r in frame.collect()} == expected
        rows = fetch_rows(frame, world.images(expected, number), day).collect()
        naive = {p: naive_row(world.table.get(p), world.outcome[p[1], number], day) for p in expected}
        assert dated(rows) == naive and len(rows) == len(naive)
        later = {p: row for p, row in world.table.items() if p in pairs and row["status"] == "ok" and row["fetched_dt"] > day}
        earlier = fetched_on_later_days(world.today(number), world.stored(), day).collect()
        assert dated(earlier) == {p: row | {"fetched_dt": day} for p, row in later.items()} and len(earlier) == len(later)
        kinds["new"] += len(expected - set(world.table))
        kinds["again"] += len(expected & set(world.table))
        kinds["left"] += len(pairs - expected)
        kinds["of a later day"] += len(later)
        world.table |= naive | dated(earlier)
        if retry_after:
            assert not any(naive_due(world.table[p], day, settings) for p in pairs), "a rerun of the day fetches nothing"
    assert kinds.pop("of a later day") and min(kinds.values()) > 10
