"""The job `maintain_warehouse`: old clusterings, lists by cells that were replaced, pictures that nobody shows any more, what
killed runs left, files of older table versions.

Each part can be killed anywhere and run again. Ages are counted from the day that is given, never from the clock; only the files
of older table versions and of killed runs are as old as they are.
"""

from __future__ import annotations

import datetime
import functools
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bannermap.platform.cli import FEATURES, Stage
from bannermap.platform.erasing import compact, delete_matching, outdated_files, stored_names, vacuum, vacuuming
from bannermap.platform.files import matches, read_text, remove, write_text
from bannermap.platform.image_cache import ImageCache
from bannermap.platform.leftovers import left_over
from bannermap.platform.retention import Kept, StoredCells, StoredClustering, expendable, expendable_cells, first_kept_day, listed
from bannermap.platform.runs import JobContext, say
from bannermap.platform.storage import Warehouse, sql_literal
from bannermap.platform.tables import (
    ANALYSED_DAYS,
    BANNER_ASSIGNMENTS,
    BANNERS,
    CELLS,
    CLUSTER_AUDIENCES,
    CLUSTER_DAYS,
    CLUSTER_LINEAGE,
    CLUSTER_MEMBERS,
    CLUSTER_TAGS,
    CLUSTER_TRENDS,
    CLUSTERINGS,
    CLUSTERS,
    DUPLICATE_SETS,
    FEATURE_PUBLICATIONS,
    IMAGE_BYTES,
    IMAGE_FETCHES,
    MODEL_CLUSTERINGS,
    NEAR_DUPLICATES,
    NEIGHBOURS,
    THEMES,
    USER_CLUSTER_COUNTS,
    WAREHOUSE_TABLES,
    WIDE_SLOTS,
    Table,
)
from bannermap.platform.threads import at_once

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

OF_A_CLUSTERING = (
    *(ANALYSED_DAYS, CLUSTER_DAYS, CLUSTER_TRENDS, CLUSTER_AUDIENCES, CLUSTER_TAGS, WIDE_SLOTS),
    *(CLUSTER_MEMBERS, CLUSTERS, CLUSTER_LINEAGE, THEMES, NEAR_DUPLICATES, DUPLICATE_SETS),
)
"""What goes with a clustering, `analysed_days` first: days that it names are counted anew when erased users change them."""
NOTE = "_maintenance/clusterings.json"
REPLACED_WHOLE = {"dt", "clustering_id"}
"""Partitions by these are written in one go, so their files are few; other tables grow by merges, which leave many."""


def run(context: JobContext) -> None:
    """Do all parts; a dry run says what each would do."""
    with context.phase("remove old clusterings"):
        _remove_clusterings(context)
    with context.phase("remove lists of older cells"):
        _remove_cells(context)
    with context.phase("remove unused pictures"):
        _remove_images(context)
    with context.phase("remove what killed runs left"):
        _remove_left_over(context)
    with context.phase("tidy the tables"):
        _tidy_tables(context)


def _go(context: JobContext) -> str:
    return "would go" if context.warehouse.read_only else "go"


def _remove_clusterings(context: JobContext) -> None:
    """Left word of first: the rows of `clusterings` go before what belongs to them, so that nobody finds half of one."""
    gone = _expendable(context)
    names = [c.clustering_id for c in gone]
    context.run.metrics["clusterings_removed"] = float(len(names))
    say(f"{len(names)} of the clusterings {_go(context)}: {listed([f'{c.clustering_id} of {c.dt}' for c in gone])}")
    if context.warehouse.read_only:
        return
    left = sorted({*names, *_half_removed(context)})
    if left:
        note = f"{context.warehouse.root.rstrip('/')}/{NOTE}"
        write_text(context.warehouse.spark, note, json.dumps(left))
        for table in (ANALYSED_DAYS, CLUSTERINGS, MODEL_CLUSTERINGS, *OF_A_CLUSTERING):
            _delete_clusterings(context.warehouse, table, left)
        remove(context.warehouse.spark, note)


