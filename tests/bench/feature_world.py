"""Drawn users with tastes, their events over days, and the warehouse that these would have left: what bench_features runs on."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bannermap.features.layout import laid_out
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import CLUSTER_MEMBERS, CLUSTERINGS, EVENT_LOG_DAYS, EVENT_TYPES, THEMES, user_banner_days

FIRST = datetime.date(2026, 1, 1)
TASTES = 12
DAYS_A_COMMIT = 5


@dataclass(frozen=True)
class World:
    """Four of five events of a user are of its tastes, the rest of any cluster; within a cluster few banners are popular.

    Attributes:
        events: over all days.
        users: each about as active as the other, but for a giant.
        banners: in all.
        clusters: of them.
        days: days with events.
        giant_user: share of all events that user 0 has.
        giant_cluster: share of all banners that cluster 0 has; 0 for clusters alike.
        moved: share of banners that each day's clustering puts elsewhere than the day's before.
    """

    events: int
    users: int
    banners: int
    clusters: int
    days: int
    giant_user: float = 0.0
    giant_cluster: float = 0.0
    moved: float = 0.01

    @property
    def dates(self) -> list[datetime.date]:
        """All days."""
        return [FIRST + datetime.timedelta(days=n) for n in range(self.days)]

    @cached_property
    def popular(self) -> np.ndarray:
        """Banner ids as numbers in an order that says nothing of their clusters."""
        return np.random.default_rng(1).permutation(self.banners)

    @cached_property
    def tastes(self) -> np.ndarray:
        """int (users, TASTES): groups of banners that a user likes."""
        return np.random.default_rng(2).integers(0, self.clusters, (self.users, TASTES))

    def clusters_of(self, day: int) -> np.ndarray:
        """int (banners,): the cluster of each banner as of a day."""
        placed = np.arange(self.banners) * self.clusters // self.banners
        if self.giant_cluster:
            placed = np.where(np.random.default_rng(3).random(self.banners) < self.giant_cluster, 0, placed)
        for n in range(day):
            rng = np.random.default_rng((4, n))
            some = rng.integers(0, self.banners, int(self.banners * self.moved))
            placed[some] = rng.integers(0, self.clusters, len(some))
        return placed

    def events_of(self, day: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """User, banner and event type of each event of a day, as numbers."""
        rng, count = np.random.default_rng((5, day)), self.events // self.days
        users = rng.integers(0, self.users, count)
        users[rng.random(count) < self.giant_user] = 0
        liked = np.where(
            rng.random(count) < 0.8,
            self.tastes[users, rng.integers(0, TASTES, count)],
            rng.integers(0, self.clusters, count),
        )
        of_group = self.banners // self.clusters
        banners = liked * of_group + (of_group * rng.random(count) ** 2).astype(np.int64)
        return users, self.popular[banners], rng.choice(len(EVENT_TYPES), count, p=[0.6, 0.3, 0.1])


def names(prefix: str, numbers: np.ndarray) -> pa.Array:
    """Ids as ad servers have them: 16 hexadecimal digits."""
    distinct, places = np.unique(numbers, return_inverse=True)
    words = pa.array([f"{prefix}{int(n) * 0x9E3779B97F4A7C15 % 2**60:015x}" for n in distinct], pa.string())
    return words.take(pa.array(places))


def write_partials(warehouse: Warehouse, world: World, buckets: int, aside: Path) -> int:
    """`user_banner_days` as the stage writes it, a few days a commit; the number of rows."""
    table, rows, dates = user_banner_days(buckets), 0, world.dates
    for start in range(0, world.days, DAYS_A_COMMIT):
        days = dates[start : start + DAYS_A_COMMIT]
        for number in range(start, start + len(days)):
            rows += _write_day(world, number, aside / f"dt={dates[number]}.parquet")
        frame = warehouse.spark.read.parquet(*[str(aside / f"dt={day}.parquet") for day in days])
        bucketed = frame.selectExpr("*", f"CAST(pmod(xxhash64(user_id), {buckets}) AS INT) AS user_bucket")
        warehouse.overwrite_partitions(table, laid_out(bucketed), "dt", days)
        for day in days:
            (aside / f"dt={day}.parquet").unlink()
    return rows


def _write_day(world: World, number: int, path: Path) -> int:
    users, banners, types = world.events_of(number)
    keys, places = np.unique(users * world.banners + banners, return_inverse=True)
    counts = np.bincount(places * len(EVENT_TYPES) + types, minlength=len(keys) * len(EVENT_TYPES)).astype(np.int32)
    columns = {"dt": pa.array([world.dates[number]] * 1).take(pa.array(np.zeros(len(keys), np.int64)))}
    columns |= {"user_id": names("u", keys // world.banners), "banner_id": names("b", keys % world.banners)}
    columns |= {f"{e}s": pa.array(counts[n :: len(EVENT_TYPES)]) for n, e in enumerate(EVENT_TYPES)}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return len(keys)


def write_log(world: World, number: int, folder: Path) -> None:
    """A day of the event log."""
    users, banners, types = world.events_of(number)
    day = datetime.datetime.combine(world.dates[number], datetime.time())
    seconds = np.random.default_rng((6, number)).integers(0, 86_400, len(users))
    columns = {
        "event_id": pa.array([f"{number:02d}{n:010x}" for n in range(len(users))]),
        "event_type": pa.array(list(EVENT_TYPES)).take(pa.array(types)),
        "event_ts": pa.array(np.datetime64(day, "us") + seconds.astype("timedelta64[s]")),
        "user_id": names("u", users),
        "banner_id": names("b", banners),
    }
    folder = folder / f"dt={world.dates[number]}"
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "part.parquet")


def assignment(world: World, number: int) -> pa.Table:
    """banner_id and cluster_id of a day's clustering."""
    placed = world.clusters_of(number)[np.argsort(world.popular)]
    cluster_ids = pa.array([f"c{n * 0x9E3779B9 % 2**32:08x}" for n in range(world.clusters)])
    return pa.table({"banner_id": names("b", np.arange(world.banners)), "cluster_id": cluster_ids.take(pa.array(placed))})


