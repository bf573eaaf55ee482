"""How `user_banner_days` lies on disk: by day and by bucket of users, so that a task reads whole users and nothing is shuffled.

A user's bucket is xxhash64 of the user id modulo a number that is kept with the table, as one of its properties: with another
number, days would not fit together.
"""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.fs as pafs

from bannermap.features.arrow import Bucket
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext, say
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import USER_BANNER_DAYS, USER_BUCKETS_PROPERTY, Table, user_banner_days
from bannermap.platform.versions import table_properties
from bannermap.platform.whole_files import system_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

DELETION_VECTORS = "delta.enableDeletionVectors"
EPOCH = datetime.date(1970, 1, 1)
BYTES_PER_TASK = 4 << 20
"""Compressed; a second of work. Below it, starting tasks costs more than it brings."""
LISTINGS_AT_ONCE = 8
FOLDERS = re.compile(r"/dt=(\d{4}-\d{2}-\d{2})/user_bucket=(\d+)/[^/]+$")


@dataclass(frozen=True)
class StoredFile:
    """A file of partials.

    Attributes:
        day: day number since 1970 of its events.
        bucket: of its users.
        address: as Spark names it.
        bytes: compressed.
    """

    day: int
    bucket: int
    address: str
    bytes: int


def partials_table(context: JobContext) -> Table:
    """`USER_BANNER_DAYS` with the configured number of buckets.

    Raises:
        InputError: the stored table has another number.
    """
    configured = context.settings.features.user_buckets
    if context.warehouse.exists(USER_BANNER_DAYS):
        context.warehouse.check(USER_BANNER_DAYS)
        stored = int(_properties(context.warehouse).get(USER_BUCKETS_PROPERTY, configured))
        if stored != configured:
            raise InputError(
                f"user_banner_days at {context.warehouse.path(USER_BANNER_DAYS)} lies in {stored} buckets of users, and "
                f"features.user_buckets is {configured}: one user would be in two. Nothing was changed; set it to {stored}. For "
                "another number, move the table and event_log_days away and take the kept log days in again."
            )
    return user_banner_days(configured)


def laid_out(partials: DataFrame) -> DataFrame:
    """The partials with one task, hence one file, for each day and bucket, sorted by user and banner: names compress well."""
    return partials.repartition("dt", "user_bucket").sortWithinPartitions("dt", "user_bucket", "user_id", "banner_id")


def stored_files(warehouse: Warehouse, partials: DataFrame) -> list[StoredFile] | None:
    """Files of stored partials, for tasks to read by themselves.

    Args:
        warehouse: where the table is.
        partials: rows of `USER_BANNER_DAYS` as of one version, restricted to some days only.

    Returns:
        The files; None where only Spark can read them: files that hold deleted rows beside a list of them, or a file system
        that pyarrow does not know.
    """
    if _properties(warehouse).get(DELETION_VECTORS) == "true":
        return None
    try:
        return _stored_files(partials.inputFiles())
    except (OSError, ValueError) as error:  # pyarrow: an unknown scheme, a missing driver
        say(f"Spark reads and shuffles user_banner_days, since tasks cannot read it by themselves ({error})")
        return None


def _stored_files(addresses: Iterable[str]) -> list[StoredFile]:
    """The files with their sizes, by a listing for each day: of thousands of files a request for each takes minutes."""
    found = {address: FOLDERS.search(address) for address in addresses}
    placed = {address: folders for address, folders in found.items() if folders}
    if len(placed) < len(found):
        raise ValueError(f"{next(a for a in found if a not in placed)} lies in no folder of a day and a bucket")
    with ThreadPoolExecutor(LISTINGS_AT_ONCE) as pool:
        listings = list(pool.map(_sizes, sorted({a[: folders.end(1)] for a, folders in placed.items()})))
    sizes = {path: size for listing in listings for path, size in listing.items()}
    return [_stored_file(address, folders, sizes) for address, folders in placed.items()]


def _sizes(folder: str) -> dict[str, int]:
    """Path of everything below a folder -> bytes."""
    system, path = system_of(folder)
    return {info.path: info.size or 0 for info in system.get_file_info(pafs.FileSelector(path, recursive=True))}


def _stored_file(address: str, folders: re.Match[str], sizes: Mapping[str, int]) -> StoredFile:
    day = (datetime.date.fromisoformat(folders[1]) - EPOCH).days
    return StoredFile(day, int(folders[2]), address, sizes.get(system_of(address)[1], 0))


def tasks_of(files: Iterable[StoredFile], least_tasks: int) -> list[list[Bucket]]:
    """Buckets by task, the longest task first, so that none is waited for at the end.

    A task has one bucket, since a bucket is what fits into memory; several only while they are small, and there are at least as
    many tasks as asked for, or as buckets.

    Args:
        files: of stored partials.
        least_tasks: where there are so many buckets.
    """
    by_bucket: dict[int, list[StoredFile]] = defaultdict(list)
    for file in sorted(files, key=lambda f: (f.day, f.address)):
        by_bucket[file.bucket].append(file)
    weights = {bucket: sum(f.bytes for f in of_bucket) for bucket, of_bucket in by_bucket.items()}
    number = min(len(weights), max(least_tasks, -(-sum(weights.values()) // BYTES_PER_TASK)))
    tasks: list[list[int]] = [[] for _ in range(number)]
    loads = [0] * number
    for bucket in sorted(weights, key=lambda b: (-weights[b], b)):
        lightest = loads.index(min(loads))
        tasks[lightest].append(bucket)
        loads[lightest] += max(weights[bucket], 1)
    order = sorted(range(number), key=lambda n: -loads[n])
    return [[[(f.day, f.address) for f in by_bucket[bucket]] for bucket in tasks[n]] for n in order]


def _properties(warehouse: Warehouse) -> dict[str, str]:
    return table_properties(warehouse.spark, warehouse.path(USER_BANNER_DAYS))
