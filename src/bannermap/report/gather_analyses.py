"""Reads what analyse_clusters, evaluate_features and compare_strategies wrote, for the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.platform.tables import (
    CLUSTER_AUDIENCES,
    CLUSTER_TAGS,
    CLUSTER_TRENDS,
    EXPERIMENT_RESULTS,
    EXPERIMENT_VERDICTS,
    LAB_RESULTS,
)
from bannermap.report import transforms as t
from bannermap.report.analyses import Audience, Compared, Experiment, Ranked, StrategyComparison, Trend, TrendFamily

if TYPE_CHECKING:
    from pyspark.sql import Row

    from bannermap.report.source import Source

AUDIENCES_PER_CLUSTER = 8
TRENDS_SHOWN = 10
"""Of each window, measure and direction."""
SLICES_SHOWN = 40
"""Of each experiment, those of most impressions."""


def tags(source: Source) -> dict[str, list[str]]:
    """Words of each cluster, the most telling first."""
    found: dict[str, list[str]] = defaultdict(list)
    inside = source.of(CLUSTER_TAGS).join(source.shown.select("cluster_id"), "cluster_id")
    for row in inside.select("cluster_id", "rank", "tag").orderBy("cluster_id", "rank").collect():
        found[row["cluster_id"]].append(row["tag"])
    return found


def audiences(source: Source) -> dict[str, list[Audience]]:
    """The lifts that are surely more or less than 1, those furthest from it first."""
    found: dict[str, list[Audience]] = defaultdict(list)
    of_day = source.of(CLUSTER_AUDIENCES).where(F.col("dt") == F.lit(source.context.dt))
    for row in t.telling_audiences(of_day, source.shown, AUDIENCES_PER_CLUSTER).collect():
        found[row["cluster_id"]].append(Audience(*(row[c] for c in Audience.__dataclass_fields__)))
    return found


def trends(source: Source) -> list[TrendFamily]:
    """By window and measure: how many clusters rise and fall, and the surest of them."""
    of_day = source.of(CLUSTER_TRENDS).where(F.col("dt") == F.lit(source.context.dt))
    counts: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
    for row in of_day.groupBy("window_days", "measure", "trend").count().collect():
        counts[row["window_days"], row["measure"]][row["trend"]] = row["count"]
    shown: dict[tuple[int, str], list[Trend]] = defaultdict(list)
    for row in t.surest_trends(of_day, TRENDS_SHOWN).collect():
        shown[row["window_days"], row["measure"]].append(Trend(*(row[c] for c in Trend.__dataclass_fields__)))
    order = sorted(counts, key=lambda family: (family[0], family[1] != "impression_share"))
    return [
        TrendFamily(*family, sum(n for trend, n in counts[family].items() if trend != "untested"), counts[family], shown[family])
        for family in order
    ]


def experiments(source: Source) -> list[Experiment]:
    """Experiments of the newest day up to the report's that has any, by their names."""
    known = source.table(EXPERIMENT_VERDICTS).where(F.col("dt") <= F.lit(source.context.dt))
    losses = source.table(EXPERIMENT_RESULTS).where("metric = 'log_loss'")
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in t.newest_verdicts(known, losses, SLICES_SHOWN).collect():
        rows[row["experiment_id"]].append(row)
    return [Experiment(name, of[0]["dt"], [_compared(row) for row in of]) for name, of in sorted(rows.items())]


def _compared(row: Row) -> Compared:
    words = {c: row[c] for c in ("model", "variant", "slice_kind", "slice_value", "verdict", "text")}
    base, numbers = row["baseline"], (row["difference"], row["high"], row["low"])
    if not base or any(v is None for v in numbers):
        return Compared(**words)
    return Compared(**words, **{name: -v / base for name, v in zip(("gain", "gain_low", "gain_high"), numbers, strict=True)})


def strategies(source: Source) -> list[StrategyComparison]:
    """The newest comparison of strategies up to the report's day, by encoder; empty where there is none."""
    known = source.table(LAB_RESULTS).where(F.col("dt") <= F.lit(source.context.dt))
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in t.newest_comparison(known).collect():
        rows[row["encoder_id"]].append(row)
    return [_comparison(encoder_id, of) for encoder_id, of in sorted(rows.items())]


def _comparison(encoder_id: str, rows: list[Row]) -> StrategyComparison:
    ranked = [_ranked(row) for row in rows if row["place"] is not None]
    others = Counter(row["status"] for row in rows if row["place"] is None)
    reason = next((row["reason"] for row in rows if row["recommended"]), None)
    return StrategyComparison(rows[0]["comparison_id"], rows[0]["dt"], encoder_id, reason, ranked, dict(sorted(others.items())))


def _ranked(row: Row) -> Ranked:
    figures = row["figures"] or {}
    own = [row[c] for c in ("place", "configuration", "recommended", "score", "stability", "seconds")]
    named = [figures.get(c) for c in ("silhouette", "composite", "clusters", "largest_share", "outlier_share")]
    return Ranked(*own, *named)
