"""From tables to a report: one function per part, each reading what it needs of one clustering."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from bannermap.platform.tables import (
    BANNER_DAYS,
    CLUSTER_LINEAGE,
    CLUSTERS,
    DUPLICATE_SETS,
    FEATURE_PUBLICATIONS,
    NEAR_DUPLICATES,
    THEMES,
    USER_CLUSTER_COUNTS,
)
from bannermap.report import transforms as t
from bannermap.report.analyses import Audience
from bannermap.report.gather_analyses import audiences, tags
from bannermap.report.model import Change, Cluster, Duplicates, FellOut, Outlier, Pair, Shown, Theme
from bannermap.report.source import Source

if TYPE_CHECKING:
    from pyspark.sql import Row

ADVERTISERS_SHOWN = 8
CHANGES_SHOWN = 10
PAIRS_PER_CLUSTER = 6
FALLEN_PER_CLUSTER = 6
THEME_PICTURES = 4
COHESION_BINS, COSINE_BINS = 40, 400
"""Bins from -1 to 1: 0.05 wide for cohesion, 0.005 for near duplicates, which all lie close to 1."""


def clusters(source: Source) -> list[Cluster]:
    """The shown clusters, largest first."""
    facts = t.cluster_facts(source.members, source.facts, ADVERTISERS_SHOWN)
    rows = source.shown.join(facts, "cluster_id").orderBy(F.desc("size"), "cluster_id").collect()
    slots, *parts = source.at_once(_theme_slots, _sheets, _days, _fallen, _changes, _pairs, _clicks, tags, audiences)
    return [_cluster(row.asDict(recursive=True), _Parts(*parts), slots) for row in rows]


@dataclass(frozen=True)
class _Parts:
    """What stands in other tables, by cluster_id; what fell out by group."""

    sheets: dict[str, list[Shown]]
    days: dict[str, list[int]]
    fallen: dict[str, FellOut]
    changes: dict[str, list[Change]]
    pairs: dict[str, tuple[int, list[Pair]]]
    clicks: dict[str, Row]
    tags: dict[str, list[str]]
    audiences: dict[str, list[Audience]]


def _cluster(row: dict[str, Any], parts: _Parts, slots: dict[str, tuple[int, int]]) -> Cluster:
    name = row["cluster_id"]
    same = ("cluster_id", "size", "nodes", "medoid", "cohesion", "threshold", "depth", "parent", "born_dt")
    facts = ("first_seen_dt", "last_seen_dt", "advertiser_count")
    pair_count, pairs = parts.pairs.get(name, (0, []))
    clicks = parts.clicks.get(name)
    return Cluster(
        **{c: row[c] for c in (*same, *facts)},
        path=row["path"] or [name],
        advertisers=[(a["advertiser_id"], a["banners"]) for a in row["advertisers"]],
        pictures=parts.sheets.get(name, []),
        fell_out=parts.fallen.get(row["parent"] or name, FellOut()),
        day_banners=parts.days.get(name, []),
        changes=parts.changes.get(name, []),
        pairs=pairs,
        pair_count=pair_count,
        tags=parts.tags.get(name, []),
        audiences=parts.audiences.get(name, []),
        themes=dict(slots[i] for i in (row["themes"] or {}).values() if i in slots),
        **({"impressions": clicks["impressions"], "clicks": clicks["clicks"]} if clicks else {}),
    )


def _sheets(source: Source) -> dict[str, list[Shown]]:
    found: dict[str, list[Shown]] = defaultdict(list)
    for row in t.shown_pictures(source.members, source.shown, source.plan.pictures).orderBy("cluster_id", "rank").collect():
        found[row["cluster_id"]].append(Shown(row["pixel_hash"], row["banners"], row["similarity"]))
    return found


def _days(source: Source) -> dict[str, list[int]]:
    days = t.cluster_days(source.members, source.table(BANNER_DAYS), source.axis[0], source.axis[-1])
    place = {day: i for i, day in enumerate(source.axis)}
    found: dict[str, list[int]] = defaultdict(lambda: [0] * len(place))
    for row in days.join(source.shown.select("cluster_id"), "cluster_id").collect():
        found[row["cluster_id"]][place[row["dt"]]] = row["banners"]
    return found


def _fallen(source: Source) -> dict[str, FellOut]:
    groups = source.shown.select(F.coalesce("parent", "cluster_id").alias("group")).distinct()
    rows = t.fallen_out(source.members, groups, FALLEN_PER_CLUSTER).collect()
    return {r["group"]: FellOut(r["all_banners"], [Shown(p["pixel_hash"], p["banners"]) for p in r["pictures"]]) for r in rows}


def _changes(source: Source) -> dict[str, list[Change]]:
    lineage = source.table(CLUSTER_LINEAGE)
    current = source.clustering["clustering_id"]
    found: dict[str, list[Change]] = defaultdict(list)
    for r in t.changes(lineage, source.dated, source.shown, current, CHANGES_SHOWN).collect():
        found[r["cluster_id"]].append(Change(r["dt"], r["event"], r["other"], r["banners"], r["fell_out"]))
    return found


def _pairs(source: Source) -> dict[str, tuple[int, list[Pair]]]:
    ranked = t.pairs(source.of(NEAR_DUPLICATES), source.of(DUPLICATE_SETS))
    counts = {r["cluster_id"]: r["count"] for r in ranked.groupBy("cluster_id").count().collect()}
    found: dict[str, list[Pair]] = defaultdict(list)
    inside = ranked.where(F.col("rank") <= PAIRS_PER_CLUSTER).join(source.shown.select("cluster_id"), "cluster_id")
    for row in inside.orderBy("cluster_id", "rank").collect():
        found[row["cluster_id"]].append(_pair(row))
    return {name: (counts[name], pairs) for name, pairs in found.items()}


def _pair(row: Row) -> Pair:
    pictures = (row["pixel_hash_a"], row["pixel_hash_b"])
    kept = (row["keeper_pixel_hash"], row["keeper_banner_id"], row["reason"], row["detail"])
    return Pair(row["cluster_id"], *pictures, row["cosine"], *kept)


def _clicks(source: Source) -> dict[str, Row]:
    """Clicks by cluster from the newest revision of the day's features; nothing where there are none."""
    day = F.col("dt") == F.lit(source.context.dt)
    newest = source.of(FEATURE_PUBLICATIONS).where(day).agg(F.max("revision")).collect()[0][0]
    if newest is None:
        return {}
    counts = source.of(USER_CLUSTER_COUNTS).where(day & (F.col("revision") == newest))
    return {r["cluster_id"]: r for r in t.click_figures(counts).collect()}