def write_clusterings(warehouse: Warehouse, world: World, days: Sequence[int], themes: int) -> None:
    """A clustering of its own for each of some days, as the stage before leaves it."""
    spark, made, slots, members = warehouse.spark, [], [], []
    for number in days:
        name, table = f"{world.dates[number]}-{number:012x}", assignment(world, number)
        made.append(tuple({"clustering_id": name, "dt": world.dates[number], "sequence": 1}.get(c) for c in CLUSTERINGS.columns))
        slots += [(name, themes, n + 1, f"t{n}", world.dates[number], 1, 1, [1.0]) for n in range(themes)]
        members.append(table.append_column("clustering_id", pa.array([name] * len(table))))
    frame = spark.createDataFrame(pa.concat_tables(members))
    theme = f"map({themes}, concat('t', string(abs(hash(cluster_id)) % {themes})))"
    lacks = [c for c in CLUSTER_MEMBERS.columns if c not in ("clustering_id", "banner_id", "cluster_id", "is_outlier", "themes")]
    whole = frame.selectExpr("*", "false AS is_outlier", f"{theme} AS themes", *(f"null AS {c}" for c in lacks))
    partitions = [
        {"clustering_id": row[0]} for row in ((dict(zip(CLUSTERINGS.columns, m, strict=True))["clustering_id"],) for m in made)
    ]
    warehouse.overwrite_partitions_of_each([(CLUSTER_MEMBERS, whole)], partitions)
    warehouse.overwrite_partitions_of_each([(THEMES, spark.createDataFrame(slots, THEMES.schema))], partitions)
    warehouse.merge(CLUSTERINGS, spark.createDataFrame(made, CLUSTERINGS.schema))


def note_log_days(warehouse: Warehouse, world: World, days: Sequence[int]) -> None:
    """Days of the log as taken in."""
    events, dates = world.events // world.days, world.dates
    rows = [(dates[n], events, events, "", [dates[n]], [dates[n]], None, True) for n in days]
    warehouse.merge(EVENT_LOG_DAYS, warehouse.spark.createDataFrame(rows, EVENT_LOG_DAYS.schema))
