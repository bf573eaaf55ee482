"""The last lines of the demo: what went in, what came out, and how well it agrees with the world's truth."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pyspark.sql import functions as F

from bannermap.platform.tables import (
    BANNERS,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    FEATURE_PUBLICATIONS,
    IMAGE_FETCHES,
    REGISTRY_DAYS,
    REJECTS,
    USER_CLUSTER_COUNTS,
)
from bannermap.sample.agreement import Agreement, agreement
from bannermap.sample.logs import FIRST_DAY
from bannermap.sample.truth import BANNERS_FILE, CAMPAIGNS_FILE, groups_as_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bannermap.platform.runs import Run
    from bannermap.platform.settings import Settings
    from bannermap.platform.storage import Warehouse


def summary(warehouse: Warehouse, settings: Settings, day: datetime.date, runs: list[Run]) -> str:
    """The demo's summary as text.

    Args:
        warehouse: after the last day.
        settings: where the world and the report lie.
        day: the last day.
        runs: manifest rows of this demo.
    """
    lines = [
        ("days", ", ".join(str(d) for d in sorted({r.dt for r in runs}))),
        ("banner log", _registry_line(warehouse)),
        ("images", _fetch_line(warehouse)),
        ("clusters", _cluster_line(warehouse, day)),
        ("truth", _truth_line(truth_agreement(warehouse, Path(settings.sample.out), day))),
        ("features", _feature_line(warehouse, day)),
        ("rejected", _reject_line(warehouse)),
        ("seconds", ", ".join(f"{name} {seconds:.0f}" for name, seconds in _seconds(runs).items())),
        ("tables", str(Path(settings.paths.warehouse).resolve())),
        ("report", str(Path(settings.paths.report).resolve() / "index.html")),
    ]
    return "\n".join(f"  {name:<11} {text}" for name, text in lines)


def truth_agreement(warehouse: Warehouse, world: Path, day: datetime.date) -> Agreement:
    """Agreement of a day's newest clustering with the creative groups of that day, over the banners that have a picture.

    Args:
        warehouse: holds the clustering.
        world: the sample world's folder.
        day: of the clustering.
    """
    truth, events = (pd.read_parquet(world / "truth" / name) for name in (BANNERS_FILE, CAMPAIGNS_FILE))
    members = _members(warehouse, day).select("banner_id", "cluster_id").toPandas()
    members = members.merge(truth[["banner_id", "creative"]], on="banner_id")
    codes = pd.factorize(members["cluster_id"])[0]  # -1 where there is no cluster
    groups = groups_as_of(members["creative"], events, (day - FIRST_DAY).days)
    return agreement(np.asarray(codes), groups.to_numpy())


def _members(warehouse: Warehouse, day: datetime.date) -> DataFrame:
    newest = warehouse.read(CLUSTERINGS).where(F.col("dt") == F.lit(day)).orderBy(F.desc("sequence")).limit(1)
    return warehouse.read(CLUSTER_MEMBERS).join(newest.select("clustering_id"), "clustering_id")


def _registry_line(warehouse: Warehouse) -> str:
    rows = warehouse.read(REGISTRY_DAYS).agg(F.sum("log_rows"), F.sum("dau_banners")).collect()[0]
    banners = warehouse.read(BANNERS).count()
    return f"{rows[0]:,} rows, {rows[1]:,} banners per day summed, {banners:,} distinct after dedupe"


def _fetch_line(warehouse: Warehouse) -> str:
    counts = warehouse.read(IMAGE_FETCHES).groupBy("status").count().orderBy(F.desc("count"), "status").collect()
    by_status = {r["status"]: r["count"] for r in counts}
    failed = ", ".join(f"{n} {status}" for status, n in by_status.items() if status != "ok") or "none"
    return f"{by_status.get('ok', 0):,} fetched and decoded; failed: {failed}"


def _cluster_line(warehouse: Warehouse, day: datetime.date) -> str:
    row = warehouse.read(CLUSTERINGS).where(F.col("dt") == F.lit(day)).orderBy(F.desc("sequence")).collect()[0]
    return f"{row['clusters']:,} clusters of {row['banners']:,} banners ({row['nodes']:,} pictures), {row['outliers']:,} outliers"


def _truth_line(found: Agreement) -> str:
    return (
        f"B-cubed F1 {found.b_cubed_f1:.3f} (precision {found.b_cubed_precision:.3f}, recall {found.b_cubed_recall:.3f}), "
        f"adjusted Rand {found.adjusted_rand:.3f} against the creative groups"
    )


def _feature_line(warehouse: Warehouse, day: datetime.date) -> str:
    users = warehouse.read(FEATURE_PUBLICATIONS).where(F.col("dt") == F.lit(day)).orderBy(F.desc("revision")).collect()
    rows = warehouse.read(USER_CLUSTER_COUNTS).where(F.col("dt") == F.lit(day)).count()
    return f"{users[0]['users']:,} users, {rows:,} user x cluster rows as of {day}"


def _reject_line(warehouse: Warehouse) -> str:
    rows = warehouse.read(REJECTS).groupBy("reason").agg(F.sum("rows").alias("rows")).orderBy("reason").collect()
    return ", ".join(f"{r['rows']} {r['reason']}" for r in rows) or "none"


def _seconds(runs: list[Run]) -> dict[str, float]:
    total: dict[str, float] = {}
    for run in runs:
        total[run.job] = total.get(run.job, 0.0) + sum(run.phase_seconds.values())
    return total
