"""The job `dedupe_banners`: a day's banner log into banner_days, banners and registry_days."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.platform.cli import Stage
from bannermap.platform.errors import InputError
from bannermap.platform.logs import read_log_day
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import BANNER_DAYS, BANNER_LOG, BANNERS, REGISTRY_DAYS
from bannermap.registry import transforms as t

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def run(context: JobContext) -> None:
    """Deduplicate one day and bring the registry up to date with it.

    Each table written is a function of the log and of the other days' rows, so days may come in any order or twice, and a
    run that was killed is completed by running it again.
    """
    with context.phase("read the banner log"):
        spark = context.warehouse.spark
        log = read_log_day(spark, BANNER_LOG, context.settings.paths.banner_log, context.dt)
        identified = t.with_identity(log).persist()
        today = t.daily_banners(identified).persist()
        _check_complete(context, identified, today)
    earlier = context.warehouse.read_or_empty(BANNER_DAYS).where(F.col("dt") != F.lit(context.dt))
    known = context.warehouse.read_or_empty(BANNERS)
    with context.phase("write banner_days"):
        context.reject(t.rejected_rows(identified))
        context.warehouse.overwrite_partition(BANNER_DAYS, today, dt=context.dt)
    with context.phase("merge into banners"):
        banners = _merge_banners(context, earlier.unionByName(today), known, today)
    with context.phase("count days"):
        _write_days(context, earlier.unionByName(today), banners)
    identified.unpersist()
    today.unpersist()


def _check_complete(context: JobContext, identified: DataFrame, today: DataFrame) -> None:
    rows, accepted = identified.count(), today.agg(F.sum("log_rows")).collect()[0][0] or 0
    context.run.rows_in, context.run.rows_out = rows, today.count()
    context.run.metrics["conflicts_in_day"] = today.where("conflicting_attributes > 0").count()
    if accepted == 0:
        raise InputError(
            f"All {rows} rows of the banner log of {context.dt} lack both banner_id and image_url; nothing was changed."
        )
    previous = _previous_rows(context)
    least = previous * context.settings.registry.min_share_of_previous_day
    if accepted < least:
        raise InputError(
            f"The banner log of {context.dt} has {accepted} usable rows, the day before it had {previous}: it looks incomplete "
            "and nothing was changed. Deliver the rest, or lower registry.min_share_of_previous_day if the day was that small."
        )


def _previous_rows(context: JobContext) -> int:
    days = context.warehouse.read_or_empty(REGISTRY_DAYS).where(F.col("dt") < F.lit(context.dt))
    newest = days.orderBy(F.desc("dt")).select("log_rows").head(1)
    return int(newest[0]["log_rows"]) if newest else 0


def _merge_banners(context: JobContext, all_days: DataFrame, known: DataFrame, today: DataFrame) -> DataFrame:
    affected = t.affected_banners(today, known, context.dt)
    registry = t.registry_rows(all_days.join(affected, "banner_id", "left_semi")).persist()
    context.run.metrics["conflicts_over_days"] = registry.where("conflicts_over_days > 0").count()
    day = f"DATE'{context.dt.isoformat()}'"
    gone = f"old.first_seen_dt <= {day} AND old.last_seen_dt >= {day}"
    context.warehouse.merge(BANNERS, t.banners_of(registry), delete_absent_where=gone)
    return known.join(affected, "banner_id", "left_anti").unionByName(t.banners_of(registry))


def _write_days(context: JobContext, all_days: DataFrame, banners: DataFrame) -> None:
    """Recount the days whose windows hold this day; of the others only the number of new banners can have changed."""
    first, last = (context.dt + datetime.timedelta(days=n) for n in (1 - t.MAU_DAYS, t.MAU_DAYS - 1))
    near = all_days.where(F.col("dt").between(F.lit(first), F.lit(last)))
    recounted = F.col("dt").between(F.lit(context.dt), F.lit(last))
    kept = context.warehouse.read_or_empty(REGISTRY_DAYS).where(~recounted)
    figures = t.day_figures(near).where(recounted).unionByName(kept.select("dt", "log_rows", "dau_banners", "conflicts"))
    trailing = t.trailing_distinct(near).where(recounted).unionByName(kept.select("dt", "mau_banners"))
    rows = t.registry_days(figures, trailing, banners).localCheckpoint()
    context.run.metrics.update(_today_figures(rows, context.dt))
    context.warehouse.merge(REGISTRY_DAYS, rows)


def _today_figures(days: DataFrame, day: datetime.date) -> dict[str, float]:
    row = days.where(F.col("dt") == F.lit(day)).select("dau_banners", "mau_banners", "new_banners").collect()[0]
    return {name: float(value) for name, value in row.asDict().items()}


PHASES = ("read the banner log", "write banner_days", "merge into banners", "count days")
STAGE = Stage("dedupe_banners", run, PHASES, writes_alone="registry")
"""Alone: a banner's row and a day's counts are made of all days' rows, so of two days at once each would leave out the other, and
Delta refuses neither when their commits do not meet."""
