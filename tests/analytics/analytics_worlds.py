"""Tables as other stages leave them, from plain rows."""

from __future__ import annotations

import datetime

from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    BANNER_DAYS,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    EVENT_LOG_DAYS,
    USER_BANNER_DAYS,
    Table,
)

FIRST = datetime.date(2026, 2, 1)


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def frame(warehouse: Warehouse, table: Table, rows: list[dict]):
    return warehouse.spark.createDataFrame([tuple(r.get(c) for c in table.columns) for r in rows], table.schema)


def cluster(warehouse: Warehouse, as_of: datetime.date, assignment: dict[str, str], outliers: tuple[str, ...] = ()) -> str:
    """A clustering of a day."""
    name = f"{as_of}-c1"
    rows = [{"banner_id": b, "cluster_id": c, "is_outlier": False} for b, c in assignment.items()]
    rows += [{"banner_id": b, "is_outlier": True} for b in outliers]
    members = [r | {"clustering_id": name, "pixel_hash": f"p-{r['banner_id']}"} for r in rows]
    warehouse.overwrite_partition(CLUSTER_MEMBERS, frame(warehouse, CLUSTER_MEMBERS, members), clustering_id=name)
    made = {"clustering_id": name, "dt": as_of, "sequence": 1, "state": "current", "encoder_id": "e"}
    warehouse.merge(CLUSTERINGS, frame(warehouse, CLUSTERINGS, [made]))
    return name


def deliver(warehouse: Warehouse, log_day: datetime.date, digest: str, days: dict[datetime.date, list[dict]]) -> None:
    """Partials of some days as a log day leaves them."""
    rows = [row for partials in days.values() for row in partials]
    warehouse.overwrite_partitions(USER_BANNER_DAYS, frame(warehouse, USER_BANNER_DAYS, rows), "dt", list(days))
    noted = {"dt": log_day, "digest": digest, "affected_dts": sorted(days), "complete": True}
    warehouse.merge(EVENT_LOG_DAYS, frame(warehouse, EVENT_LOG_DAYS, [noted]))


def log_banners(warehouse: Warehouse, log_day: datetime.date, rows: list[dict]) -> None:
    warehouse.overwrite_partition(BANNER_DAYS, frame(warehouse, BANNER_DAYS, rows), dt=log_day)
