"""The job `build_report`: the tables of a day as pages for a browser."""

from __future__ import annotations

import datetime
import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql import functions as F

from bannermap.platform.cli import Stage
from bannermap.platform.clusterings import known_clusterings
from bannermap.platform.errors import InputError
from bannermap.platform.image_store import one_held_file, stored_bytes
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import (
    CLUSTER_LINEAGE,
    EMBEDDINGS,
    IMAGE_FETCHES,
    NO_DAY,
    REGISTRY_DAYS,
    REJECTS,
    RUNS,
)
from bannermap.report import gather
from bannermap.report import transforms as t
from bannermap.report.gather_analyses import experiments as experiments_of
from bannermap.report.gather_analyses import strategies as strategies_of
from bannermap.report.gather_analyses import trends as trends_of
from bannermap.report.model import Cluster, Day, Duplicates, Image, Outlier, Report, Step
from bannermap.report.page import render
from bannermap.report.site import local_folder, publish
from bannermap.report.source import Source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

FAILURES_SHOWN = 10
ICON_PX, PAIR_PX = 40, 220


def run(context: JobContext) -> None:
    """Write the pages of the newest clustering of the day, all or none."""
    folder = local_folder(context.settings.paths.report)
    settings = context.settings.report
    with context.phase("gather figures"):
        report = _report(context, _clustering(context))
    with context.phase("write the page"):
        pages = render(report, settings.clusters_per_page, settings.max_total_bytes)
        if not context.warehouse.read_only:
            publish(folder, pages.files)
    context.run.rows_in, context.run.rows_out = report.all_clusters, len(report.clusters)
    figures = {"pages": len(pages.files), "page_bytes": pages.total_bytes, "pictures_per_cluster": pages.fill.pictures}
    context.run.metrics.update(figures)
    context.warehouse.spark.catalog.clearCache()


def _clustering(context: JobContext) -> Row:
    rows = known_clusterings(context).where(F.col("dt") == F.lit(context.dt))
    newest = rows.orderBy(F.desc("sequence")).head(1)
    if not newest:
        raise InputError(f"There is no clustering of {context.dt}. Run cluster_banners for that day first.")
    return newest[0]


def _report(context: JobContext, clustering: Row) -> Report:
    days = context.settings.report.charted_days
    axis = [context.dt - datetime.timedelta(days=back) for back in range(days - 1, -1, -1)]
    source = Source(context, clustering, axis)
    undated = context.dt == NO_DAY
    shown, duplicates, sizes, cohesions, failed, left_out, rejects, runs, search, days, has_lineage, *analyses = source.at_once(
        *(gather.clusters, gather.duplicates, gather.sizes, gather.cohesions),
        *(_failed, _left_out, _rejects, _runs, _search, _days, _has_lineage),
        *(trends_of, experiments_of, strategies_of),
    )
    trends, experiments, strategies = analyses
    outliers = gather.outliers(source, shown)
    return Report(
        day=None if undated else context.dt,
        clustering_id=clustering["clustering_id"],
        encoder_id=clustering["encoder_id"],
        funnel=_funnel(source, failed, left_out, rejects),
        days=[] if undated else days,
        day_axis=[] if undated else axis,
        clusters=shown,
        all_clusters=clustering["clusters"],
        sizes=sizes,
        cohesions=cohesions,
        has_lineage=has_lineage,
        themes=gather.themes(source, shown),
        outliers=outliers,
        all_outliers=clustering["outliers"],
        duplicates=duplicates,
        failures=[r.asDict(recursive=True) for r in failed],
        rejects=rejects,
        runs=runs,
        search=search,
        images=_images(source, shown, outliers, duplicates),
        thumbnail_px=source.plan.thumbnail_px,
        icon_px=ICON_PX,
        pair_px=PAIR_PX,
        trends=trends,
        max_false_discoveries=context.settings.analytics.max_false_discoveries,
        experiments=experiments,
        strategies=strategies,
    )