def _expendable(context: JobContext) -> list[StoredClustering]:
    settings, warehouse = context.settings.retention, context.warehouse
    since = first_kept_day(context.dt, settings.clustering_days)
    if since is None:
        return []
    columns = ("clustering_id", "dt", "sequence", "previous_clustering_id")
    kinds: dict[str | None, list[StoredClustering]] = defaultdict(list)
    for row in warehouse.read_or_empty(CLUSTERINGS).select(*columns).collect():
        kinds[None].append(StoredClustering(*row))
    for row in warehouse.read_or_empty(MODEL_CLUSTERINGS).select(*columns, "model_id").collect():
        kinds[row["model_id"]].append(StoredClustering(*row[: len(columns)]))
    young = warehouse.read_or_empty(BANNER_ASSIGNMENTS).where(f"dt >= {sql_literal(since)}")
    assigned = {r[0] for r in young.select("clustering_id").distinct().collect()}
    kept = Kept(since, settings.keep_clusterings, assigned | named_by_features(warehouse))
    return [gone for of_kind in kinds.values() for gone in expendable(of_kind, kept)]  # each model has newest ones of its own


def named_by_features(warehouse: Warehouse) -> set[str]:
    """Clusterings that a row of published features names, in any table or export: from the rows, and from folders of exports."""
    found: set[str] = set()
    for table in (FEATURE_PUBLICATIONS, USER_CLUSTER_COUNTS):
        found |= {r[0] for r in warehouse.read_or_empty(table).select("clustering_id").distinct().collect()}
    for name in stored_names(warehouse):
        if name.startswith("user_feature"):
            folders = matches(warehouse.spark, f"{warehouse.root.rstrip('/')}/{name}", "dt=*/clustering_id=*")
            found |= {folder.rpartition("clustering_id=")[2] for folder in folders}
    return found


def _half_removed(context: JobContext) -> list[str]:
    """Clusterings that a run which was killed had begun to remove, and that nobody made again since."""
    warehouse = context.warehouse
    text = read_text(warehouse.spark, f"{warehouse.root.rstrip('/')}/{NOTE}")
    try:
        noted = [str(name) for name in json.loads(text or "[]")]
    except ValueError:  # cut off by the kill, before anything was removed
        return []
    tables = (CLUSTERINGS, MODEL_CLUSTERINGS) if noted else ()
    there = {r[0] for t in tables for r in warehouse.read_or_empty(t).select("clustering_id").collect()}
    return [name for name in noted if name not in there and name not in named_by_features(warehouse)]


def _delete_clusterings(warehouse: Warehouse, table: Table, names: Sequence[str]) -> None:
    _delete(warehouse, table, f"clustering_id IN ({', '.join(map(sql_literal, names))})")


def _delete(warehouse: Warehouse, table: Table, where: str) -> None:
    from delta.tables import DeltaTable

    if warehouse.exists(table):
        warehouse.check(table)
        DeltaTable.forPath(warehouse.spark, warehouse.path(table)).delete(where)


def _remove_cells(context: JobContext) -> None:
    """Neighbours by cells that were replaced before the first day that may be clustered again; the lists go before the cells, by
    which a killed run finds the rest."""
    warehouse = context.warehouse
    rows = warehouse.read_or_empty(CELLS).select("encoder_id", "search", "dt", "cells_id").distinct().collect()
    gone = expendable_cells([StoredCells(*row) for row in rows], _first_clustered_again(context))
    context.run.metrics["cells_removed"] = float(len(gone))
    say(f"lists by cells that were replaced {_go(context)}: {listed([f'{c.cells_id} of {c.dt}' for c in gone])}")
    if gone and not warehouse.read_only:
        for table, columns in ((NEIGHBOURS, ("cells_id", "encoder_id")), (CELLS, ("cells_id", "encoder_id", "dt"))):
            each = {" AND ".join(f"{c} = {sql_literal(getattr(cells, c))}" for c in columns) for cells in gone}
            _delete(warehouse, table, " OR ".join(f"({where})" for where in sorted(each)))


def _first_clustered_again(context: JobContext) -> datetime.date | None:
    """The first day within `clustering_days` or of the newest `keep_clusterings`."""
    settings = context.settings.retention
    since = first_kept_day(context.dt, settings.clustering_days)
    if since is None:
        return None
    newest = context.warehouse.read_or_empty(CLUSTERINGS).select("dt").orderBy("dt", ascending=False)
    return min([since, *(r["dt"] for r in newest.take(settings.keep_clusterings))])


