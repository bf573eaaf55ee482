"""What the gate is shown: figures of the revisions about to be published, of their partials and of the publications before."""

from __future__ import annotations

import datetime
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.features import gate
from bannermap.features import transforms as t
from bannermap.features.figures import FIGURE_COLUMNS, JUDGED_COLUMNS, figure_batches
from bannermap.features.revisions import Revision, instant
from bannermap.platform.errors import PublicationError
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import (
    EVENT_TYPES,
    FEATURE_PUBLICATIONS,
    WINDOWS_DAYS,
    count_column,
    window_column,
    window_columns,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

COMPARED_DAYS = 7
"""How far back the publication may lie that a day is compared with: the newest of so many days before."""
TOLD = 3
"""Refused days that a message tells of; the others are counted."""
Order = tuple[datetime.date, datetime.datetime, int, str]
"""Day, available_at, revision and clustering of a publication: the greatest is the newest."""
Totals = dict[Order, gate.Sums]
"""Users and totals of publications."""


def pass_gate(
    context: JobContext, revisions: Sequence[Revision], frames: Mapping[str, DataFrame], partials: DataFrame
) -> list[gate.Sums]:
    """Judge all revisions before anything of any is written; figures are left in `runs`.

    A revision is compared with the newest publication of the days before, those of this run included. Figures of a day other than
    the run's are left only where they are refused, since a run may publish many; of several, those of the first.

    Args:
        context: of the run.
        revisions: what is about to be published.
        frames: form -> rows of target (place in ``revisions``), user, cluster_ids and counts; ``clusters`` among them. On disk or
            persisted, since they are read twice.
        partials: all of them.

    Returns:
        Figures of ``clusters`` of each revision.

    Raises:
        PublicationError: a check did not pass.
    """
    reach = t.partials_in_reach(partials, [r.as_of for r in revisions])
    sums = collected(frames, reach, [r.as_of for r in revisions])
    published = _published(context, revisions)
    refused: list[tuple[datetime.date, list[gate.Failure]]] = []
    for place in sorted(range(len(revisions)), key=lambda n: _order(revisions[n])):
        revision, mine = revisions[place], sums[place]
        before, day = before_of(published, revision.as_of)
        figures = gate.Figures({form: mine[form] for form in frames}, mine[gate.PARTIALS], before, day)
        published[_order(revision)] = mine[gate.CLUSTERS]
        found = gate.failures(figures, context.settings.features.gate)
        if not refused and (found or revision.as_of == context.dt):
            context.run.metrics.update(figures.metrics())
        if found:
            refused.append((revision.as_of, found))
    if refused:
        numbers = Counter(failure.check for _, found in refused for failure in found)
        context.run.metrics.update({f"gate failed {check}": float(n) for check, n in numbers.items()})
        raise PublicationError(refusal(refused))
    return [mine[gate.CLUSTERS] for mine in sums]


def refusal(refused: Sequence[tuple[datetime.date, list[gate.Failure]]]) -> str:
    """The failed checks with their figures, as words for the person who runs the job.

    Args:
        refused: as-of days with their failed checks.
    """
    told = [f"as of {day} were not published, since they did not pass the gate. {_checks(f)}" for day, f in refused[:TOLD]]
    more = f" Nor did {len(refused) - TOLD} more pass." if len(refused) > TOLD else ""
    return (
        f"Features {'. Features '.join(told)}.{more} Look into the log and the clustering of the day, and run again; or, "
        "where the figures are right, raise these limits for the run with --set. Nothing of the run's features was published."
    )


def _checks(found: list[gate.Failure]) -> str:
    return "; ".join(f"{f.check}: {f.text}" for f in found)


def collected(
    frames: Mapping[str, DataFrame], reach: DataFrame, as_of: Sequence[datetime.date]
) -> list[dict[str, dict[str, int]]]:
    """Figures of the frames in one Spark job, and of their partials in another.

    Args:
        frames: as of `pass_gate`.
        reach: partials of all windows.
        as_of: last day of the windows of each target.

    Returns:
        For each target: form, or `gate.PARTIALS`, -> figures.
    """
    named = [_frame_figures(rows).withColumn("form", F.lit(form)) for form, rows in frames.items()]
    every = functools.reduce(lambda a, b: a.unionByName(b), named)
    found: list[dict[str, dict[str, int]]] = [{form: {} for form in frames} for _ in as_of]
    for r in every.groupBy("form", "target", "figure").agg(F.coalesce(F.sum("value"), F.lit(0)).alias("value")).collect():
        found[r["target"]][r["form"]][r["figure"]] = r["value"]
    days = _day_figures(reach)
    for mine, day in zip(found, as_of, strict=True):
        mine[gate.PARTIALS] = dict(_partial_figures(days, day))
    return found


def _frame_figures(rows: DataFrame) -> DataFrame:
    """What tasks sum up, and the repeated users, which need equal ones together."""
    summed = rows.select("target", *JUDGED_COLUMNS).mapInArrow(figure_batches, FIGURE_COLUMNS)
    again = rows.where("user_id IS NOT NULL").groupBy("target", "user_id").agg((F.count("*") - 1).alias("value"))
    repeated = again.where("value > 0").groupBy("target").agg(F.sum("value").alias("value"))
    return summed.unionByName(repeated.select("target", F.lit(gate.REPEATED_USERS).alias("figure"), "value"))


def _day_figures(reach: DataFrame) -> dict[datetime.date, dict[str, int]]:
    """Sums of each day's partials, by columns of theirs alone: neither assignment nor windows kernel has a part in it."""
    counts = [count_column(e) for e in EVENT_TYPES]
    figures = {c: F.sum(F.col(c).cast("bigint")) for c in counts}
    figures[gate.NO_VALUES] = F.sum(_how_many([F.col(c).isNull() for c in ("user_id", *counts)]))
    figures[gate.NEGATIVE] = F.sum(_how_many([F.coalesce(F.col(c) < 0, F.lit(False)) for c in counts]))
    rows = reach.groupBy("dt").agg(*[F.coalesce(value, F.lit(0)).alias(name) for name, value in figures.items()]).collect()
    return {r["dt"]: {name: r[name] for name in figures} for r in rows}


def _partial_figures(days: Mapping[datetime.date, Mapping[str, int]], as_of: datetime.date) -> Counter[str]:
    found: Counter[str] = Counter()
    for day in t.days_in_reach(as_of):
        mine, age = days.get(day, {}), (as_of - day).days
        found.update({check: mine.get(check, 0) for check in (gate.NO_VALUES, gate.NEGATIVE)})
        for w in (w for w in WINDOWS_DAYS if age < w):
            found.update({window_column(e, w): mine.get(count_column(e), 0) for e in EVENT_TYPES})
    return found


def _how_many(tests: list[Column]) -> Column:
    return functools.reduce(lambda a, b: a + b, [test.cast("bigint") for test in tests])


def before_of(published: Totals, as_of: datetime.date) -> tuple[gate.Sums | None, str]:
    """Users and totals of the newest publication of the days before, whatever its clustering: totals do not depend on it."""
    since = as_of - datetime.timedelta(days=COMPARED_DAYS)
    newest = max((order for order in published if since <= order[0] < as_of), default=None)
    return (published[newest], str(newest[0])) if newest else (None, "")


def _order(revision: Revision) -> Order:
    return revision.as_of, revision.available_at, revision.number, revision.clustering_id


def _published(context: JobContext, revisions: Sequence[Revision]) -> Totals:
    """Publications that any of the revisions may be compared with; not those that the run writes again."""
    first = min(r.as_of for r in revisions) - datetime.timedelta(days=COMPARED_DAYS)
    near = F.col("dt").between(F.lit(first), F.lit(max(r.as_of for r in revisions)))
    rows = context.warehouse.read_or_empty(FEATURE_PUBLICATIONS).where(near & F.col(window_columns()[0]).isNotNull())
    # In microseconds: a collected timestamp would be in the time zone of the machine.
    rows = rows.withColumn("available_us", F.unix_micros("available_at"))
    again = {(r.as_of, r.clustering_id, r.number) for r in revisions}
    found: Totals = {}
    for r in rows.collect():
        if (r["dt"], r["clustering_id"], r["revision"]) not in again:
            order = r["dt"], instant(r["available_us"]), r["revision"], r["clustering_id"]
            found[order] = {gate.USERS: r["users"], **{c: r[c] for c in window_columns()}}
    return found
