"""The job `cluster_banners`: pictures known by a day into clusters, and the same on plain files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.clustering import transforms as t
from bannermap.clustering.engine import Clustered, cluster_nodes
from bannermap.platform.cli import FileMode, Stage
from bannermap.platform.config import settings_json
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext, say
from bannermap.platform.settings import Settings
from bannermap.platform.tables import (
    BANNER_DAYS,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    EMBEDDINGS,
    FILE_CLUSTERS,
    FILE_MEMBERS,
    FILE_REJECTS,
    IMAGE_FETCHES,
    NEIGHBOURS,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def run(context: JobContext) -> None:
    """Cluster the pictures of all banners seen by the day, from what was fetched by then; nothing later is read."""
    warehouse, settings, day = context.warehouse, context.settings, context.dt
    encoder_id = _encoder_id(context)
    with context.phase("number the pictures"):
        pictures = _pictures(context).persist()
        vectors = warehouse.read(EMBEDDINGS, "embed_banners").where(F.col("encoder_id") == encoder_id)
        nodes = _usable_nodes(context, t.pictures_with_vectors(pictures, vectors))
        name = t.clustering_id(pictures, day, encoder_id, settings.clustering)
    clustered = cluster_nodes(nodes, settings.clustering, name, context.phase)
    with context.phase("write neighbours"):
        _write_neighbours(context, t.named_neighbours(clustered.neighbours, nodes), encoder_id)
    with context.phase("write clusters"):
        _write_clusters(context, pictures, nodes, clustered, name, encoder_id)
    warehouse.spark.catalog.clearCache()


def _encoder_id(context: JobContext) -> str:
    """The configured encoder, else the only one there is: vectors of two encoders never mix."""
    stored = context.warehouse.read(EMBEDDINGS, "embed_banners").select("encoder_id").distinct().orderBy("encoder_id")
    known = [r["encoder_id"] for r in stored.collect()]
    chosen = context.settings.clustering.encoder_id or (known[0] if len(known) == 1 else None)
    if chosen not in known:
        raise InputError(
            f"clustering.encoder_id is {context.settings.clustering.encoder_id!r} and embeddings holds {known or 'nothing'}. "
            "Set it to one of those, or run embed_banners."
        )
    return str(chosen)


def _pictures(context: JobContext) -> DataFrame:
    days = context.warehouse.read(BANNER_DAYS, "dedupe_banners")
    if days.where(F.col("dt") == F.lit(context.dt)).isEmpty():
        raise InputError(f"banner_days has nothing for {context.dt}. Run dedupe_banners and embed_banners for that day first.")
    return t.banner_pictures(days, context.warehouse.read(IMAGE_FETCHES, "embed_banners"), context.dt)


def _usable_nodes(context: JobContext, rows: DataFrame) -> DataFrame:
    checked = t.vector_faults(rows, t.usual_dimensions(rows)).persist()
    context.reject(checked.where("reason IS NOT NULL").select("reason", F.to_json(F.struct("node_id")).alias("row_json")))
    nodes = t.numbered_nodes(checked.where("reason IS NULL")).persist()
    context.run.rows_in = nodes.count()
    if not context.run.rows_in:
        raise InputError(f"No banner seen by {context.dt} has a vector. Run embed_banners first, or see image_fetches.status.")
    return nodes


def _write_neighbours(context: JobContext, lists: DataFrame, encoder_id: str) -> None:
    place = {"cells_id": context.settings.clustering.search, "encoder_id": encoder_id}
    stored = context.warehouse.read_or_empty(NEIGHBOURS)
    same = stored.where((F.col("cells_id") == place["cells_id"]) & (F.col("encoder_id") == encoder_id))
    changed = t.changed_lists(lists, same, context.dt)
    rows = t.neighbour_table_rows(changed, place["cells_id"], encoder_id, context.dt)
    context.warehouse.overwrite_partition(NEIGHBOURS, rows, **place, dt=context.dt)


def _write_clusters(
    context: JobContext, pictures: DataFrame, nodes: DataFrame, clustered: Clustered, name: str, encoder_id: str
) -> None:
    outcomes = t.node_outcomes(nodes, clustered.clusters, clustered.groups).persist()
    members = t.member_rows(pictures, outcomes, name).persist()
    context.warehouse.overwrite_partition(CLUSTER_MEMBERS, members, clustering_id=name)
    context.warehouse.overwrite_partition(CLUSTERS, t.cluster_rows(outcomes, name), clustering_id=name)
    counts = members.agg(
        F.count("*").alias("banners"), F.countDistinct("cluster_id").alias("clusters"), F.sum(F.col("is_outlier").cast("long"))
    ).collect()[0]
    row = (name, context.dt, _sequence(context, name), encoder_id, settings_json(context.settings.clustering))
    figures = (context.run.rows_in, counts[0], counts[1], counts[2])
    spark = context.warehouse.spark
    # Written last: a clustering exists for readers only when its members and clusters do.
    context.warehouse.merge(CLUSTERINGS, spark.createDataFrame([(*row, *figures)], CLUSTERINGS.schema))
    context.run.rows_out = counts[0]
    context.run.metrics.update({"clusters": counts[1], "outliers": counts[2]})


def _sequence(context: JobContext, name: str) -> int:
    """1 for the first clustering of a day; a rerun keeps its number, new input gets the next."""
    known = context.warehouse.read_or_empty(CLUSTERINGS).where(F.col("dt") == F.lit(context.dt))
    numbers = {r["clustering_id"]: r["sequence"] for r in known.collect()}
    return numbers.get(name, max(numbers.values(), default=0) + 1)


def run_on_files(spark: SparkSession, settings: Settings, values: Mapping[str, str]) -> None:
    """Cluster a Parquet or Delta table of (content_hash, vector) into ``out/members`` and ``out/clusters``.

    Vectors are used as they are; every distinct content_hash is one node and one banner. Rows that cannot be clustered go to
    ``out/rejects`` with their reason.
    """
    out = values["out"].rstrip("/")
    rows = _read_vectors(spark, values["embeddings"]).persist()
    checked = t.vector_faults(rows, t.usual_dimensions(rows)).persist()
    _write(FILE_REJECTS.select(checked.where("reason IS NOT NULL")), f"{out}/rejects")
    usable = checked.where("reason IS NULL").groupBy("node_id").agg(F.min("vector").alias("vector"), F.lit(1).alias("banners"))
    nodes = t.numbered_nodes(usable).persist()
    if nodes.isEmpty():
        raise InputError(f"{values['embeddings']} has no row that can be clustered; {out}/rejects says why.")
    clustered = cluster_nodes(nodes, settings.clustering, "", _said)
    outcomes = t.node_outcomes(nodes, clustered.clusters, clustered.groups).withColumn("content_hash", F.col("node_id")).persist()
    _write(FILE_MEMBERS.select(outcomes), f"{out}/members")
    _write(FILE_CLUSTERS.select(outcomes.where("is_medoid").withColumn("medoid", F.col("node_id"))), f"{out}/clusters")
    counts = outcomes.agg(F.count("*"), F.countDistinct("cluster_id"), F.sum(F.col("is_outlier").cast("long"))).collect()[0]
    say(f"{counts[0]} vectors: {counts[1]} clusters, {counts[2]} outliers, in {out}")


def _read_vectors(spark: SparkSession, path: str) -> DataFrame:
    from delta.tables import DeltaTable

    rows = spark.read.format("delta" if DeltaTable.isDeltaTable(spark, path) else "parquet").load(path)
    missing = {"content_hash", "vector"} - set(rows.columns)
    if missing:
        raise InputError(f"{path} lacks {', '.join(sorted(missing))}; it has {', '.join(rows.columns)}. Both columns are needed.")
    return rows.select(F.col("content_hash").alias("node_id"), F.col("vector").cast("array<float>").alias("vector"))


def _write(frame: DataFrame, path: str) -> None:
    frame.write.mode("overwrite").parquet(path)


@contextlib.contextmanager
def _said(name: str) -> Iterator[None]:
    say(f"cluster_banners: {name}")
    yield


STAGE = Stage("cluster_banners", run)
FILES = FileMode({"embeddings": "Parquet or Delta with content_hash, vector"}, run_on_files)
