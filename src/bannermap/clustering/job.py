"""The job `cluster_banners`: pictures known by a day into clusters, and the same on plain files."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql import functions as F

from bannermap import __version__
from bannermap.clustering import transforms as t
from bannermap.clustering.auditing import check_recall, search_figures
from bannermap.clustering.engine import PHASES as ENGINE_PHASES
from bannermap.clustering.engine import Clustered, cluster_nodes
from bannermap.clustering.frames import CLUSTERING_STATES
from bannermap.clustering.identity import Made, previous_clustering, states
from bannermap.clustering.keepers import duplicate_set_rows, near_duplicate_rows
from bannermap.clustering.keeping import (
    InForce,
    cells_in_force,
    kept_search,
    later_lists_fell,
    neighbour_changes,
    stored_lists,
    with_kept_cells,
    write_cells,
)
from bannermap.clustering.lineage import Succession, known_clusterings, lineage_frame, succeed, theme_frame, theme_starts
from bannermap.clustering.search import Found
from bannermap.platform.checkpoints import Checkpoints
from bannermap.platform.cli import FileMode, Stage
from bannermap.platform.config import settings_json
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext, say
from bannermap.platform.sequences import next_sequence
from bannermap.platform.settings import Settings
from bannermap.platform.tables import (
    BANNER_DAYS,
    CELLS,
    CLUSTER_LINEAGE,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    DUPLICATE_SETS,
    EMBEDDINGS,
    EXTERNAL_VECTORS,
    FILE_CLUSTERS,
    FILE_MEMBERS,
    FILE_REJECTS,
    IMAGE_FETCHES,
    NEAR_DUPLICATES,
    NEIGHBOURS,
    THEMES,
)
from bannermap.platform.vectors import usual_dimensions, vector_faults

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def run(context: JobContext) -> None:
    """Cluster the pictures of all banners seen by the day, from what was fetched by then; nothing later is read.

    Ids are carried on from the clustering before; those of later days are marked stale where this day came out anew.
    """
    warehouse, settings, day = context.warehouse, context.settings, context.dt
    for table in WRITTEN:  # now, and not after hours
        warehouse.check(table)
    encoder_id = _encoder_id(context)
    with context.phase("number the pictures"):
        pictures, in_force = _pictures(context, encoder_id)
        lists = stored_lists(context, in_force.cells.cells_id, encoder_id).persist() if in_force else None
        nodes = _usable_nodes(context, pictures, encoder_id, lists)
        known = known_clusterings(context)
        previous = previous_clustering(known, day, encoder_id)
        before, cells_id = previous.clustering_id if previous else None, in_force.cells.cells_id if in_force else None
        digest = t.vectors_digest(nodes)
        name = t.clustering_id(pictures, digest, day, encoder_id, settings.clustering, before, cells_id)
    with context.phase("recall lists"):
        kept = kept_search(in_force.cells, lists, nodes, settings.clustering) if in_force and lists is not None else None
    left = _checkpoints(context, name, digest)
    clustered = cluster_nodes(nodes, settings.clustering, name, context.phase, theme_starts(context, previous), kept, left)
    found = clustered.found
    context.run.metrics.update(search_figures(clustered.audit, clustered.weakest_link) | found.figures())
    if clustered.audit and clustered.audit.wrong_scores.share > 0:
        left.end()  # or the next run would take them up again
    check_recall(clustered.audit, settings.clustering)
    with context.phase("write neighbours"):
        _write_neighbours(context, found, nodes, lists, encoder_id)
        write_cells(context, encoder_id, found.cells, in_force)
    outcomes = t.node_outcomes(nodes, clustered.clusters, clustered.groups).persist()
    with context.phase("carry on ids"):
        members = t.provisional_members(pictures, outcomes).persist()
        succession = succeed(context, members, clustered.themes, previous, name)
    with context.phase("write clusters"):
        made = Made(
            name, day, next_sequence({m.clustering_id: m.sequence for m in known if m.dt == day}, name), encoder_id, before
        )
        _write_clusters(context, Result(nodes, outcomes, members, clustered, succession, made))
        _write_clustering(context, made, known)
    left.end()
    warehouse.spark.catalog.clearCache()


WRITTEN = (
    *(CELLS, NEIGHBOURS, CLUSTERINGS, CLUSTER_MEMBERS, CLUSTERS),
    *(CLUSTER_LINEAGE, THEMES, NEAR_DUPLICATES, DUPLICATE_SETS),
)
CHECKPOINT_VERSION = 1
"""Goes up with every change of the search or the forest, so that no run goes on from what older code left."""


@dataclass(frozen=True)
class Result:
    """All that is written of a clustering: the frames of the steps, and the names that live on."""

    nodes: DataFrame
    outcomes: DataFrame
    members: DataFrame
    clustered: Clustered
    succession: Succession
    made: Made


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


def _pictures(context: JobContext, encoder_id: str) -> tuple[DataFrame, InForce | None]:
    """The banners' pictures, persisted, less what the last rebuild dropped; and the cells that it left."""
    day, retire_after = context.dt, context.settings.clustering.retire_after_days
    seen = seen_pictures(context, encoder_id).persist()
    in_force = cells_in_force(context, encoder_id, t.unretired(seen, day, day, retire_after))
    return t.unretired(seen, day, in_force.dt if in_force else day, retire_after).persist(), in_force


