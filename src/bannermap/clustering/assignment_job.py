"""The job `assign_banners`: a day's banners by a stored clustering, which stays as it is."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import functions as F

from bannermap.clustering import transforms as t
from bannermap.clustering.assigning import MEMBER, NO_VECTOR, REASONS, SAME_PICTURE
from bannermap.clustering.assignment import StoredThemes, assigned_pictures, known_pictures, picture_vectors
from bannermap.clustering.assignment_choice import MENDED_BY, Stored, chosen_clustering
from bannermap.clustering.frames import KNOWN_PICTURES, PICTURE_ASSIGNMENTS
from bannermap.clustering.themes import ThemeFit
from bannermap.platform.cli import Stage
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext, say
from bannermap.platform.tables import (
    BANNER_ASSIGNMENTS,
    BANNER_DAYS,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    EMBEDDINGS,
    EXTERNAL_VECTORS,
    IMAGE_FETCHES,
    THEMES,
    Table,
)
from bannermap.platform.vectors import usual_dimensions, vector_faults

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def run(context: JobContext) -> None:
    """Give every banner of the day its cluster or the reason why it has none; nothing later than the day is read.

    The day's partition for that clustering is replaced whole, so the same command again changes nothing, and one after further
    banners came (of the same day, say) has them too.
    """
    with context.phase("choose a clustering"):
        clustering = _clustering(context)
    with context.phase("find pictures and vectors"):
        banners = _banners(context, clustering.encoder_id).persist()
        members = _of(context, CLUSTER_MEMBERS, clustering)
        known = known_pictures(members, _of(context, CLUSTERS, clustering)).persist()
        vectors = context.warehouse.read(EMBEDDINGS, "embed_banners").where(F.col("encoder_id") == clustering.encoder_id)
        clustered = _clustered_vectors(context, clustering, members, known, vectors)
        checked = _new_pictures(banners, known, clustered, vectors).persist(StorageLevel.DISK_ONLY)
        queries = t.numbered_nodes(checked.where("reason IS NULL").withColumn("banners", F.lit(1)))
    with context.phase("search the clustered pictures"):
        themes = _themes(context, clustering)
        assigned = assigned_pictures(queries, known, clustered, themes, context.settings.clustering.block_rows).persist()
        context.run.metrics["pictures_searched"] = assigned.count()
    with context.phase("write assignments"):
        pictures = _known_assignments(known).unionByName(assigned).unionByName(_faulty(checked))
        rows = _banner_rows(banners, members, pictures).withColumns(
            {"dt": F.lit(context.dt), "clustering_id": F.lit(clustering.clustering_id)}
        )
        _write(context, BANNER_ASSIGNMENTS.select(rows).persist(), clustering)
    context.warehouse.spark.catalog.clearCache()


def _clustering(context: JobContext) -> Stored:
    columns = ("clustering_id", "dt", "sequence", "state", "encoder_id", "nodes")
    rows = context.warehouse.read(CLUSTERINGS, "cluster_banners").select(*columns).collect()
    settings = context.settings
    choice = chosen_clustering(
        [Stored(*row) for row in rows], context.dt, settings.assignment.clustering_id, settings.clustering.encoder_id
    )
    found = choice.clustering
    say(f"{context.title}: by {found.clustering_id} of {found.dt}, vectors of {found.encoder_id}")
    if choice.warning:
        say(f"{context.title}: {choice.warning}")
    return found


def _of(context: JobContext, table: Table, clustering: Stored) -> DataFrame:
    return context.warehouse.read(table, "cluster_banners").where(F.col("clustering_id") == clustering.clustering_id)


def _banners(context: JobContext, encoder_id: str) -> DataFrame:
    """banner_id, pixel_hash, content_hash of the day's banners, as of the day; null without a picture."""
    days = context.warehouse.read(BANNER_DAYS, "dedupe_banners")
    of_day = days.where(F.col("dt") == F.lit(context.dt)).select("banner_id").distinct()
    if of_day.isEmpty():
        raise InputError(f"banner_days has nothing for {context.dt}. Run dedupe_banners and embed_banners for that day first.")
    theirs = days.join(of_day, "banner_id", "left_semi")
    external = _external(context, encoder_id)
    if external is not None:
        pictures = t.external_pictures(theirs, external, context.dt)
    else:
        pictures = t.banner_pictures(theirs, context.warehouse.read(IMAGE_FETCHES, "embed_banners"), context.dt)
    return of_day.join(pictures.select("banner_id", "pixel_hash", "content_hash"), "banner_id", "left")


def _external(context: JobContext, encoder_id: str) -> DataFrame | None:
    rows = context.warehouse.read_or_empty(EXTERNAL_VECTORS).where(F.col("encoder_id") == encoder_id)
    return None if rows.isEmpty() else rows


def _clustered_vectors(
    context: JobContext, clustering: Stored, members: DataFrame, known: DataFrame, vectors: DataFrame
) -> DataFrame:
    """`CLUSTERED_VECTORS`, persisted; refuses a clustering of which something is gone, since answers would be wrong unseen."""
    pictures, inside = known.count(), known.where("cluster_id IS NOT NULL").count()
    if pictures != clustering.nodes:
        raise InputError(
            f"{clustering.clustering_id} was made of {clustering.nodes} pictures, and cluster_members has {pictures} of them. "
            f"{MENDED_BY}"
        )
    contents = _contents(context, clustering, members.where("cluster_id IS NOT NULL"))
    clustered = picture_vectors(contents, vectors).persist(StorageLevel.DISK_ONLY)
    found = clustered.count()
    if found != inside:
        raise InputError(
            f"embeddings has vectors by {clustering.encoder_id} for {found} of the {inside} clustered pictures of "
            f"{clustering.clustering_id}, and all are compared with. Bring them back with embed_banners, or name another "
            "clustering in assignment.clustering_id."
        )
    return clustered


