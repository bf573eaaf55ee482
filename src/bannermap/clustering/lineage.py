"""Ids that live: a day's provisional clusters and themes against those of the previous clustering."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as F

from bannermap.clustering.frames import CLUSTER_NAMES
from bannermap.clustering.identity import NOBODY, LineageEvent, Made, ancestors, lineage, overlap_of
from bannermap.clustering.themes import ThemeFit
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import CLUSTER_LINEAGE, CLUSTER_MEMBERS, CLUSTERINGS, CLUSTERS, THEMES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

Old = tuple[str, datetime.date, int]
"""Id, day of birth and banners of a cluster or theme of the previous clustering."""


@dataclass(frozen=True)
class Theme:
    """A theme under the name that it lives by; attributes as in the table `themes`."""

    number: int
    theme_id: str
    slot: int
    born_dt: datetime.date
    banners: int


@dataclass(frozen=True)
class Succession:
    """What the new clusters and themes are called.

    Attributes:
        names: `CLUSTER_NAMES`.
        lineage: rows of `CLUSTER_LINEAGE`.
        themes: number of themes -> its themes.
        changed_banners: banners that changed from one cluster to another.
    """

    names: DataFrame
    lineage: list[tuple[Any, ...]]
    themes: dict[int, list[Theme]]
    changed_banners: int


def known_clusterings(context: JobContext) -> list[Made]:
    """All clusterings that are written, this day's too."""
    columns = ("clustering_id", "dt", "sequence", "encoder_id", "previous_clustering_id")
    return [Made(*row) for row in context.warehouse.read_or_empty(CLUSTERINGS).select(*columns).collect()]


def theme_starts(context: JobContext, previous: Made | None) -> dict[int, np.ndarray]:
    """Number of themes -> centroids of the previous clustering's themes, by slot."""
    rows = sorted(_of(context, THEMES, previous).select("k", "slot", "centroid").collect()) if previous else []
    return {k: np.array([r["centroid"] for r in rows if r["k"] == k], np.float32) for k in {r["k"] for r in rows}}


def succeed(context: JobContext, members: DataFrame, fits: Sequence[ThemeFit], previous: Made | None, name: str) -> Succession:
    """Find which cluster and theme carries on which.

    Args:
        context: of the run.
        members: provisional members: banner_id, cluster_id (null for an outlier), theme_numbers; persisted.
        fits: in the order of theme_numbers.
        previous: the clustering before, or null for the first.
        name: the new clustering's id.
    """
    shared = _shared(context, members, previous)
    old = _aged((r["cluster_id"], r["born_dt"], r["size"]) for r in _rows(context, CLUSTERS, previous))
    counted = members.where("cluster_id IS NOT NULL").groupBy("cluster_id").count().orderBy("cluster_id").collect()
    new = [(r["cluster_id"], r["count"]) for r in counted]
    overlap = overlap_of([(r["old_cluster"], r["new_cluster"], r["banners"]) for r in _by_cluster(shared)], old, new)
    inherited = ancestors(overlap)
    names = [(new[n][0], *_carried(old, int(o), new[n][0], context.dt)) for n, o in enumerate(inherited)]
    events = lineage(overlap, inherited)
    rows = [_lineage_row(name, e, [n[1] for n in names], [o[0] for o in old]) for e in events]
    themes = _themes(context, members, shared, fits, previous, name)
    frame = context.warehouse.spark.createDataFrame(names, CLUSTER_NAMES.schema)
    moved = sum(e.banners for e in events if e.event in ("merged_from", "split_from"))
    return Succession(frame, rows, themes, moved)


def _of(context: JobContext, table: Any, made: Made) -> DataFrame:
    return context.warehouse.read_or_empty(table).where(F.col("clustering_id") == made.clustering_id)


def _rows(context: JobContext, table: Any, made: Made | None) -> list[Row]:
    return _of(context, table, made).collect() if made else []


def _aged(rows: Any) -> list[Old]:
    return sorted(rows, key=lambda r: (r[1], r[0]))


def _shared(context: JobContext, members: DataFrame, previous: Made | None) -> DataFrame | None:
    """Banners of both clusterings: their cluster and themes in each."""
    if previous is None:
        return None
    old = _of(context, CLUSTER_MEMBERS, previous).select(
        "banner_id", F.col("cluster_id").alias("old_cluster"), F.col("themes").alias("old_themes")
    )
    new = members.select("banner_id", F.col("cluster_id").alias("new_cluster"), "theme_numbers")
    return new.join(old, "banner_id").persist()


def _by_cluster(shared: DataFrame | None) -> list[Row]:
    if shared is None:
        return []
    both = shared.where("new_cluster IS NOT NULL AND old_cluster IS NOT NULL")
    return both.groupBy("old_cluster", "new_cluster").agg(F.count("*").alias("banners")).collect()


def _carried(old: Sequence[Old], ancestor: int, own: str, day: datetime.date) -> tuple[str, datetime.date]:
    return (own, day) if ancestor == NOBODY else old[ancestor][:2]


