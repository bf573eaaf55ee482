"""The registry against a dictionary-and-loops oracle: days in any order, twice, corrected, backfilled."""

from __future__ import annotations

import datetime
import hashlib
import random

import pandas as pd
import pytest

from bannermap.platform.cli import run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import BANNER_ATTRIBUTES, BANNER_DAYS, BANNERS, REGISTRY_DAYS, REJECTS, RUNS
from bannermap.registry.job import STAGE

FIRST = datetime.date(2026, 1, 1)


def random_day(rng: random.Random, rows: int) -> list[dict]:
    """Rows with few ids and values, so that repeats, conflicts, blanks and rows without identity all occur."""
    return [
        {
            "banner_id": rng.choice([None, "", "a", "b", "c", "d", "e", " a "]),
            "image_url": rng.choice([None, "x.png", "y.png", "z.png"]),
            "advertiser_id": rng.choice([None, "", "adv1", "adv2"]),
            "landing_url": rng.choice([None, "http://l1", "http://l2"]),
            "text": rng.choice([None, "buy", "sell"]),
            "surplus": "not a declared column",
        }
        for _ in range(rows)
    ]


def write_day(root, day: datetime.date, rows: list[dict]) -> None:
    folder = root / f"dt={day}"
    folder.mkdir(parents=True, exist_ok=True)
    columns = dict.fromkeys(("banner_id", *BANNER_ATTRIBUTES, "surplus"), "string")
    pd.DataFrame(rows, columns=list(columns)).astype(columns).to_parquet(folder / "part.parquet")


def oracle(days: dict[datetime.date, list[dict]]) -> tuple[dict, dict]:
    """Registry and day table, by loops over the logs as they stand in the end."""
    seen: dict[str, dict[datetime.date, list[dict]]] = {}
    for day, rows in days.items():
        for row in rows:
            clean = {c: (row[c] or "").strip() or None for c in ("banner_id", *BANNER_ATTRIBUTES)}
            if clean["banner_id"] is None and clean["image_url"] is None:
                continue
            name = clean["banner_id"] or "url:" + hashlib.sha256(clean["image_url"].encode()).hexdigest()
            seen.setdefault(name, {}).setdefault(day, []).append(clean)
    banners = {name: oracle_banner(by_day) for name, by_day in seen.items()}
    return banners, {day: oracle_day(day, seen) for day in days}


def oracle_banner(by_day: dict) -> tuple:
    values = []
    for attribute in BANNER_ATTRIBUTES:
        newest = None
        for day in sorted(by_day):
            present = [r[attribute] for r in by_day[day] if r[attribute] is not None]
            newest = max(present) if present else newest
        values.append(newest)
    return (*values, min(by_day), max(by_day), len(by_day))


def oracle_day(day: datetime.date, seen: dict) -> tuple:
    trailing = {day - datetime.timedelta(days=n) for n in range(30)}
    today = [by_day[day] for by_day in seen.values() if day in by_day]
    conflicts = sum(any(len({r[a] for r in rows if r[a] is not None}) > 1 for a in BANNER_ATTRIBUTES) for rows in today)
    new = sum(min(by_day) == day for by_day in seen.values())
    return sum(map(len, today)), len(today), sum(bool(trailing & set(d)) for d in seen.values()), new, conflicts


def stored(warehouse: Warehouse) -> tuple[dict, dict]:
    banners = {r[0]: tuple(r[1:]) for r in warehouse.read(BANNERS).collect()}
    return banners, {r[0]: tuple(r[1:]) for r in warehouse.read(REGISTRY_DAYS).collect()}


@pytest.fixture
def settings(base_settings, tmp_path):
    paths = base_settings.paths.model_copy(update={"banner_log": str(tmp_path / "log")})
    registry = base_settings.registry.model_copy(update={"min_share_of_previous_day": 0.0})
    return base_settings.model_copy(update={"paths": paths, "registry": registry})


@pytest.mark.slow
def test_any_order_twice_and_corrected_gives_the_oracles_registry(settings, warehouse, tmp_path):
    rng = random.Random(1)
    offsets = [0, 1, 2, 29, 30, 45]  # around the edges of the 30-day window
    days = {FIRST + datetime.timedelta(days=n): random_day(rng, rng.randint(1, 25)) for n in offsets}
    order = rng.sample(sorted(days), len(days))
    stale = order[0]
    write_day(tmp_path / "log", stale, random_day(rng, 30))  # first delivered wrong, then corrected below
    run_stage(STAGE, warehouse, settings, stale)
    for day in [*order, rng.choice(order)]:
        write_day(tmp_path / "log", day, days[day])
        run_stage(STAGE, warehouse, settings, day)
    assert stored(warehouse) == oracle(days)
    assert warehouse.read(BANNER_DAYS).groupBy("dt", "banner_id").count().where("count > 1").isEmpty()


def test_rows_without_identity_are_kept_as_rejects_and_counted(settings, warehouse, tmp_path):
    nameless = dict.fromkeys(("banner_id", *BANNER_ATTRIBUTES)) | {"text": "lost?"}
    write_day(tmp_path / "log", FIRST, [nameless, nameless, nameless | {"banner_id": "a"}])
    run = run_stage(STAGE, warehouse, settings, FIRST)
    (row,) = warehouse.read(REJECTS).collect()
    assert (row.rows, row.reason, "lost?" in row.row_json) == (2, "no_banner_id_and_no_image_url", True)
    assert run.rejected == {"no_banner_id_and_no_image_url": 2}
    assert (run.rows_in, run.rows_out) == (3, 1)


def test_an_absent_empty_or_shrunken_day_is_refused_and_changes_nothing(settings, warehouse, tmp_path):
    rng = random.Random(3)
    write_day(tmp_path / "log", FIRST, random_day(rng, 40))
    run_stage(STAGE, warehouse, settings, FIRST)
    before = stored(warehouse)
    strict = settings.model_copy(update={"registry": settings.registry.model_copy(update={"min_share_of_previous_day": 0.5})})
    following = FIRST + datetime.timedelta(days=1)
    with pytest.raises(InputError, match="does not exist"):
        run_stage(STAGE, warehouse, settings, following)
    write_day(tmp_path / "log", following, [])
    with pytest.raises(InputError, match="no rows"):
        run_stage(STAGE, warehouse, settings, following)
    write_day(tmp_path / "log", following, random_day(rng, 5))
    with pytest.raises(InputError, match="incomplete"):
        run_stage(STAGE, warehouse, strict, following)
    assert stored(warehouse) == before
    assert [r.status for r in warehouse.read(RUNS).orderBy("started_at").collect()] == ["succeeded", *["failed"] * 3]
