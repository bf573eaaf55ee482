"""What long phases leave on disk while a run works, so that a run that is killed goes on where it was.

Each is written whole, by name. The folder's name holds a hash of all that the run reads, so nothing stale is ever taken up; it
goes when the run has succeeded.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from bannermap.platform.files import modified_ms, path_exists, qualified, remove
from bannermap.platform.runs import say
from bannermap.platform.session import is_one_process
from bannermap.platform.whole_files import system_of, write_whole

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

DONE = "_SUCCESS"
DAY_DIGITS = len("2026-01-31")


@dataclass(frozen=True)
class Checkpoints:
    """Results of phases.

    Attributes:
        spark: the session.
        folder: path or address whose last part starts with the day; none where everything stays on this machine.
        keeps: false for a dry run and plain files: nothing is left behind, nothing taken up.
    """

    spark: SparkSession
    folder: str | None
    keeps: bool = True

    def frame(
        self,
        name: str,
        make: Callable[[], DataFrame],
        partition_by: Sequence[str] = (),
        schema: StructType | None = None,
    ) -> DataFrame:
        """A frame as an earlier run left it, or computed now; where nothing is kept, it is persisted.

        Args:
            name: of its folder.
            make: computes it.
            partition_by: columns to be folders, for readers of a part; they come last then.
            schema: of the frame; needed where it may have no rows, since folders of none leave no file.
        """
        if self.folder is None or not self.keeps:
            made = make().persist()
            made.count()  # now, so that it is what this phase takes
            return made
        path = f"{self.folder}/{name}"
        if path_exists(self.spark, f"{path}/{DONE}"):
            self._resume(name)
        else:
            make().write.mode("overwrite").partitionBy(*partition_by).parquet(path)
        reader = self.spark.read.schema(schema) if schema else self.spark.read
        return reader.parquet(path)

    def table(self, name: str, make: Callable[[], pa.Table]) -> pa.Table:
        """The same for what the driver holds."""
        import pyarrow.parquet as pq

        if self.folder is None or not self.keeps:
            return make()
        path = f"{self.folder}/{name}.parquet"
        system, file = system_of(qualified(self.spark, path))
        if path_exists(self.spark, path):
            self._resume(name)
            with system.open_input_file(file) as stream:
                return pq.read_table(stream)
        made = make()
        write_whole(system, file, lambda stream: pq.write_table(made, stream, compression="lz4"))
        return made

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[str]:
        """Address of a folder for files that tasks hand to the driver within a phase; removed behind it."""
        if self.folder is None or (not self.keeps and is_one_process(self.spark)):
            with tempfile.TemporaryDirectory(prefix=f"bannermap-{name}-") as here:
                yield here
            return
        address = qualified(self.spark, f"{self.folder}/{name}")
        remove(self.spark, address)
        try:
            yield address
        finally:
            remove(self.spark, address)

    def end(self) -> None:
        """Remove all, and what runs of the same day on other input had left beside it; failing to harms nothing."""
        if self.folder is None or not self.keeps:
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
