"""The job `apply_strategy`: the pictures known by a day, clustered by a saved model, into the tables of `cluster_banners`.

Features, report, analyses, publication and experiment then work on it as on any other clustering: `assignment.model_id` says so.
Ids and themes are the model's own, so they are the same on every day that it is applied to.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import functions as F

from bannermap.lab import grouping
from bannermap.lab.applied import (
    Medoids,
    groups_of_pictures,
    labelled_pictures,
    medoids_of,
    outcomes_of,
)
from bannermap.lab.assigning import any_that_fit, check_day, checked_nodes, cluster_name, themes_of
from bannermap.lab.model_themes import cluster_slots, slots_of_clusters, theme_name
from bannermap.lab.models import SavedModel
from bannermap.lab.sampling import SeenPictures
from bannermap.lab.training import load
from bannermap.platform.cli import Stage
from bannermap.platform.errors import InputError
from bannermap.platform.row_hashes import hash_sums
from bannermap.platform.runs import JobContext, say
from bannermap.platform.sequences import next_sequence
from bannermap.platform.tables import (
    CLUSTER_LINEAGE,
    CLUSTER_MEMBERS,
    CLUSTERS,
    DUPLICATE_SETS,
    MODEL_CLUSTERINGS,
    NEAR_DUPLICATES,
    THEMES,
    Table,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PHASES = ("read the model", "find pictures and vectors", "predict", "look at the clusters", "write clusters")


def stage(folder: str, seen: SeenPictures) -> Stage:
    """The stage for one model.

    Args:
        folder: of the model.
        seen: the pictures of a day.
    """
    return Stage("apply_strategy", functools.partial(run, folder=folder, seen=seen), PHASES)


def run(context: JobContext, folder: str, seen: SeenPictures) -> None:
    """Cluster the pictures of all banners seen by the day; nothing later is read.

    The name of the clustering follows from the model and the pictures, so the same command again changes nothing, and later
    input for the day makes a clustering of its own beside the first.

    Raises:
        InputError: there is no model, it was made of later days, or it has no themes; or the day has no vectors of its encoder.
    """
    warehouse = context.warehouse
    for table in (MODEL_CLUSTERINGS, CLUSTER_MEMBERS, CLUSTERS, THEMES):
        warehouse.check(table)
    with context.phase(PHASES[0]):
        saved = load(warehouse.spark, folder)
        check_day(saved, context)
        _check_themes(saved, context)
        say(f"{context.title}: by {saved.model_id}, {saved.strategy} on vectors of {saved.encoder_id}")
    with context.phase(PHASES[1]):
        banners = _banners(context, seen, saved).persist()
        nodes = _nodes(context, banners, saved)
    with context.phase(PHASES[2]):
        labelled = labelled_pictures(nodes, saved).persist(StorageLevel.DISK_ONLY)
        context.run.rows_in = labelled.count()
        name = _name(context, banners, labelled, saved)
    with context.phase(PHASES[3]):
        groups = groups_of_pictures(labelled)
        medoids = medoids_of(labelled, groups)
        outcomes = outcomes_of(labelled, saved, groups, medoids).persist()
    with context.phase(PHASES[4]):
        members = _members(banners, outcomes, saved, name).persist()
        _write(context, saved, name, members, groups, medoids)
    for frame in (members, outcomes, labelled, banners):
        frame.unpersist()


def _check_themes(saved: SavedModel, context: JobContext) -> None:
    counts = context.settings.clustering.theme_counts
    absent = [str(k) for k in counts if k not in saved.themes]
    if absent:
        raise InputError(
            f"The model {saved.model_id} has no {', '.join(absent)} themes, which clustering.theme_counts names: train it again "
            "with train_strategy, or leave them out of clustering.theme_counts."
        )


def _banners(context: JobContext, seen: SeenPictures, saved: SavedModel) -> DataFrame:
    """banner_id, pixel_hash, content_hash, width, height of the banners that the recursive clustering would have, too."""
    unseen = datetime.timedelta(context.settings.clustering.retire_after_days)
    pictures = seen(context, saved.encoder_id).where(F.col("last_seen_dt") > F.lit(context.dt - unseen))
    return pictures.select("banner_id", "pixel_hash", "content_hash", "width", "height")


def _nodes(context: JobContext, banners: DataFrame, saved: SavedModel) -> DataFrame:
    """node_id, banners, width, height, vector of each distinct picture that has a usable one; others are rejected by reason."""
    checked = checked_nodes(context, banners, saved).persist(StorageLevel.DISK_ONLY)
    if not any_that_fit(checked.where("reason IS NULL OR reason = 'other_dimensions'"), saved):
        raise InputError(
            f"embeddings has no vectors by {saved.encoder_id} for banners up to {context.dt}. Run embed_banners first."
        )
    context.reject(checked.where("reason IS NOT NULL").select("reason", F.to_json(F.struct("node_id")).alias("row_json")))
    return checked.where("reason IS NULL").select("node_id", "banners", "width", "height", "vector")


def _name(context: JobContext, banners: DataFrame, labelled: DataFrame, saved: SavedModel) -> str:
    """The day, and a hash of the model, of banners with their pictures and of these with their vectors, which can come late."""
    digests = [_digest(banners, "banner_id", "pixel_hash"), _digest(labelled, "node_id", "vector")]
    counts = sorted(context.settings.clustering.theme_counts)
    text = "\n".join([saved.model_id, *digests, str(counts)])
    return f"{context.dt}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _digest(rows: DataFrame, *columns: str) -> str:
    """The rows in any order: how many, and two sums of hashes."""
    return str(tuple(rows.agg(F.count("*"), *hash_sums(*columns)).collect()[0]))


def _members(banners: DataFrame, outcomes: DataFrame, saved: SavedModel, name: str) -> DataFrame:
    """`CLUSTER_MEMBERS`."""
    joined = banners.select("banner_id", "pixel_hash").join(outcomes, F.col("pixel_hash") == F.col("node_id"))
    cluster = cluster_name(saved, F.col("label"))
    added = {
        "clustering_id": F.lit(name),
        "cluster_id": cluster,
        "path": F.when(cluster.isNotNull(), F.array(cluster)).otherwise(F.array().cast("array<string>")),
        "is_outlier": cluster.isNull(),
        "themes": themes_of(saved, F.col("theme_slots")),
        "duplicate_set_id": F.lit(None).cast("string"),
        "is_retired": F.lit(False),
    }
    return CLUSTER_MEMBERS.select(joined.withColumns(added))


def _write(
    context: JobContext, saved: SavedModel, name: str, members: DataFrame, groups: grouping.Groups, medoids: Medoids
) -> None:
    """Every table of the clustering, and its row in `model_clusterings` last: for readers it exists only then."""
    warehouse, spark = context.warehouse, context.warehouse.spark
    sizes = {r["cluster_id"]: r["n"] for r in members.groupBy("cluster_id").agg(F.count("*").alias("n")).collect()}
    outliers = sizes.pop(None, 0)
    banners = sum(sizes.values())
    slots = slots_of_clusters(cluster_slots(saved), groups.labels)
    clusters = _cluster_rows(saved, name, sizes, groups, medoids, slots)
    themes = _theme_rows(saved, name, members, slots)
    empty: list[Table] = [CLUSTER_LINEAGE, NEAR_DUPLICATES, DUPLICATE_SETS]
    written = [
        (CLUSTER_MEMBERS, members),
        (CLUSTERS, spark.createDataFrame(clusters, CLUSTERS.schema)),
        (THEMES, spark.createDataFrame(themes, THEMES.schema)),
        *((table, spark.createDataFrame([], table.schema)) for table in empty),
    ]
    warehouse.overwrite_partitions_of_each(written, [{"clustering_id": name}])
    context.run.rows_out = banners + outliers
    context.run.metrics |= {"clusters": float(len(clusters)), "outliers": float(outliers)}
    row = {
        "clustering_id": name,
        "dt": context.dt,
        "sequence": _sequence(context, saved, name),
        "previous_clustering_id": None,
        "state": "current",
        "model_id": saved.model_id,
        "encoder_id": saved.encoder_id,
        "settings": json.dumps({"strategy": saved.strategy, "parameters": dict(saved.parameters)}, sort_keys=True),
        "nodes": context.run.rows_in,
        "banners": banners + outliers,
        "clusters": len(clusters),
        "outliers": outliers,
    }
    line = tuple(row[c] for c in MODEL_CLUSTERINGS.columns)
    warehouse.merge(MODEL_CLUSTERINGS, spark.createDataFrame([line], MODEL_CLUSTERINGS.schema))
    say(f"{context.title}: {name}, {banners:,} banners in {len(clusters):,} clusters, {outliers:,} in none")


def _cluster_rows(
    saved: SavedModel, name: str, sizes: dict[str, int], groups: grouping.Groups, medoids: Medoids, slots: np.ndarray
) -> list[tuple[Any, ...]]:
    counts, rows = sorted(saved.themes), []
    for place, (label, cohesion) in enumerate(zip(groups.labels.tolist(), groups.cohesion.tolist(), strict=True)):
        cluster = f"{saved.model_id}-{label:06d}"
        row = {
            "clustering_id": name,
            "cluster_id": cluster,
            "born_dt": saved.last_dt,
            "size": sizes[cluster],
            "nodes": int(groups.pictures[place]),
            "medoid": medoids.names[place],
            "cohesion": cohesion,
            "threshold": None,
            "depth": None,
            "parent": None,
            "themes": {k: theme_name(saved, k, int(slots[place, i])) for i, k in enumerate(counts)},
        }
        rows.append(tuple(row[c] for c in CLUSTERS.columns))
    return rows


def _theme_rows(saved: SavedModel, name: str, members: DataFrame, slots: np.ndarray) -> list[tuple[Any, ...]]:
    """`THEMES`, also those that no banner of the day has: a dense feature keeps its slots."""
    rows = []
    for i, k in enumerate(sorted(saved.themes)):
        counted = members.groupBy(F.col("themes")[k].alias("t")).count().collect()
        banners = {r["t"]: r["count"] for r in counted}
        for slot, centroid in enumerate(saved.themes[k], 1):
            theme = theme_name(saved, k, slot)
            clusters = int((slots[:, i] == slot).sum())
            rows.append((name, k, slot, theme, saved.last_dt, clusters, banners.get(theme, 0), centroid.tolist()))
    return rows


def _sequence(context: JobContext, saved: SavedModel, name: str) -> int:
    """1 for the first clustering of the day by this model; the newest keeps its number when it is made again."""
    known = context.warehouse.read_or_empty(MODEL_CLUSTERINGS).where(F.col("model_id") == saved.model_id)
    rows = known.where(F.col("dt") == F.lit(context.dt)).select("clustering_id", "sequence").collect()
    return next_sequence({r["clustering_id"]: r["sequence"] for r in rows}, name)