def seen_pictures(context: JobContext, encoder_id: str) -> DataFrame:
    """The pictures of all banners; of an encoder whose vectors were imported by banner_id, what stands in for them."""
    days = context.warehouse.read(BANNER_DAYS, "dedupe_banners")
    if days.where(F.col("dt") == F.lit(context.dt)).isEmpty():
        raise InputError(f"banner_days has nothing for {context.dt}. Run dedupe_banners and embed_banners for that day first.")
    external = context.warehouse.read_or_empty(EXTERNAL_VECTORS).where(F.col("encoder_id") == encoder_id)
    if not external.isEmpty():
        return t.external_pictures(days, external, context.dt)
    return t.banner_pictures(days, context.warehouse.read(IMAGE_FETCHES, "embed_banners"), context.dt)


def _usable_nodes(context: JobContext, pictures: DataFrame, encoder_id: str, lists: DataFrame | None) -> DataFrame:
    vectors = context.warehouse.read(EMBEDDINGS, "embed_banners").where(F.col("encoder_id") == encoder_id)
    rows = t.pictures_with_vectors(pictures, vectors)
    checked = vector_faults(rows, usual_dimensions(rows)).persist(StorageLevel.DISK_ONLY)
    context.reject(checked.where("reason IS NOT NULL").select("reason", F.to_json(F.struct("node_id")).alias("row_json")))
    usable = checked.where("reason IS NULL")
    nodes = t.numbered_nodes(usable if lists is None else with_kept_cells(usable, lists))
    context.run.rows_in = nodes.count()
    if not context.run.rows_in:
        raise InputError(f"No banner seen by {context.dt} has a vector. Run embed_banners first, or see image_fetches.status.")
    return nodes


def _checkpoints(context: JobContext, name: str, vectors: str) -> Checkpoints:
    """Under the clustering's name and a hash of its numbered vectors and of the code's version: all that follows from them."""
    digest = hashlib.sha256(str((__version__, CHECKPOINT_VERSION, vectors)).encode()).hexdigest()[:12]
    folder = f"{context.warehouse.root.rstrip('/')}/_staging/{context.run.job}/{name}-{digest}"
    return Checkpoints(context.warehouse.spark, folder, keeps=not context.warehouse.read_only)


def _write_neighbours(context: JobContext, found: Found, nodes: DataFrame, lists: DataFrame | None, encoder_id: str) -> None:
    place = {"cells_id": found.cells.cells_id, "encoder_id": encoder_id}
    before = lists if lists is not None else stored_lists(context, **place)
    changes = neighbour_changes(found, nodes, before)
    rows = changes.withColumns({c: F.lit(v) for c, v in (place | {"dt": context.dt}).items()})
    if later_lists_fell(context, changes, **place):
        context.warehouse.overwrite_onwards(NEIGHBOURS, rows, "dt", **place, dt=context.dt)
    else:
        context.warehouse.overwrite_partition(NEIGHBOURS, rows, **place, dt=context.dt)


