"""The job `publish_clusters`: the newest clustering of a day, as documents that readers see as a whole or not at all."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel
from pyspark.sql import functions as F

from bannermap.platform.cli import Stage
from bannermap.platform.clusterings import known_clusterings, pinned_clustering
from bannermap.platform.errors import InputError, ServiceError
from bannermap.platform.runs import JobContext, say
from bannermap.platform.settings import Settings
from bannermap.platform.tables import (
    CLUSTER_LINEAGE,
    CLUSTER_MEMBERS,
    CLUSTER_TAGS,
    CLUSTERS,
    IMAGE_FETCHES,
    RUNS,
    Table,
)
from bannermap.publish import transforms as t
from bannermap.publish.database import connection_of
from bannermap.publish.documents import FORMAT, members_per_page, plain_names
from bannermap.publish.frames import WRITTEN
from bannermap.publish.publication import PUBLISHED, Shelf, surplus
from bannermap.publish.writing import Writer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

PUBLICATION_DIGITS = 12


@dataclass(frozen=True)
class Gathered:
    """What is to be published.

    Attributes:
        entries: rows of `frames.ENTRIES`, persisted.
        job: the document of `clustering_jobs`, but for what only the writing tells.
    """

    entries: DataFrame
    job: dict[str, Any]


def run(context: JobContext) -> None:
    """Publish the newest clustering made as of the day.

    Published once, the same clustering is not written again. A run that was killed leaves documents that nobody sees; the next
    run removes them.
    """
    clustering_id = pinned_clustering(context)
    connection = connection_of(context.settings.publish)
    with connection.opened() as database:
        shelf = Shelf(database, connection)
        shelf.reach()  # before anything is computed
        row = known_clusterings(context).where(F.col("clustering_id") == clustering_id).collect()[0]
        if not _has_a_place(context, shelf, row):
            return
        with context.phase("gather the documents"):
            found = _gathered(context, row)
        context.run.rows_in = found.job["members"]
        context.run.metrics |= {"documents": found.job["documents"], "clusters": found.job["statistics"]["clusters"]}
        _publish(context, shelf, found)
    context.run.metrics["operations_repeated"] = context.run.metrics.get("operations_repeated", 0.0) + connection.repeated
    found.entries.unpersist()


def _publish(context: JobContext, shelf: Shelf, found: Gathered) -> None:
    stored = shelf.job(found.job["_id"])
    if stored and stored["state"] == PUBLISHED and _same(stored, found.job) and _whole(shelf, stored):
        say(f"{stored['_id']} is published already, with the same content")
        if not context.warehouse.read_only:
            kept = {name: stored[name] for name in ("publication_id", "published_at", "published_by")}
            shelf.refresh({**found.job, **kept})
    elif context.warehouse.read_only:
        say(f"{found.job['documents']} documents with {found.job['members']} members of {found.job['_id']} would be published")
    else:
        _write(context, shelf, found)
    with context.phase("remove old publications"):
        _remove(context, shelf)


def _same(stored: dict[str, Any], job: dict[str, Any]) -> bool:
    return all(stored.get(name) == job[name] for name in ("checksum", "format", "members_per_page", "documents"))


def _whole(shelf: Shelf, stored: dict[str, Any]) -> bool:
    """Whether all documents are there, which only another program can have removed; if not, they are written anew."""
    return shelf.count(stored["publication_id"]) == stored["documents"]


def _write(context: JobContext, shelf: Shelf, found: Gathered) -> None:
    run, job = context.run, found.job
    publication_id = f"{job['_id']}-{run.run_id[:PUBLICATION_DIGITS]}"
    with context.phase("write the documents"):
        shelf.make_indexes()
        shelf.begin(job["_id"], {"dt": job["dt"], "sequence": job["sequence"]}, publication_id)
        written = _written(context, shelf, found, publication_id)
        run.rows_out = written["members"]
        run.metrics |= {"bytes": written["bytes"], "operations_repeated": float(written["repeated"])}
    with context.phase("switch"):
        now = datetime.datetime.now(datetime.UTC)
        shelf.switch({**job, "publication_id": publication_id, "published_at": now, "published_by": run.run_id})


def _written(context: JobContext, shelf: Shelf, found: Gathered, publication_id: str) -> Row:
    """Sums over the tasks.

    Raises:
        ServiceError: a task gave up; its text is the first one's.
    """
    settings = context.settings.publish
    stamp = {"publication_id": publication_id, "clustering_id": found.job["_id"], "dt": found.job["dt"]}
    writer = Writer(connection_of(settings), stamp)
    written = t.in_order(found.entries, settings.writers).mapInArrow(writer.written, WRITTEN.ddl)
    sums = [F.sum(c).alias(c) for c in ("documents", "members", "bytes", "repeated")]
    total: Row = written.agg(*sums, F.min("problem").alias("problem")).collect()[0]
    if total["problem"]:
        raise ServiceError(total["problem"])
    return total


def _remove(context: JobContext, shelf: Shelf) -> None:
    keep = context.settings.publish.keep_runs
    if context.warehouse.read_only:
        gone = [job["_id"] for job in surplus(shelf.published(), keep)]
        say(f"published clusterings that are beyond publish.keep_runs already: {', '.join(gone) or 'none'}")
        return
    rows = known_clusterings(context).select("clustering_id", "state").collect()
    shelf.note_states({r["clustering_id"]: r["state"] for r in rows})
    gone, documents = shelf.remove_old(keep)
    context.run.metrics |= {"publications_removed": float(len(gone)), "documents_removed": float(documents)}


def _has_a_place(context: JobContext, shelf: Shelf, clustering: Row) -> bool:
    """Whether the clustering is among those that are kept: an older one would be removed at once."""
    keep, place = context.settings.publish.keep_runs, (clustering["dt"].isoformat(), clustering["sequence"])
    newer = [p for p in shelf.published() if (p["dt"], p["sequence"]) > place]
    if len(newer) >= keep:
        say(f"{clustering['clustering_id']} is not published: {len(newer)} newer ones are, and publish.keep_runs is {keep}")
    return len(newer) < keep


def _gathered(context: JobContext, clustering: Row) -> Gathered:
    warehouse, settings, name = context.warehouse, context.settings.publish, clustering["clustering_id"]
    clusters = _of(context, CLUSTERS, name).persist()
    members = t.clustered(warehouse.read(CLUSTER_MEMBERS, "cluster_banners"), name).persist()
    longest = members.agg(t.longest_ids()).collect()[0][0]
    per_page = members_per_page(settings.members_per_page, longest)
    if not per_page:
        raise InputError(f"An id in cluster_members of {name} has {longest} bytes, too many for a document of MongoDB.")
    pictures = t.picture_files(warehouse.read_or_empty(IMAGE_FETCHES))
    lineage, tags = _of(context, CLUSTER_LINEAGE, name), _of(context, CLUSTER_TAGS, name)
    heads = t.cluster_entries(clusters, members, lineage, tags, pictures, per_page)
    entries = heads.unionByName(t.member_entries(members, per_page)).persist(StorageLevel.DISK_ONLY)
    totals = entries.agg(*t.totals()).collect()[0].asDict()
    figures = clusters.agg(*t.statistics()).collect()[0].asDict()
    events = {r["event"]: r["count"] for r in lineage.groupBy("event").count().collect()}
    clusters.unpersist()
    members.unpersist()
    figures |= {"retired_clusters": totals.pop("retired_clusters"), "lineage": dict(sorted(events.items()))}
    return Gathered(entries, _job(context, clustering, figures) | totals | {"members_per_page": per_page})


def _of(context: JobContext, table: Table, clustering_id: str) -> DataFrame:
    return context.warehouse.read_or_empty(table).where(F.col("clustering_id") == clustering_id)


def _job(context: JobContext, clustering: Row, figures: dict[str, Any]) -> dict[str, Any]:
    """What readers are told of the clustering and of the run that made it."""
    counted = {name: clustering[name] for name in ("nodes", "banners", "outliers")}
    told = ("clustering_id", "sequence", "previous_clustering_id", "encoder_id")
    return {
        "_id": clustering["clustering_id"],
        **{name: clustering[name] for name in told},
        "dt": clustering["dt"].isoformat(),
        "state": PUBLISHED,
        "format": FORMAT,
        "clustering_state": clustering["state"],
        "parameters": json.loads(clustering["settings"]),
        "statistics": {**counted, **figures},
        **_made_by(context),
    }


def _made_by(context: JobContext) -> dict[str, Any]:
    """Timings and audit of the day's newest successful run of the job that makes such clusterings; empty where there is none."""
    job = "cluster_banners" if context.settings.assignment.model_id is None else "apply_strategy"
    of_day = (F.col("job") == job) & (F.col("dt") == F.lit(context.dt)) & (F.col("status") == "succeeded")
    runs = context.warehouse.read_or_empty(RUNS).where(of_day).orderBy(F.desc("started_at")).limit(1).collect()
    if not runs:
        return {"run": None, "timings_s": {}, "audit": {}}
    row = runs[0]
    return {
        "run": {name: row[name] for name in ("run_id", "seconds", "config_hash", "code_version")},
        "timings_s": plain_names(row["phase_seconds"]),
        "audit": plain_names(row["metrics"]),
    }


def check(settings: Settings) -> None:
    """Raise `ConfigError` where the environment names no address."""
    connection_of(settings.publish)


PHASES = ("gather the documents", "write the documents", "switch", "remove old publications")
STAGE = Stage("publish_clusters", run, PHASES, check=check)