def _images(source: Source, shown: Sequence[Cluster], outliers: Sequence[Outlier], duplicates: Duplicates) -> dict[str, Image]:
    """Everything that any page may show, drawn."""
    split = len(shown) > source.context.settings.report.clusters_per_page
    wanted = {(h, source.plan.thumbnail_px) for c in shown for h in _hashes(c)}
    wanted |= {(o.picture.pixel_hash, source.plan.thumbnail_px) for o in outliers}
    wanted |= {(h, PAIR_PX) for pair in duplicates.pairs for h in (pair.a, pair.b)}
    wanted |= {(pair.keeper, source.plan.thumbnail_px) for pair in duplicates.pairs if pair.keeper}  # for its file's name
    wanted |= {(c.medoid, ICON_PX) for c in shown if split}
    asked = source.context.warehouse.spark.createDataFrame(sorted(wanted), "pixel_hash string, side int").persist()
    fetches = source.table(IMAGE_FETCHES)
    store = source.context.warehouse, source.context.settings.fetch.image_cache
    bytes_of = functools.partial(stored_bytes, *store)
    files = t.files_to_draw(asked, fetches, functools.partial(one_held_file, *store, "pixel_hash")).persist()
    images = _collected(t.drawn(files, bytes_of), t.addresses(asked, fetches))
    files.unpersist()
    asked.unpersist()
    found = _curtains(source, shown)
    return {h: replace(image, curtain=found.get(h)) for h, image in images.items()}


def _curtains(source: Source, shown: Sequence[Cluster]) -> dict[str, bytes]:
    """Per picture that shows what the encoder looks at; nothing where it told nothing."""
    pictures = source.context.settings.report.emphasis_pictures
    wanted = sorted({p.pixel_hash for c in shown for p in c.pictures[:pictures]})
    made = source.table(EMBEDDINGS).where(F.col("encoder_id") == source.clustering["encoder_id"])
    if not wanted or made.where("emphasis IS NOT NULL").isEmpty():
        return {}
    asked = source.context.warehouse.spark.createDataFrame([(h,) for h in wanted], "pixel_hash string")
    rows = t.curtains(asked, source.table(IMAGE_FETCHES), made).collect()
    return {r["pixel_hash"]: bytes(r["curtain"]) for r in rows}


def _hashes(cluster: Cluster) -> set[str]:
    pairs = {h for pair in cluster.pairs for h in (pair.a, pair.b)}
    return {cluster.medoid, *pairs, *(p.pixel_hash for p in (*cluster.pictures, *cluster.fell_out.pictures))}


def _collected(drawn: DataFrame, addresses: DataFrame) -> dict[str, Image]:
    files: dict[str, dict[int, bytes]] = defaultdict(dict)
    figures = {}
    stored = drawn.persist(StorageLevel.DISK_ONLY)
    stored.count()  # on all cores: the iterator alone would draw one partition after the other
    for row in stored.toLocalIterator():
        files[row["pixel_hash"]][row["side"]] = bytes(row["thumbnail"])
        figures[row["pixel_hash"]] = (row["brightness"], row["sharpness"])
    stored.unpersist()
    known = {r["pixel_hash"]: r["image_url"] for r in addresses.collect()}
    return {h: Image(files.get(h, {}), known.get(h), *figures.get(h, (None, None))) for h in sorted(known)}


def _funnel(source: Source, failures: list[Row], left_out: Row, rejects: Sequence[tuple[str, str, int]]) -> list[Step]:
    clustering, seen, day = source.clustering, source.facts.count(), source.context.dt
    refused = sum(rows for job, _, rows in rejects if job == "dedupe_banners")
    counts = [(r["banners"], r["status"]) for r in failures]
    counts += [(left_out["no_vector"], "without a vector"), (left_out["retired"], "retired")]
    reasons = ", ".join(f"{banners:,} {why}" for banners, why in counts if banners)
    clustered, outliers = clustering["banners"] - clustering["outliers"], clustering["outliers"]
    last = [
        Step("with a picture", clustering["banners"], f"left out: {reasons}" if reasons else ""),
        Step("in clusters", clustered, f"{outliers:,} outliers" if outliers else ""),
        Step("Distinct pictures", clustering["nodes"]),
        Step("Clusters", clustering["clusters"]),
    ]
    if day == NO_DAY:
        return [Step("Files", seen), *last]
    today = source.table(REGISTRY_DAYS).where(F.col("dt") == F.lit(day)).collect()[0]
    return [
        Step("Log rows of the day", today["log_rows"] + refused, f"{refused:,} refused" if refused else ""),
        Step("Banners of the day", today["dau_banners"], f"{today['new_banners']:,} new"),
        Step("Banners seen so far", seen),
        *last,
    ]


