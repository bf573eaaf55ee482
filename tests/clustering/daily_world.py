"""Days of banners with known vectors, stored as the stages before the clustering would leave them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
from worlds import unit

from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import BANNER_DAYS, EMBEDDINGS, IMAGE_FETCHES

FIRST = datetime.date(2026, 5, 1)
ENCODER = "test"


@dataclass(frozen=True)
class Shown:
    """A banner, its picture, and the days on which it is served."""

    banner_id: str
    pixel_hash: str
    vector: np.ndarray
    days: tuple[int, ...]
    width: int
    height: int
    bytes: int


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def growing_world(rng: np.random.Generator, days: int) -> list[Shown]:
    """Groups that start on different days and grow, copies of pictures, strangers, and bridges that join groups late."""
    centres = unit(rng.normal(size=(7, 12)))
    banners: list[Shown] = []

    def show(vector: np.ndarray, first: int, pixel: str | None = None) -> None:
        name = f"b{len(banners):03d}-{rng.integers(10**6)}"
        last = int(rng.integers(first, days))
        shape = (int(rng.choice([100, 200])), int(rng.choice([50, 90])), int(rng.choice([4000, 9000])))
        banners.append(Shown(name, pixel or f"p-{name}", vector, tuple(range(first, last + 1)), *shape))

    for group, centre in enumerate(centres):
        start = int(rng.integers(0, days))
        for first in range(start, days):
            for vector in unit(centre + rng.normal(scale=0.12, size=(int(rng.integers(1, 5)), 12))):
                show(vector, first)
                if rng.random() < 0.3:
                    show(unit(vector[None] + rng.normal(scale=0.005, size=(1, 12)))[0], first)
                if rng.random() < 0.15:
                    show(vector, first, banners[-1].pixel_hash if banners[-1].vector is vector else None)
        if group % 3 == 0:
            show(unit((centre + centres[(group + 1) % 7])[None])[0], days - 1)
    for vector in unit(rng.normal(size=(4, 12))):
        show(vector, 0)
    return banners


def store(warehouse: Warehouse, banners: list[Shown], numbers: range) -> None:
    """Banners of some days, every file fetched on its banner's first day."""
    spark = warehouse.spark
    for number in numbers:
        rows = [(day(number), b.banner_id, f"u/{b.banner_id}", None, None, None, 1, 0) for b in banners if number in b.days]
        warehouse.overwrite_partition(BANNER_DAYS, spark.createDataFrame(rows, BANNER_DAYS.schema), dt=day(number))
    fetches = [
        (b.banner_id, f"u/{b.banner_id}", "ok", None, f"c-{b.banner_id}", b.pixel_hash, b.bytes, "png", b.width, b.height, 1)
        for b in banners
    ]
    dated = [(*row, day(b.days[0]), None) for row, b in zip(fetches, banners, strict=True)]
    warehouse.merge(IMAGE_FETCHES, spark.createDataFrame(dated, IMAGE_FETCHES.schema))
    vectors = [(ENCODER, f"c-{b.banner_id}", [float(v) for v in b.vector], None) for b in banners]
    warehouse.insert_new(EMBEDDINGS, spark.createDataFrame(vectors, EMBEDDINGS.schema))
