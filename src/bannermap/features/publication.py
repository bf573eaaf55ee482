"""Publishing features as of a day in revisions: what was published stays, a correction stands beside it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.features import transforms as t
from bannermap.features.intake import newest_log_day
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import (
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    FEATURE_PUBLICATIONS,
    THEMES,
    USER_CLUSTER_COUNTS,
    USER_FEATURES,
    WIDE_SLOTS,
    user_feature_lists,
    user_features_wide,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Revision:
    """One publication to be written.

    Attributes:
        as_of: last day of its windows.
        clustering_id: the clustering that it counts by.
        number: 1 for the first, later ones correct it.
        digest: of partials and assignment.
        available_at: from when a server could have had it, UTC.
    """

    as_of: datetime.date
    clustering_id: str
    number: int
    digest: str
    available_at: datetime.datetime

    @property
    def partition(self) -> dict[str, object]:
        """The partition that it fills in each feature table."""
        return {"dt": self.as_of, "clustering_id": self.clustering_id, "revision": self.number}


def pinned_clustering(context: JobContext) -> str:
    """The newest clustering made as of the day itself; one of another day is never used: a later one would leak.

    Raises:
        InputError: there is none.
    """
    made = context.warehouse.read(CLUSTERINGS, "cluster_banners").where(F.col("dt") == F.lit(context.dt))
    newest = made.orderBy(F.desc("sequence"), F.desc("clustering_id")).head(1)
    if not newest:
        raise InputError(f"There is no clustering as of {context.dt}. Run cluster_banners --date {context.dt} first.")
    return str(newest[0]["clustering_id"])


def published_with(context: JobContext, event_days: Iterable[datetime.date]) -> list[tuple[datetime.date, str]]:
    """As-of days with their clusterings that are published and whose windows hold one of the event days, ascending."""
    reach = t.LONGEST_WINDOW_DAYS
    rows = context.warehouse.read_or_empty(FEATURE_PUBLICATIONS).select("dt", "clustering_id").distinct().collect()
    days = set(event_days)
    return sorted((r["dt"], r["clustering_id"]) for r in rows if any(0 <= (r["dt"] - d).days < reach for d in days))


def publish(context: JobContext, partials: DataFrame, as_of: datetime.date, clustering_id: str, rewrite: bool) -> int | None:
    """Bring the features of one as-of day and clustering up to date.

    Equal inputs are the newest revision, written again in place if ``rewrite``; other inputs are a new revision beside it.

    Returns:
        Rows of user_features written, or None where nothing had to be.

    Raises:
        InputError: the clustering's members are gone.
    """
    assignment = t.clustered_banners(context.warehouse.read(CLUSTER_MEMBERS, "cluster_banners"), clustering_id).persist()
    reach = t.partials_in_reach(partials, as_of)
    revision, known = _revision(context, as_of, clustering_id, t.inputs_digest(reach, assignment))
    users = _write(context, revision, reach, assignment) if rewrite or not known else None
    assignment.unpersist()
    return users


def _revision(context: JobContext, as_of: datetime.date, clustering_id: str, digest: str) -> tuple[Revision, bool]:
    """The revision that these inputs are, and whether it is published already."""
    here = (F.col("dt") == F.lit(as_of)) & (F.col("clustering_id") == clustering_id)
    rows = context.warehouse.read_or_empty(FEATURE_PUBLICATIONS).where(here)
    # In microseconds: a collected timestamp would be in the time zone of the machine.
    published = rows.withColumn("available_us", F.unix_micros("available_at")).orderBy(F.desc("revision")).head(1)
    if published and published[0]["inputs_digest"] == digest:
        available_at = EPOCH + datetime.timedelta(microseconds=published[0]["available_us"])
        return Revision(as_of, clustering_id, published[0]["revision"], digest, available_at), True
    number = published[0]["revision"] + 1 if published else 1
    return Revision(as_of, clustering_id, number, digest, _available_at(context, as_of, first=not published)), False


def _available_at(context: JobContext, as_of: datetime.date, first: bool) -> datetime.datetime:
    """End of the day that brought the last of the data, plus the lag.

    A first revision waits for the log days that hold events of its windows: the as-of day, or a later one where the day is
    published only after late events came. A correction cannot be older than the newest log day taken in.
    """
    reach = [as_of - datetime.timedelta(days=n) for n in range(t.LONGEST_WINDOW_DAYS)]
    day = newest_log_day(context, reach if first else None)
    end = datetime.datetime.combine(max(day, as_of) + datetime.timedelta(days=1), datetime.time(), datetime.UTC)
    return end + datetime.timedelta(hours=context.settings.features.available_lag_hours)


def _write(context: JobContext, revision: Revision, reach: DataFrame, assignment: DataFrame) -> int:
    """All feature tables of a revision; its row in feature_publications last, so that readers see whole revisions only."""
    stamp = {
        "dt": F.lit(revision.as_of),
        "clustering_id": F.lit(revision.clustering_id),
        "revision": F.lit(revision.number),
        "available_at": F.lit(revision.available_at),
    }
    features = t.user_feature_rows(reach, assignment, revision.as_of).persist()
    users = features.count()
    wide = context.settings.features
    slots = _write_slots(context, revision.clustering_id, wide.wide_themes)
    by_theme = _theme_rows(context, revision, reach).persist()
    frames = [
        (USER_CLUSTER_COUNTS, t.long_rows(features)),
        (USER_FEATURES, features),
        (user_features_wide(wide.wide_themes, wide.wide_events), t.wide_rows(by_theme, slots, wide.wide_events)),
        (user_feature_lists(wide.wide_themes), t.list_rows(by_theme, slots)),
    ]
    context.warehouse.overwrite_partition_of_each(
        [(table, rows.withColumns(stamp)) for table, rows in frames], **revision.partition
    )
    row = (revision.as_of, revision.clustering_id, revision.number, revision.digest, revision.available_at, users)
    context.warehouse.merge(FEATURE_PUBLICATIONS, context.warehouse.spark.createDataFrame([row], FEATURE_PUBLICATIONS.schema))
    features.unpersist()
    by_theme.unpersist()
    return users


def _theme_rows(context: JobContext, revision: Revision, reach: DataFrame) -> DataFrame:
    """User features with themes in the place of clusters; outliers count by their nearest theme."""
    members = context.warehouse.read(CLUSTER_MEMBERS, "cluster_banners")
    themes = t.themed_banners(members, revision.clustering_id, context.settings.features.wide_themes)
    return t.user_feature_rows(reach, themes, revision.as_of)


def _write_slots(context: JobContext, clustering_id: str, number: int) -> list[str]:
    """The theme of each slot, "" where a slot has none."""
    here = (F.col("clustering_id") == clustering_id) & (F.col("k") == number)
    rows = context.warehouse.read(THEMES, "cluster_banners").where(here).withColumnRenamed("k", "slots")
    context.warehouse.overwrite_partition(WIDE_SLOTS, rows, clustering_id=clustering_id, slots=number)
    themes = {r["slot"]: r["theme_id"] for r in rows.select("slot", "theme_id").collect()}
    return [themes.get(slot, "") for slot in range(1, number + 1)]
