"""Which clustering a day's figures are made by."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import CLUSTERINGS


def pinned_clustering(context: JobContext) -> str:
    """`pinned_clusterings` of the run's day."""
    return pinned_clusterings(context, [context.dt])[context.dt]


def pinned_clusterings(context: JobContext, days: Sequence[datetime.date]) -> dict[datetime.date, str]:
    """For each day the newest clustering made as of the day itself; one of another day is never used: a later one would leak.

    Raises:
        InputError: a day has none.
    """
    from pyspark.sql import functions as F

    made = context.warehouse.read(CLUSTERINGS, "cluster_banners").where(F.col("dt").isin(list(days)))
    rows = made.orderBy("sequence", "clustering_id").select("dt", "clustering_id").collect()
    newest = {r["dt"]: str(r["clustering_id"]) for r in rows}
    missing = [day for day in days if day not in newest]
    if missing:
        more = f" (nor as of {len(missing) - 1} later days of the range)" if len(missing) > 1 else ""
        raise InputError(f"There is no clustering as of {missing[0]}{more}. Run cluster_banners --date {missing[0]} first.")
    return newest
