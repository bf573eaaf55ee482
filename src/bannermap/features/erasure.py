"""The job `erase_user`: some users' rows out of every table and export, with proof, and never back in.

An event_id that an erased user shared with another user: the other's event comes to count when its log day is taken in again.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from bannermap.features.counting import STAGING
from bannermap.features.proofs import completed, digests_of, mark_purged, needed_proofs, write_proofs
from bannermap.features.republication import Publication, correct_publications
from bannermap.features.users import check_one_key
from bannermap.platform.cli import FEATURES, Stage
from bannermap.platform.erasing import (
    delete_matching,
    purge,
    rewrite_parquet_partition,
    stored_names,
    tidy_parquet,
)
from bannermap.platform.files import remove
from bannermap.platform.pseudonyms import UserKey, user_key
from bannermap.platform.runs import JobContext, say
from bannermap.platform.tables import REJECTS, SET_PREFIX, USER_BANNER_DAYS, USER_CLUSTER_COUNTS, USER_FEATURES
from bannermap.platform.versions import newest_commit

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

USER_OF_ROW = (
    (USER_BANNER_DAYS, "user_id"),
    (USER_CLUSTER_COUNTS, "user_id"),
    (REJECTS, "CASE WHEN job = 'build_user_features' THEN get_json_object(row_json, '$.user_id') END"),
)
"""Delta tables that hold user ids, and the user id of a row as SQL."""
EXPORT_PREFIXES = ("user_features_wide_", "user_feature_lists_", SET_PREFIX)
PARTITION = USER_FEATURES.partition_by


@dataclass(frozen=True)
class Erasure:
    """What is asked for.

    Attributes:
        users: user ids as the event log has them.
        purge: also remove older versions of the tables from disk.
    """

    users: tuple[str, ...] = field(repr=False)
    purge: bool = False


@dataclass
class Found:
    """Where the users' rows are.

    Attributes:
        rows: user id as tables hold it -> table -> rows.
        partitions: export -> its partitions with such rows, and how many others each has.
    """

    rows: dict[str, dict[str, int]]
    partitions: dict[str, dict[Publication, int]]

    def totals(self) -> dict[str, int]:
        """Rows by table, over all users."""
        sums: dict[str, int] = defaultdict(int)
        for tables in self.rows.values():
            for name, rows in tables.items():
                sums[name] += rows
        return dict(sums)


def erasure_stage(erasure: Erasure) -> Stage:
    """The stage that erases some users."""
    return Stage("erase_user", functools.partial(run, erasure=erasure), check=user_key, writes_alone=FEATURES)


def run(context: JobContext, erasure: Erasure) -> None:
    """Erase users; the same command again completes a run that was killed, and changes nothing after one that was not.

    No other job may write the warehouse meanwhile. Intake leaves these users out from the first write on.
    """
    key = user_key(context.settings)
    check_one_key(context, key)
    users = stored_ids(erasure.users, key)
    erased = context.warehouse.spark.createDataFrame([(u,) for u in users], "erased_id string")
    with context.phase("find the users' rows"):
        _tidy(context)
        found = find(context, erased)
    _report(context, len(users), found)
    if not context.warehouse.read_only:
        _erase(context, users, erased, found, key)
        if erasure.purge:
            _purge(context)


def stored_ids(users: Iterable[str], key: UserKey | None) -> list[str]:
    """User ids as tables hold them, each once."""
    return sorted({key.pseudonym(u.encode()) if key else u for u in users})


def find(context: JobContext, erased: DataFrame) -> Found:
    """Look for users in every table and export.

    Args:
        context: of the run.
        erased: ``erased_id``, user ids as tables hold them.
    """
    found = Found(defaultdict(dict), {})
    for table, user in USER_OF_ROW:
        rows = context.warehouse.read_or_empty(table).withColumn("erased_id", F.expr(user))
        _count(found, table.name, rows.join(F.broadcast(erased), "erased_id"))
    for name in _exports(context):
        rows = _export(context, name).join(F.broadcast(erased.withColumn("gone", F.lit(True))), "erased_id", "left")
        _count(found, name, rows.where("gone"))
        counts = [F.count_if("gone").alias("erased"), F.count_if(F.col("gone").isNull()).alias("left")]
        touched = rows.groupBy(*PARTITION).agg(*counts).where("erased > 0").collect()
        found.partitions[name] = {(r["dt"], r["clustering_id"], r["revision"]): r["left"] for r in touched}
    return found


def _count(found: Found, name: str, rows: DataFrame) -> None:
    for r in rows.groupBy("erased_id").count().collect():
        found.rows[r["erased_id"]][name] = r["count"]


def _exports(context: JobContext) -> list[str]:
    names = stored_names(context.warehouse)
    return [n for n in names if n == USER_FEATURES.name or n.startswith(EXPORT_PREFIXES)]


def _export(context: JobContext, name: str) -> DataFrame:
    """User and partition of each row; the schema is given, since partition values would be guessed at otherwise."""
    columns = ", ".join(f"{c} {USER_FEATURES.type_of(c)}" for c in ("user_id", *PARTITION))
    rows = context.warehouse.spark.read.schema(columns).parquet(f"{context.warehouse.root.rstrip('/')}/{name}")
    return rows.withColumnRenamed("user_id", "erased_id")


def _tidy(context: JobContext) -> None:
    if context.warehouse.read_only:
        return
    remove(context.warehouse.spark, f"{context.warehouse.root.rstrip('/')}/{STAGING}")  # of runs that were killed
    for name in _exports(context):
        tidy_parquet(context.warehouse, name, list(PARTITION))


def _report(context: JobContext, users: int, found: Found) -> None:
    totals = found.totals()
    context.run.rows_in = context.run.rows_out = sum(totals.values())
    context.run.metrics.update({f"rows_of_{name}": float(rows) for name, rows in totals.items()})
    in_none = users - len(found.rows)
    context.run.metrics.update({"users": float(users), "users_in_no_table": float(in_none)})
    rows = ", ".join(f"{name} {count}" for name, count in sorted(totals.items())) or "none"
    say(f"rows of {users} users: {rows}")
    if in_none:
        say(f"{in_none} of {users} users are in no table: erased before, or their ids are not those of the event log")


def _erase(context: JobContext, users: Sequence[str], erased: DataFrame, found: Found, key: UserKey | None) -> None:
    digests = digests_of(context, users)
    proofs = needed_proofs(context, digests, found.rows, _versions(context))
    if not proofs:
        return
    key_id = key.key_id if key else None
    with context.phase("note the erasure"):
        write_proofs(context, proofs, digests.salt, key_id)
    with context.phase("correct feature_publications"):
        correct_publications(context, erased, found.partitions.get(USER_FEATURES.name, {}))
    with context.phase("delete from the tables"):
        _delete(context, erased, found.totals())
    with context.phase("rewrite the exports"):
        _rewrite(context, erased, found)
    with context.phase("complete the proof"):
        write_proofs(context, completed(proofs, _versions(context)), digests.salt, key_id)


def _delete(context: JobContext, erased: DataFrame, totals: Mapping[str, int]) -> None:
    for table, user in USER_OF_ROW:
        if totals.get(table.name):
            delete_matching(context.warehouse, table, erased, f"{user} = erased_id")


def _rewrite(context: JobContext, erased: DataFrame, found: Found) -> None:
    unwanted = erased.withColumnRenamed("erased_id", "user_id")
    for name, partitions in found.partitions.items():
        for partition in sorted(partitions):
            rewrite_parquet_partition(context.warehouse, name, dict(zip(PARTITION, partition, strict=True)), unwanted)


def _versions(context: JobContext) -> dict[str, int]:
    stored = [table for table, _ in USER_OF_ROW if context.warehouse.exists(table)]
    return {table.name: newest_commit(context.warehouse.spark, context.warehouse.path(table)) for table in stored}


def _purge(context: JobContext) -> None:
    hours = context.settings.features.purge_retention_hours
    with context.phase("remove old versions"):
        stored = [table for table, _ in USER_OF_ROW if context.warehouse.exists(table)]
        left = [table.name for table in stored if not purge(context.warehouse, table, hours)]
        if left:
            say(f"{', '.join(left)}: old versions stay for features.purge_retention_hours, {hours:g} h; use --purge again then")
        else:
            mark_purged(context)