def _contents(context: JobContext, clustering: Stored, members: DataFrame) -> DataFrame:
    """pixel_hash, content_hash of the members' pictures, from what was fetched by the clustering's own day.

    From each fetch that gave the picture, not from the banner's newest address: days that came in late may have moved that.
    """
    if _external(context, clustering.encoder_id) is not None:
        return members.select("pixel_hash", F.col("pixel_hash").alias("content_hash"))
    fetches = context.warehouse.read(IMAGE_FETCHES, "embed_banners")
    fetched = fetches.where((F.col("status") == "ok") & (F.col("fetched_dt") <= F.lit(clustering.dt)))
    return members.join(fetched, ["banner_id", "pixel_hash"]).select("pixel_hash", "content_hash")


def _new_pictures(banners: DataFrame, known: DataFrame, clustered: DataFrame, vectors: DataFrame) -> DataFrame:
    """node_id, vector and reason (null where it can be compared) of the pictures that the clustering does not have."""
    new = banners.where("pixel_hash IS NOT NULL").join(known, F.col("pixel_hash") == F.col("node_id"), "left_anti")
    rows = picture_vectors(new.select("pixel_hash", "content_hash"), vectors).persist(StorageLevel.DISK_ONLY)
    length = clustered.select(F.size("vector").alias("d")).head(1)
    return vector_faults(rows, int(length[0]["d"]) if length else usual_dimensions(rows))


def _themes(context: JobContext, clustering: Stored) -> dict[int, StoredThemes]:
    """Number asked for -> its themes by slot: on a tie the smaller slot is nearer."""
    rows = _of(context, THEMES, clustering).select("k", "slot", "theme_id", "centroid").orderBy("k", "slot").collect()
    result = {}
    for k in sorted({r["k"] for r in rows}):
        own = [r for r in rows if r["k"] == k]
        centroids = np.array([r["centroid"] for r in own], np.float32)
        result[k] = StoredThemes(ThemeFit(k, centroids), tuple(r["theme_id"] for r in own))
    return result


def _known_assignments(known: DataFrame) -> DataFrame:
    """`PICTURE_ASSIGNMENTS` of the clustering's own pictures."""
    same = {"reason": F.lit(SAME_PICTURE), "cosine": F.lit(1.0)}
    place = {"nearest_pixel_hash": F.col("node_id"), "nearest_banner_id": F.col("banner_id")}
    return PICTURE_ASSIGNMENTS.select(KNOWN_PICTURES.select(known).withColumns({**same, **place}))


def _faulty(checked: DataFrame) -> DataFrame:
    """`PICTURE_ASSIGNMENTS` of the pictures whose vectors cannot be compared."""
    others = [c for c in PICTURE_ASSIGNMENTS.columns if c not in ("node_id", "reason")]
    rows = checked.where("reason IS NOT NULL").select("node_id", "reason")
    return PICTURE_ASSIGNMENTS.select(rows.withColumns({name: F.lit(None) for name in others}))


def _banner_rows(banners: DataFrame, members: DataFrame, pictures: DataFrame) -> DataFrame:
    """Columns of `BANNER_ASSIGNMENTS` less the constant ones: what becomes of each banner's picture."""
    own = members.select("banner_id", "pixel_hash", F.lit(True).alias("own"))
    joined = banners.join(own, ["banner_id", "pixel_hash"], "left").join(
        pictures, F.col("pixel_hash") == F.col("node_id"), "left"
    )
    reason = F.when(F.col("own"), F.lit(MEMBER)).otherwise(F.coalesce("reason", F.lit(NO_VECTOR)))
    looked_for = ("nearest_pixel_hash", "nearest_banner_id", "cosine")
    return joined.withColumns({"reason": reason, **{name: F.when(F.col("own").isNull(), F.col(name)) for name in looked_for}})


def _write(context: JobContext, rows: DataFrame, clustering: Stored) -> None:
    place: dict[str, str | datetime.date] = {"dt": context.dt, "clustering_id": clustering.clustering_id}
    context.warehouse.overwrite_partition(BANNER_ASSIGNMENTS, rows, **place)
    counted = rows.groupBy("reason").agg(F.count("*").alias("rows"), F.count("cluster_id").alias("inside")).collect()
    total, inside = sum(r["rows"] for r in counted), sum(r["inside"] for r in counted)
    counts = dict.fromkeys(REASONS, 0) | {r["reason"]: r["rows"] for r in counted} | {"in_a_cluster": inside}
    context.run.rows_in = context.run.rows_out = total
    for name, banners in counts.items():
        context.run.metrics |= {f"banners_{name}": float(banners), f"share_{name}": banners / total}
    context.run.metrics["clustering_age_days"] = float((context.dt - clustering.dt).days)
    told = ", ".join(f"{banners} {name}" for name, banners in counts.items() if banners)
    say(f"{context.title}: {told}")


PHASES = ("choose a clustering", "find pictures and vectors", "search the clustered pictures", "write assignments")
STAGE = Stage("assign_banners", run, PHASES)
