"""`cluster_days` of the job's day, and of older days whose events changed since."""

from __future__ import annotations

import datetime
import hashlib
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.analytics import transforms as t
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import (
    ANALYSED_DAYS,
    BANNER_DAYS,
    CLUSTER_DAYS,
    CLUSTER_MEMBERS,
    EVENT_LOG_DAYS,
    USER_BANNER_DAYS,
    USER_ERASURES,
)

if TYPE_CHECKING:
    from pyspark.sql import Row


def write_days(context: JobContext, clustering_id: str) -> tuple[int, int]:
    """Write the job's day, then every analysed day that was made from other deliveries than are there now.

    Returns:
        Rows of the job's day, and older days made anew.

    Raises:
        InputError: the day's log was not taken in.
    """
    digests = _Digests(context)
    if context.dt not in {log for log, _, _ in digests.logs}:
        raise InputError(f"The event log of {context.dt} was not taken in. Run build_user_features --date {context.dt} first.")
    rows = _write_day(context, context.dt, clustering_id, digests.of(context.dt))
    analysed = context.warehouse.read_or_empty(ANALYSED_DAYS).orderBy("dt", "clustering_id").collect()
    others = [r for r in analysed if (r["dt"], r["clustering_id"]) != (context.dt, clustering_id)]
    changed = [r for r in others if r["inputs_digest"] != digests.of(r["dt"])]
    for row in changed:
        _write_day(context, row["dt"], row["clustering_id"], digests.of(row["dt"]))
    return rows, len(changed)


def _write_day(context: JobContext, day: datetime.date, clustering_id: str, digest: str) -> int:
    """A day by a clustering, whole; its row in analysed_days last, so that a run that is killed does it again."""
    warehouse, lg_k = context.warehouse, context.settings.analytics.users_sketch_lg_k
    of_day = F.col("dt") == F.lit(day)
    partials = warehouse.read(USER_BANNER_DAYS, "build_user_features").where(of_day)
    banner_days = warehouse.read(BANNER_DAYS, "dedupe_banners").where(of_day)
    assignment = t.clustered_banners(warehouse.read(CLUSTER_MEMBERS, "cluster_banners"), clustering_id)
    stamp = {"dt": F.lit(day), "clustering_id": F.lit(clustering_id)}
    rows = t.cluster_day_rows(partials, banner_days, assignment, lg_k).withColumns(stamp).persist()
    warehouse.overwrite_partition(CLUSTER_DAYS, rows, dt=day, clustering_id=clustering_id)
    count = rows.count()
    rows.unpersist()
    analysed = warehouse.spark.createDataFrame([(day, clustering_id, digest)], ANALYSED_DAYS.schema)
    warehouse.merge(ANALYSED_DAYS, analysed)
    return count


class _Digests:
    """Which deliveries ever had the partials of a day built anew, see event_log_days.

    The days that a delivery can change today are too few: a day that lost events by another delivery is among them no more.
    """

    def __init__(self, context: JobContext) -> None:
        logs = context.warehouse.read(EVENT_LOG_DAYS, "build_user_features")
        rebuilt = F.coalesce("rebuilt_dts", "affected_dts").alias("rebuilt_dts")
        self.logs = sorted(map(_log_day, logs.where("complete").select("dt", "digest", rebuilt).collect()))
        erased = context.warehouse.read_or_empty(USER_ERASURES).select("user_digest").distinct().collect()
        self.erased = sorted(r["user_digest"] for r in erased)

    def of(self, day: datetime.date) -> str:
        """Sha256, hexadecimal."""
        texts = [f"{log} {digest}" for log, digest, days in self.logs if day in days]
        return hashlib.sha256("\n".join([*texts, *self.erased]).encode()).hexdigest()


def _log_day(row: Row) -> tuple[datetime.date, str, tuple[datetime.date, ...]]:
    return row["dt"], row["digest"], tuple(row["rebuilt_dts"])