def _theme_slots(source: Source) -> dict[str, tuple[int, int]]:
    return {r["theme_id"]: (r["k"], r["slot"]) for r in source.of(THEMES).select("theme_id", "k", "slot").collect()}


def themes(source: Source, shown: Sequence[Cluster]) -> list[Theme]:
    """All themes, each with its largest clusters; ``shown`` is largest first."""
    largest: dict[tuple[int, int], list[str]] = defaultdict(list)
    for cluster in shown:
        for place in cluster.themes.items():
            if len(largest[place]) < THEME_PICTURES:
                largest[place].append(cluster.cluster_id)
    rows = source.of(THEMES).orderBy("k", "slot").collect()
    return [Theme(r["k"], r["slot"], r["clusters"], r["banners"], largest[r["k"], r["slot"]]) for r in rows]


def outliers(source: Source, shown: Sequence[Cluster]) -> list[Outlier]:
    """Pictures in no cluster, those of most banners first; ``shown`` is largest first."""
    came_of: dict[str | None, str] = {}
    for cluster in shown:
        came_of.setdefault(cluster.parent, cluster.cluster_id)
    rows = t.shown_outliers(source.members, source.context.settings.report.max_outliers).collect()
    return [Outlier(Shown(r["pixel_hash"], r["banners"]), came_of.get(r["group"]) if r["group"] else None) for r in rows]


def duplicates(source: Source) -> Duplicates:
    """Near duplicates of the whole clustering."""
    near, sets = source.of(NEAR_DUPLICATES), source.of(DUPLICATE_SETS)
    counted = sets.agg(F.count("*").alias("sets"), F.coalesce(F.sum(F.col("banners") - 1), F.lit(0)).alias("spare")).collect()[0]
    order = ("set_rank", F.desc("cosine"), "pixel_hash_a", "pixel_hash_b")  # a large set would fill the page with itself
    first = t.pairs(near, sets).orderBy(*order).limit(source.context.settings.report.max_pairs).collect()
    cosines = [(r["bin"], r["counted"]) for r in t.share_counts(near, "cosine", COSINE_BINS).collect()]
    pairs = [_pair(r) for r in first]
    return Duplicates(counted["sets"], counted["spare"], sum(c for _, c in cosines), pairs, _filled(cosines, COSINE_BINS))


def cohesions(source: Source) -> list[tuple[float, int]]:
    """Over all clusters: lower edge of a bin -> clusters."""
    rows = t.share_counts(source.of(CLUSTERS), "cohesion", COHESION_BINS).collect()
    return _filled([(r["bin"], r["counted"]) for r in rows], COHESION_BINS)


def sizes(source: Source) -> list[tuple[int, int]]:
    """Over all clusters: e -> clusters of 2^e to 2^(e + 1) - 1 banners, empty ones between too."""
    found = {r["exponent"]: r["clusters"] for r in t.size_counts(source.of(CLUSTERS)).collect()}
    return [(e, found.get(e, 0)) for e in range(min(found), max(found) + 1)] if found else []


def _filled(counts: Sequence[tuple[int, int]], bins: int) -> list[tuple[float, int]]:
    """Lower edges for bin numbers, with the empty bins between."""
    found = dict(counts)
    return [(round(2 * b / bins - 1, 6), found.get(b, 0)) for b in range(min(found), max(found) + 1)] if found else []
