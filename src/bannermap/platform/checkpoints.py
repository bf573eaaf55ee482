"""What long phases leave on disk while a run works, so that a run that is killed goes on where it was.

Each is written whole, by name. The folder's name holds a hash of all that the run reads, so nothing stale is ever taken up; it
goes when the run has succeeded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from bannermap.platform.files import modified_ms, path_exists, remove
from bannermap.platform.runs import say
from bannermap.platform.whole_files import system_of, write_whole

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DONE = "_SUCCESS"
DAY_DIGITS = len("2026-01-31")


@dataclass(frozen=True)
class Checkpoints:
    """Results of phases.

    Attributes:
        spark: the session.
        folder: path or address whose last part starts with the day; none to keep nothing on disk.
    """

    spark: SparkSession
    folder: str | None

    def frame(self, name: str, make: Callable[[], DataFrame]) -> DataFrame:
        """A frame as an earlier run left it, or computed now; without a folder it is persisted."""
        if self.folder is None:
            made = make().persist()
            made.count()  # now, so that it is what this phase takes
            return made
        path = f"{self.folder}/{name}"
        if path_exists(self.spark, f"{path}/{DONE}"):
            self._resume(name)
        else:
            make().write.mode("overwrite").parquet(path)
        return self.spark.read.parquet(path)

    def table(self, name: str, make: Callable[[], pa.Table]) -> pa.Table:
        """The same for what the driver holds."""
        import pyarrow.parquet as pq

        if self.folder is None:
            return make()
        path = f"{self.folder}/{name}.parquet"
        system, file = system_of(path)
        if path_exists(self.spark, path):
            self._resume(name)
            with system.open_input_file(file) as stream:
                return pq.read_table(stream)
        made = make()
        write_whole(system, file, lambda stream: pq.write_table(made, stream, compression="lz4"))
        return made

    def end(self) -> None:
        """Remove all, and what runs of the same day on other input had left beside it; failing to harms nothing."""
        if self.folder is None:
            return
        parent, _, own = self.folder.rpartition("/")
        try:
            for name in modified_ms(self.spark, parent):
                if name[:DAY_DIGITS] == own[:DAY_DIGITS]:
                    remove(self.spark, f"{parent}/{name}")
        except Exception as error:  # whatever the file system raises: the run itself has done its work
            say(f"{parent} could not be cleared ({error}); remove it by hand.")

    def _resume(self, name: str) -> None:
        say(f"{name}: taken from what a run that did not end had left in {self.folder}")