def _remove_images(context: JobContext) -> None:
    """Bytes of pictures that no banner has shown for so long; vectors and what is known of the pictures stay."""
    since = first_kept_day(context.dt, context.settings.retention.image_days)
    if since is None:
        return
    warehouse, cache = context.warehouse, context.settings.fetch.image_cache
    unused = unused_contents(warehouse, sql_literal(since)).persist()
    if cache is None:
        found = warehouse.read_or_empty(IMAGE_BYTES).join(unused, "content_hash", "left_semi").count()
    else:
        found = unused.mapInArrow(ImageCache(cache).held_batches, "content_hash string").count()
    context.run.metrics["images_removed"] = float(found)
    say(f"bytes of {found} pictures not seen since {since} {_go(context)}")
    if found and not warehouse.read_only:
        if cache is None:
            rows = unused.withColumnRenamed("content_hash", "gone")
            delete_matching(warehouse, IMAGE_BYTES, rows, "content_hash = gone")
        else:
            unused.mapInArrow(ImageCache(cache).remove_batches, "content_hash string").count()
    unused.unpersist()


def unused_contents(warehouse: Warehouse, since: str) -> DataFrame:
    """Contents that no banner of ``since`` (a day, as SQL) or later has, and that show no medoid of a stored cluster."""
    fetches, banners = warehouse.read_or_empty(IMAGE_FETCHES), warehouse.read_or_empty(BANNERS)
    known = fetches.where("content_hash IS NOT NULL")
    young = known.join(banners.where(f"last_seen_dt >= {since}"), "banner_id", "left_semi")
    medoids = warehouse.read_or_empty(CLUSTERS).selectExpr("medoid AS pixel_hash").distinct()
    wanted = young.select("content_hash").unionByName(known.join(medoids, "pixel_hash", "left_semi").select("content_hash"))
    return known.select("content_hash").distinct().join(wanted, "content_hash", "left_anti")


def _remove_left_over(context: JobContext) -> None:
    """A run that goes on where a killed one was takes up what that left, and removes it; of days that nobody repeats it stays."""
    spark, warehouse, hours = context.warehouse.spark, context.warehouse, context.settings.retention.staging_hours
    folders = left_over(spark, warehouse.root, int((time.time() - hours * 3600.0) * 1000))
    say(f"{len(folders)} folders in which nothing was written for {hours:g} hours {_go(context)}: {listed(folders)}")
    context.run.metrics["left_over_folders_removed"] = float(len(folders))
    if not warehouse.read_only:
        for folder in folders:
            remove(spark, folder)


def _tidy_tables(context: JobContext) -> None:
    """Few large files for many small ones, where merges leave them; and files of versions that are too old to be read."""
    warehouse, hours = context.warehouse, context.settings.retention.table_history_hours
    stored = [t for t in WAREHOUSE_TABLES if t.format == "delta" and warehouse.exists(t)]
    with vacuuming(warehouse.spark):
        files = sum(at_once(warehouse.spark, [functools.partial(_tidy, context, table) for table in stored]))
    context.run.rows_in = len(stored)
    context.run.rows_out = 0 if warehouse.read_only else len(stored)
    context.run.metrics["files_removed"] = float(files)
    done = "would go" if warehouse.read_only else "are gone"
    say(f"{len(stored)} tables: {files} files of versions older than {hours:g} hours {done}")


def _tidy(context: JobContext, table: Table) -> int:
    """One table; how many files of old versions it had."""
    warehouse, settings = context.warehouse, context.settings.retention
    files = outdated_files(warehouse, table, settings.table_history_hours)
    if not warehouse.read_only:
        if settings.compact and not REPLACED_WHOLE & set(table.partition_by):
            compact(warehouse, table)
        if files:
            vacuum(warehouse, table, settings.table_history_hours)
    return files


PHASES = (
    *("remove old clusterings", "remove lists of older cells", "remove unused pictures"),
    *("remove what killed runs left", "tidy the tables"),
)
STAGE = Stage("maintain_warehouse", run, PHASES, writes_alone=FEATURES)
