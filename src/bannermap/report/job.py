"""The job `build_report`: the tables of a day as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from bannermap.platform.cli import Stage
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import (
    BANNER_DAYS,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    FEATURE_PUBLICATIONS,
    IMAGE_BYTES,
    IMAGE_FETCHES,
    REGISTRY_DAYS,
    REJECTS,
    RUNS,
    USER_CLUSTER_COUNTS,
    Table,
)
from bannermap.report import transforms as t
from bannermap.report.page import Card, Page, Picture, Step, render

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

PAGE = "index.html"
DAYS_SHOWN = 30


def run(context: JobContext) -> None:
    """Write ``index.html`` for the newest clustering of the day, whole or not at all."""
    folder = _folder(context)
    with context.phase("gather figures"):
        page = _page(context, _clustering(context))
    with context.phase("write the page"):
        text = render(page)
        if not context.warehouse.read_only:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{PAGE}.new").write_text(text)
            (folder / f"{PAGE}.new").replace(folder / PAGE)
    context.run.rows_in, context.run.rows_out = page.all_clusters, len(page.cards)
    context.run.metrics["page_bytes"] = len(text.encode())
    context.warehouse.spark.catalog.clearCache()


def _folder(context: JobContext) -> Path:
    where = context.settings.paths.report
    if "://" in where and not where.startswith("file://"):
        raise InputError(
            f"paths.report is {where}, and the report is written to local folders only. Copy it from there afterwards."
        )
    return Path(where.removeprefix("file://"))


def _clustering(context: JobContext) -> Row:
    rows = context.warehouse.read(CLUSTERINGS, "cluster_banners").where(F.col("dt") == F.lit(context.dt))
    newest = rows.orderBy(F.desc("sequence")).head(1)
    if not newest:
        raise InputError(f"There is no clustering of {context.dt}. Run cluster_banners for that day first.")
    return newest[0]


def _page(context: JobContext, clustering: Row) -> Page:
    settings, name = context.settings.report, clustering["clustering_id"]
    facts = t.banner_facts(context.warehouse.read(BANNER_DAYS), context.dt).persist()
    members = _of(context, CLUSTER_MEMBERS, name).persist()
    clusters = t.largest_clusters(_of(context, CLUSTERS, name), settings.max_clusters).persist()
    pictures = t.shown_pictures(members, clusters, settings.pictures_per_cluster).persist()
    outliers = t.shown_outliers(members, settings.max_outliers).persist()
    small = _thumbnails(context, pictures.select("pixel_hash").union(outliers.select("pixel_hash")))
    failures = t.failures(context.warehouse.read(IMAGE_FETCHES), facts).orderBy(F.desc("banners"), "status").collect()
    return Page(
        day=context.dt,
        clustering_id=name,
        encoder_id=clustering["encoder_id"],
        funnel=_funnel(context, clustering, facts.count(), failures),
        days=[r.asDict() for r in _days(context)],
        cards=_cards(context, clusters, members, facts, pictures, small, name),
        all_clusters=clustering["clusters"],
        outliers=[Picture(small.get(r["pixel_hash"]), r["banners"]) for r in outliers.collect()],
        all_outliers=clustering["outliers"],
        failures=[r.asDict(recursive=True) for r in failures],
        rejects=_rejects(context),
        runs=_runs(context),
    )


def _of(context: JobContext, table: Table, clustering_id: str) -> DataFrame:
    return context.warehouse.read(table).where(F.col("clustering_id") == clustering_id)


def _thumbnails(context: JobContext, pixel_hashes: DataFrame) -> dict[str, bytes]:
    fetches, data = context.warehouse.read(IMAGE_FETCHES), context.warehouse.read(IMAGE_BYTES)
    rows = t.thumbnails(pixel_hashes, fetches, data, context.settings.report.thumbnail_px).collect()
    return {r["pixel_hash"]: bytes(r["thumbnail"]) for r in rows if r["thumbnail"] is not None}


def _funnel(context: JobContext, clustering: Row, seen: int, failures: list[Row]) -> list[Step]:
    today = context.warehouse.read(REGISTRY_DAYS).where(F.col("dt") == F.lit(context.dt)).collect()[0]
    refused = sum(rows for job, _, rows in _rejects(context) if job == "dedupe_banners")
    reasons = ", ".join(f"{r['banners']:,} {r['status']}" for r in failures)
    clustered = clustering["banners"] - clustering["outliers"]
    return [
        Step("Log rows of the day", today["log_rows"] + refused, f"{refused:,} refused" if refused else ""),
        Step("Banners of the day", today["dau_banners"], f"{today['new_banners']:,} new"),
        Step("Banners seen so far", seen),
        Step("with a picture", clustering["banners"], f"without: {reasons}" if reasons else ""),
        Step("Distinct pictures", clustering["nodes"]),
        Step("Banners in clusters", clustered, f"{clustering['outliers']:,} outliers" if clustering["outliers"] else ""),
        Step("Clusters", clustering["clusters"]),
    ]


def _days(context: JobContext) -> list[Row]:
    days = context.warehouse.read(REGISTRY_DAYS).where(F.col("dt") <= F.lit(context.dt))
    return days.orderBy(F.desc("dt")).limit(DAYS_SHOWN).collect()


def _cards(
    context: JobContext,
    clusters: DataFrame,
    members: DataFrame,
    facts: DataFrame,
    pictures: DataFrame,
    small: dict[str, bytes],
    name: str,
) -> list[Card]:
    sheets: dict[str, list[Picture]] = {}
    for row in pictures.orderBy("cluster_id", "rank").collect():
        shown = Picture(small.get(row["pixel_hash"]), row["banners"], row["similarity"])
        sheets.setdefault(row["cluster_id"], []).append(shown)
    rows = clusters.join(t.cluster_facts(members, facts), "cluster_id").orderBy(F.desc("size"), "cluster_id").collect()
    clicks = _clicks(context, name)
    return [_card(row.asDict(recursive=True), sheets[row["cluster_id"]], clicks.get(row["cluster_id"])) for row in rows]


def _card(row: dict[str, Any], sheet: list[Picture], clicks: Row | None) -> Card:
    kept = ("cluster_id", "size", "nodes", "cohesion", "threshold", "depth", "first_seen_dt", "last_seen_dt")
    advertisers = [(a["advertiser_id"], a["banners"]) for a in row["advertisers"] if a["advertiser_id"]]
    figures = {"impressions": clicks["impressions"], "clicks": clicks["clicks"]} if clicks else {}
    return Card(**{c: row[c] for c in kept}, advertisers=advertisers, pictures=sheet, **figures)


def _clicks(context: JobContext, name: str) -> dict[str, Row]:
    """Clicks by cluster from the newest revision of the day's features; nothing where there are none."""
    warehouse = context.warehouse
    if not warehouse.exists(FEATURE_PUBLICATIONS):
        return {}
    published = _of(context, FEATURE_PUBLICATIONS, name).where(F.col("dt") == F.lit(context.dt))
    newest = published.agg(F.max("revision")).collect()[0][0]
    counts = _of(context, USER_CLUSTER_COUNTS, name).where((F.col("dt") == F.lit(context.dt)) & (F.col("revision") == newest))
    return {r["cluster_id"]: r for r in t.click_figures(counts).collect()} if newest else {}


def _rejects(context: JobContext) -> list[tuple[str, str, int]]:
    rows = context.warehouse.read_or_empty(REJECTS).where(F.col("dt") == F.lit(context.dt))
    counted = rows.groupBy("job", "reason").agg(F.sum("rows").alias("rows")).orderBy("job", "reason").collect()
    return [(r["job"], r["reason"], r["rows"]) for r in counted]


def _runs(context: JobContext) -> list[tuple[str, float, str]]:
    """The newest successful run of each job of the day."""
    done = context.warehouse.read_or_empty(RUNS).where((F.col("dt") == F.lit(context.dt)) & (F.col("status") == "succeeded"))
    newest = done.groupBy("job").agg(F.max_by(F.struct("seconds", "phase_seconds", "started_at"), "started_at").alias("r"))
    rows = newest.select("job", "r.*").orderBy("started_at").collect()
    return [(r["job"], r["seconds"], ", ".join(f"{p} {s:.1f}" for p, s in r["phase_seconds"].items())) for r in rows]


STAGE = Stage("build_report", run)
