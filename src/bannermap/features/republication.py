"""`feature_publications` after an erasure: users and digests as if the erased users had never been.

Published features are never rewritten, with this one exception: rows of erased users vanish from every revision, in place. A
revision that only they had caused stays, as an equal copy of the one before: numbers that models were trained on keep their
meaning.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.features import transforms as t
from bannermap.features.digests import RowSums
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import CLUSTER_MEMBERS, FEATURE_PUBLICATIONS, USER_BANNER_DAYS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Publication = tuple[datetime.date, str, int]
"""Day, clustering_id, revision."""


@dataclass(frozen=True)
class DaySums:
    """Sums of one day's partials.

    Attributes:
        kept: rows of the users who stay.
        erased: rows of the others.
    """

    kept: RowSums
    erased: RowSums


def correct_publications(context: JobContext, erased: DataFrame, users_left: Mapping[Publication, int]) -> None:
    """Bring the rows of published revisions up to date, before the users' rows go.

    The digest changes only where it is that of the partials as they are: a revision that awaits a correction keeps awaiting it.
    That holds for the newest revision of a day and clustering; the partials that older ones were made from are gone, and their
    digests are compared with nothing. Run again after a kill, it finds digests corrected and does nothing.

    Args:
        context: of the run.
        erased: ``erased_id``, user ids as tables hold them.
        users_left: revisions that have rows of erased users -> rows of user_features without them.
    """
    if not context.warehouse.exists(FEATURE_PUBLICATIONS):
        return
    publications = context.warehouse.read(FEATURE_PUBLICATIONS)
    changes = _new_digests(context, publications, erased)
    rows = [(*p, changes.get(p), users_left.get(p)) for p in sorted({*changes, *users_left})]
    names = "dt date, clustering_id string, revision int, new_digest string, new_users bigint"
    updates = context.warehouse.spark.createDataFrame(rows, names)
    joined = publications.join(F.broadcast(updates), ["dt", "clustering_id", "revision"])
    digest, users = (F.coalesce(f"new_{new}", old).alias(old) for new, old in (("digest", "inputs_digest"), ("users", "users")))
    context.warehouse.merge(FEATURE_PUBLICATIONS, joined.withColumns({"inputs_digest": digest, "users": users}))


def _new_digests(context: JobContext, publications: DataFrame, erased: DataFrame) -> dict[Publication, str]:
    days = day_sums(context.warehouse.read_or_empty(USER_BANNER_DAYS), erased)
    touched = {day for day, sums in days.items() if sums.erased.rows}
    newest = publications.groupBy("dt", "clustering_id").agg(
        F.max_by(F.struct("revision", "inputs_digest"), "revision").alias("p")
    )
    rows = [r for r in newest.select("dt", "clustering_id", "p.*").collect() if touched & set(_reach(r["dt"]))]
    assignments = _assignment_sums(context, {r["clustering_id"] for r in rows})
    result = {}
    for r in rows:
        assignment = assignments.get(r["clustering_id"], RowSums())
        reach = [days[day] for day in _reach(r["dt"]) if day in days]
        before = t.digest_of_inputs(sum((d.kept + d.erased for d in reach), RowSums()), assignment)
        after = t.digest_of_inputs(sum((d.kept for d in reach), RowSums()), assignment)
        if r["inputs_digest"] == before:
            result[(r["dt"], r["clustering_id"], r["revision"])] = after
    return result


def day_sums(partials: DataFrame, erased: DataFrame) -> dict[datetime.date, DaySums]:
    """Sums of every day's partials, in one pass over them.

    Args:
        partials: rows of `USER_BANNER_DAYS`.
        erased: ``erased_id``, user ids as tables hold them.
    """
    gone = F.broadcast(erased.select(F.col("erased_id").alias("user_id"), F.lit(True).alias("gone")))
    marked = partials.join(gone, "user_id", "left")
    sums = marked.groupBy("dt", F.coalesce("gone", F.lit(False)).alias("gone")).agg(*t.sum_columns(t.PARTIAL_COLUMNS)).collect()
    parts = {(r["dt"], r["gone"]): t.row_sums(r) for r in sums}
    return {day: DaySums(parts.get((day, False), RowSums()), parts.get((day, True), RowSums())) for day, _ in parts}


def _assignment_sums(context: JobContext, clustering_ids: set[str]) -> dict[str, RowSums]:
    members = t.inside_clusters(context.warehouse.read_or_empty(CLUSTER_MEMBERS))
    mine = members.where(F.col("clustering_id").isin(sorted(clustering_ids)))
    rows = mine.groupBy("clustering_id").agg(*t.sum_columns(t.ASSIGNMENT_COLUMNS)).collect()
    return {r["clustering_id"]: t.row_sums(r) for r in rows}


def _reach(as_of: datetime.date) -> list[datetime.date]:
    """Event days that the features of a day are made from."""
    return [as_of - datetime.timedelta(days=n) for n in range(t.LONGEST_WINDOW_DAYS)]