def _write_clusters(context: JobContext, result: Result) -> None:
    """Every table of the clustering but `clusterings`."""
    name, names = result.made.clustering_id, result.succession.names
    fits, themes = result.clustered.themes, result.succession.themes
    ids = {f.k: [t.theme_id for t in sorted(themes[f.k], key=lambda theme: theme.number)] for f in fits}
    members = t.member_rows(result.members, names, ids, name).persist()
    clusters = t.theme_cluster_counts(result.outcomes, [f.k for f in fits])
    pairs = near_duplicate_rows(result.clustered.duplicate_pairs, result.nodes, result.outcomes, names, name)
    written = [
        (CLUSTER_MEMBERS, members),
        (CLUSTERS, t.cluster_rows(result.outcomes, names, ids, name)),
        (CLUSTER_LINEAGE, lineage_frame(context, result.succession.lineage)),
        (THEMES, theme_frame(context, name, result.succession, fits, clusters)),
        (NEAR_DUPLICATES, pairs),
        (DUPLICATE_SETS, duplicate_set_rows(result.members, names, name)),
    ]
    context.warehouse.overwrite_partitions_of_each(written, [{"clustering_id": name}])
    counts = members.agg(
        F.count("*"), F.countDistinct("cluster_id"), F.sum(F.col("is_outlier").cast("long")), F.count("duplicate_set_id")
    ).collect()[0]
    context.run.rows_out = counts[0]
    figures = dict(zip(("clusters", "outliers", "banners_in_duplicate_sets"), map(float, counts[1:]), strict=True))
    context.run.metrics.update({**figures, "banners_that_changed_cluster": result.succession.changed_banners})


def _write_clustering(context: JobContext, made: Made, known: list[Made]) -> None:
    """The clustering's row, written last: for readers it exists only when its members and clusters do; and new states."""
    run, spark = context.run, context.warehouse.spark
    state = states([m for m in known if m.clustering_id != made.clustering_id] + [made])
    clusters, outliers = (int(run.metrics[c]) for c in ("clusters", "outliers"))
    head = (made.clustering_id, made.dt, made.sequence, made.previous, state[made.clustering_id], made.encoder_id)
    row = (*head, settings_json(context.settings.clustering), run.rows_in, run.rows_out, clusters, outliers)
    others = context.warehouse.read_or_empty(CLUSTERINGS).where(F.col("clustering_id") != made.clustering_id).drop("state")
    marked = others.join(F.broadcast(spark.createDataFrame(list(state.items()), CLUSTERING_STATES.schema)), "clustering_id")
    own = spark.createDataFrame([row], CLUSTERINGS.schema)
    context.warehouse.merge(CLUSTERINGS, CLUSTERINGS.select(marked).unionByName(own))
    stale = sorted(str(m.dt) for m in known if state[m.clustering_id] == "stale" and m.clustering_id != made.clustering_id)
    run.metrics["stale_clusterings"] = len(stale)
    if stale:
        say(f"{context.dt} cluster_banners: stale now, run again in date order: {', '.join(stale)}")


def run_on_files(spark: SparkSession, settings: Settings, values: Mapping[str, str]) -> None:
    """Cluster a Parquet or Delta table of (content_hash, vector) into ``out/members`` and ``out/clusters``.

    Vectors are used as they are; every distinct content_hash is one node and one banner. Rows that cannot be clustered go to
    ``out/rejects`` with their reason.
    """
    out = values["out"].rstrip("/")
    rows = _read_vectors(spark, values["embeddings"]).persist(StorageLevel.DISK_ONLY)
    checked = vector_faults(rows, usual_dimensions(rows)).persist(StorageLevel.DISK_ONLY)
    _write(FILE_REJECTS.select(checked.where("reason IS NOT NULL")), f"{out}/rejects")
    usable = checked.where("reason IS NULL").groupBy("node_id").agg(F.min("vector").alias("vector"), F.lit(1).alias("banners"))
    nodes = t.numbered_nodes(usable)
    if nodes.isEmpty():
        raise InputError(f"{values['embeddings']} has no row that can be clustered; {out}/rejects says why.")
    audit = settings.clustering.audit.model_copy(update={"below_min_recall": "warn"})  # plain files are not published
    rule = settings.clustering.model_copy(update={"theme_counts": (), "audit": audit})
    left = Checkpoints(spark, f"{out}/_staging", keeps=False)
    clustered = cluster_nodes(nodes, rule, "", _said, {}, checkpoints=left)
    check_recall(clustered.audit, rule)
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


PHASES = ("number the pictures", "recall lists", *ENGINE_PHASES, "write neighbours", "carry on ids", "write clusters")
STAGE = Stage("cluster_banners", run, PHASES, writes_alone="clusterings")
"""Alone: ids are carried on from the day before, and later clusterings marked stale, by the clusterings that a run finds when it
begins; one that another day's run makes meanwhile would be overlooked."""
FILES = FileMode({"embeddings": "Parquet or Delta with content_hash, vector"}, run_on_files)