def _days(source: Source) -> list[Day]:
    """The charted days that the registry has, newest first."""
    inside = F.col("dt").between(F.lit(source.axis[0]), F.lit(source.axis[-1]))
    rows = source.table(REGISTRY_DAYS).where(inside).orderBy(F.desc("dt")).collect()
    newest = source.clusterings.join(source.dated.select("clustering_id"), "clustering_id")
    of_day = {r["dt"]: r for r in newest.select("dt", "clustering_id", "clusters", "outliers", "state").collect()}
    changed: dict[str, dict[str, int]] = defaultdict(dict)
    lineage = source.table(CLUSTER_LINEAGE).join(source.dated.select("clustering_id"), "clustering_id")
    for r in t.change_counts(lineage).collect():
        changed[r["clustering_id"]][r["event"]] = r["clusters"]
    return [_day(row, of_day.get(row["dt"]), changed) for row in rows]


def _day(registry: Row, clustering: Row | None, changed: dict[str, dict[str, int]]) -> Day:
    counts = {c: registry[c] for c in ("dt", "log_rows", "dau_banners", "mau_banners", "new_banners")}
    if clustering is None:
        return Day(**counts)
    figures = {c: clustering[c] for c in ("clusters", "outliers", "state")}
    return Day(**counts, **figures, changes=changed.get(clustering["clustering_id"]))


def _has_lineage(source: Source) -> bool:
    return not source.of(CLUSTER_LINEAGE).isEmpty()


def _failed(source: Source) -> list[Row]:
    failures = t.failures(source.table(IMAGE_FETCHES), source.facts, source.context.dt, FAILURES_SHOWN)
    return failures.orderBy(F.desc("banners"), "status").collect()


def _left_out(source: Source) -> Row:
    context = source.context
    made_by = json.loads(source.clustering["settings"])  # a saved model's say nothing of it, and it retires as configured
    after = made_by.get("retire_after_days", context.settings.clustering.retire_after_days)
    return t.left_out(source.members, source.table(IMAGE_FETCHES), source.facts, context.dt, after).collect()[0]


def _rejects(source: Source) -> list[tuple[str, str, int]]:
    rows = source.table(REJECTS).where(F.col("dt") == F.lit(source.context.dt))
    counted = rows.groupBy("job", "reason").agg(F.sum("rows").alias("rows")).orderBy("job", "reason").collect()
    return [(r["job"], r["reason"], r["rows"]) for r in counted]


def _done(source: Source) -> DataFrame:
    """The day's successful runs."""
    return source.table(RUNS).where((F.col("dt") == F.lit(source.context.dt)) & (F.col("status") == "succeeded"))


def _search(source: Source) -> dict[str, float]:
    """What the newest run of the clustering counted."""
    newest = _done(source).where("job = 'cluster_banners'").orderBy(F.desc("started_at")).head(1)
    return dict(newest[0]["metrics"]) if newest else {}


def _runs(source: Source) -> list[tuple[str, float, str]]:
    """The newest successful run of each job of the day."""
    newest = (
        _done(source).groupBy("job").agg(F.max_by(F.struct("seconds", "phase_seconds", "started_at"), "started_at").alias("r"))
    )
    rows = newest.select("job", "r.*").orderBy("started_at").collect()
    return [(r["job"], r["seconds"], ", ".join(f"{p} {s:.1f}" for p, s in r["phase_seconds"].items())) for r in rows]


PHASES = ("gather figures", "write the page")
STAGE = Stage("build_report", run, PHASES)
