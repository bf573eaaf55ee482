"""What runs that were killed, and never run again, left beside the tables: found by age, for `maintain_warehouse`."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from bannermap.platform.files import hadoop_path, matches

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PLACES = ("_staging/*/*", "*/_staging/*", "_claims/*")
"""Below a warehouse: results of phases and files of tasks, by job; partitions of Parquet tables on their way; claims."""


def left_over(spark: SparkSession, root: str, before_ms: int) -> list[str]:
    """Folders in which nothing was written since some moment; no run that is at work has one.

    Args:
        spark: the session.
        root: of a warehouse.
        before_ms: milliseconds since 1970.

    Returns:
        Their addresses, in order.
    """
    found = [path for place in PLACES for path in matches(spark, root, place)]
    return sorted(path for path in found if newest_ms(spark, path) < before_ms)


def newest_ms(spark: SparkSession, path: str) -> int:
    """When the youngest file below a folder was written; of a folder without files, when it was changed itself.

    Where something goes meanwhile, a run is at work, and it is now. An object store gives the moment of the question for an
    empty folder, so such a one, which takes no space, stays.
    """
    place, file_system = hadoop_path(spark, path)
    written = []
    try:
        files = file_system.listFiles(place, True)
        while files.hasNext():
            written.append(int(files.next().getModificationTime()))
        return max(written, default=int(file_system.getFileStatus(place).getModificationTime()))
    except Exception as error:  # py4j's, of many kinds
        if not re.search("FileNotFoundException|No such file or directory", str(error)):
            raise
        return time.time_ns() // 1_000_000  # something went while it was looked at: a run is at work there
