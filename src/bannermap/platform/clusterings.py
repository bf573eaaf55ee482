"""Which clustering a day's figures are made by: one of `cluster_banners`, or one that a saved model made."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import CLUSTERINGS, MODEL_CLUSTERINGS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def known_clusterings(context: JobContext) -> DataFrame:
    """The clusterings that figures may be made by, with the columns of `CLUSTERINGS`.

    All of `cluster_banners`; or, where ``assignment.model_id`` names a model, all that `apply_strategy` made by it. What belongs
    to one, such as its members, lies in the same tables either way.

    Raises:
        InputError: there is not one of that kind.
    """
    from pyspark.sql import functions as F

    model = context.settings.assignment.model_id
    if model is None:
        return context.warehouse.read(CLUSTERINGS, "cluster_banners")
    made = context.warehouse.read(MODEL_CLUSTERINGS, "apply_strategy").where(F.col("model_id") == model)
    return CLUSTERINGS.select(made)


def pinned_clustering(context: JobContext) -> str:
    """`pinned_clusterings` of the run's day."""
    return pinned_clusterings(context, [context.dt])[context.dt]


def pinned_clusterings(context: JobContext, days: Sequence[datetime.date]) -> dict[datetime.date, str]:
    """For each day the newest clustering made as of the day itself; one of another day is never used: a later one would leak.

    Raises:
        InputError: a day has none.
    """
    from pyspark.sql import functions as F

    made = known_clusterings(context).where(F.col("dt").isin(list(days)))
    rows = made.orderBy("sequence", "clustering_id").select("dt", "clustering_id").collect()
    newest = {r["dt"]: str(r["clustering_id"]) for r in rows}
    missing = [day for day in days if day not in newest]
    if missing:
        model = context.settings.assignment.model_id
        more = f" (nor as of {len(missing) - 1} later days of the range)" if len(missing) > 1 else ""
        what, how = (
            ("clustering", "cluster_banners") if model is None else (f"clustering by {model}", "apply_strategy --model FOLDER")
        )
        raise InputError(f"There is no {what} as of {missing[0]}{more}. Run {how} --date {missing[0]} first.")
    return newest