def _lineage_row(name: str, event: LineageEvent, new: Sequence[str], old: Sequence[str]) -> tuple[Any, ...]:
    own = old[event.old] if event.new == NOBODY else new[event.new]
    other = old[event.old] if event.event in ("merged_from", "split_from") else None
    return name, own, event.event, other, event.banners, event.fell_out


def _themes(
    context: JobContext, members: DataFrame, shared: DataFrame | None, fits: Sequence[ThemeFit], previous: Made | None, name: str
) -> dict[int, list[Theme]]:
    sizes = _theme_counts(members, fits)
    common = _theme_overlap(shared, fits)
    stored = _rows(context, THEMES, previous)
    result = {}
    for fit in fits:
        old = {r["theme_id"]: (r["slot"], r["born_dt"], r["banners"]) for r in stored if r["k"] == fit.k}
        here = {n: sizes.get((fit.k, n), 0) for n in range(len(fit.centroids))}
        pairs = [(o, n, banners) for (k, o, n), banners in common.items() if k == fit.k and o in old]
        result[fit.k] = named_themes(fit.k, here, old, pairs, name, context.dt)
    return result


def _theme_counts(members: DataFrame, fits: Sequence[ThemeFit]) -> dict[tuple[int, int], int]:
    """(k, number) -> banners."""
    if not fits:
        return {}
    each = F.explode(
        F.array(*[F.struct(F.lit(f.k).alias("k"), F.col("theme_numbers")[i].alias("n")) for i, f in enumerate(fits)])
    )
    rows = members.select(each.alias("t")).groupBy("t.k", "t.n").agg(F.count("*").alias("banners")).collect()
    return {(r["k"], r["n"]): r["banners"] for r in rows}


def _theme_overlap(shared: DataFrame | None, fits: Sequence[ThemeFit]) -> dict[tuple[int, str, int], int]:
    """(k, old theme_id, new number) -> banners."""
    if shared is None or not fits:
        return {}
    each = [
        F.struct(F.lit(f.k).alias("k"), F.col("old_themes")[f.k].alias("o"), F.col("theme_numbers")[i].alias("n"))
        for i, f in enumerate(fits)
    ]
    rows = shared.select(F.explode(F.array(*each)).alias("t")).where("t.o IS NOT NULL").groupBy("t.k", "t.o", "t.n")
    return {(r["k"], r["o"], r["n"]): r["banners"] for r in rows.agg(F.count("*").alias("banners")).collect()}


def named_themes(
    k: int,
    sizes: Mapping[int, int],
    old: Mapping[str, tuple[int, datetime.date, int]],
    shared: Sequence[tuple[str, int, int]],
    name: str,
    day: datetime.date,
) -> list[Theme]:
    """Themes by the rule of the clusters: an id, with its slot, is carried on; others get new ids and the free slots.

    Args:
        k: number of themes asked for.
        sizes: number of each theme -> banners.
        old: theme_id -> (slot, day of birth, banners).
        shared: (old theme_id, new number, banners).
        name: the new clustering's id.
        day: its day.
    """
    aged = _aged((theme, born, banners) for theme, (_, born, banners) in old.items())
    width = len(str(max(sizes, default=0)))
    labels = {number: str(number).zfill(width) for number in sizes}  # numbers as text sort like numbers
    overlap = overlap_of([(o, labels[n], b) for o, n, b in shared], aged, [(labels[n], sizes[n]) for n in sorted(sizes)])
    inherited = dict(zip(sorted(sizes), ancestors(overlap).tolist(), strict=True))
    carried = {n: aged[o][0] for n, o in inherited.items() if o != NOBODY}
    free = iter(sorted(set(range(1, k + 1)) - {old[theme][0] for theme in carried.values()}))
    themes = [Theme(n, t, old[t][0], old[t][1], sizes[n]) for n, t in carried.items()]
    fresh = sorted(set(sizes) - set(carried), key=lambda n: (-sizes[n], n))
    return sorted([*themes, *(Theme(n, _theme_id(k, name, n), next(free), day, sizes[n]) for n in fresh)], key=lambda t: t.slot)


def _theme_id(k: int, name: str, number: int) -> str:
    return f"k{k:02d}-{hashlib.sha256(f'{name}{chr(10)}{k}{chr(10)}{number}'.encode()).hexdigest()[:12]}"


def lineage_frame(context: JobContext, rows: list[tuple[Any, ...]]) -> DataFrame:
    """`CLUSTER_LINEAGE`."""
    return context.warehouse.spark.createDataFrame(rows, CLUSTER_LINEAGE.schema)


def theme_frame(
    context: JobContext, name: str, succession: Succession, fits: Sequence[ThemeFit], clusters: Mapping[tuple[int, int], int]
) -> DataFrame:
    """`THEMES`.

    Args:
        context: of the run.
        name: the clustering's id.
        succession: the themes' names.
        fits: their centroids.
        clusters: (k, number) -> clusters.
    """
    rows = [
        (
            name,
            fit.k,
            t.slot,
            t.theme_id,
            t.born_dt,
            clusters.get((fit.k, t.number), 0),
            t.banners,
            fit.centroids[t.number].tolist(),
        )
        for fit in fits
        for t in succession.themes[fit.k]
    ]
    return context.warehouse.spark.createDataFrame(rows, THEMES.schema)
