"""`feature_publications` after an erasure: users and digests as if the erased users had never been.

Published features are never rewritten, with this one exception: rows of erased users vanish from every revision, in place. A
revision that only they had caused stays, as an equal copy of the one before: numbers that models were trained on keep their
meaning.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.features import transforms as t
from bannermap.features.digests import RowSums
from bannermap.features.inputs import assignment_sums
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import FEATURE_PUBLICATIONS, USER_BANNER_DAYS, USER_CLUSTER_COUNTS, window_columns

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
    changes, totals = _new_digests(context, publications, erased), _totals_left(context, erased, users_left)
    changed = ["inputs_digest", "users", *window_columns()]
    none = (None,) * len(window_columns())
    rows = [(*p, changes.get(p), users_left.get(p), *totals.get(p, none)) for p in sorted({*changes, *users_left})]
    names = [f"new_{c} {FEATURE_PUBLICATIONS.type_of(c)}" for c in changed]
    updates = context.warehouse.spark.createDataFrame(rows, ", ".join(["dt date, clustering_id string, revision int", *names]))
    joined = publications.join(F.broadcast(updates), ["dt", "clustering_id", "revision"])
    context.warehouse.merge(FEATURE_PUBLICATIONS, joined.withColumns({c: F.coalesce(f"new_{c}", c) for c in changed}))


def _totals_left(
    context: JobContext, erased: DataFrame, users_left: Mapping[Publication, int]
) -> dict[Publication, Sequence[int]]:
    """Sums of the windowed counts of revisions that have rows of erased users, without those."""
    place = ["dt", "clustering_id", "revision"]
    names = ", ".join(f"{c} {FEATURE_PUBLICATIONS.type_of(c)}" for c in place)
    touched = context.warehouse.spark.createDataFrame(sorted(users_left), names)
    rows = context.warehouse.read_or_empty(USER_CLUSTER_COUNTS).join(F.broadcast(touched), place)
    left = rows.join(F.broadcast(erased.withColumnRenamed("erased_id", "user_id")), "user_id", "left_anti")
    sums = left.groupBy(*place).agg(*[F.sum(c).alias(c) for c in window_columns()]).collect()
    found = {(r["dt"], r["clustering_id"], r["revision"]): [r[c] for c in window_columns()] for r in sums}
    return {p: found.get(p, [0] * len(window_columns())) for p in users_left}


def _new_digests(context: JobContext, publications: DataFrame, erased: DataFrame) -> dict[Publication, str]:
    days = day_sums(context.warehouse.read_or_empty(USER_BANNER_DAYS), erased)
    touched = {day for day, sums in days.items() if sums.erased.rows}
    newest = publications.groupBy("dt", "clustering_id").agg(
        F.max_by(F.struct("revision", "inputs_digest"), "revision").alias("p")
    )
    rows = [r for r in newest.select("dt", "clustering_id", "p.*").collect() if touched & set(t.days_in_reach(r["dt"]))]
    assignments = assignment_sums(context, {r["clustering_id"] for r in rows})
    result = {}
    for r in rows:
        assignment = assignments.get(r["clustering_id"], RowSums())
        reach = [days[day] for day in t.days_in_reach(r["dt"]) if day in days]
        before = t.digest_of_inputs((d.kept + d.erased for d in reach), assignment)
        after = t.digest_of_inputs((d.kept for d in reach), assignment)
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
