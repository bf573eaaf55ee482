"""Where tasks leave finished batches, so that a task, a worker or a driver that is killed loses at most the batch it was in.

Each batch is a Parquet file of its own, put in place whole. A later attempt of the task, or a later run of the day, finds what is
done and goes on from there; when the tables have it, the folder goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from bannermap.platform.whole_files import system_of, write_whole


@dataclass(frozen=True)
class Staging:
    """A folder of finished batches.

    Attributes:
        address: see `system_of`.
    """

    address: str

    def write(self, rows: pa.RecordBatch, name: str) -> None:
        """Put a file in place, whole or not at all."""
        import pyarrow.parquet as pq

        system, folder = system_of(self.address)
        table = pa.Table.from_batches([rows])
        write_whole(system, f"{folder}/{name}.parquet", lambda stream: pq.write_table(table, stream, compression="lz4"))

    def values(self, prefix: str, column: str) -> set[Any]:
        """What the files whose names start with ``prefix`` hold in a column."""
        import pyarrow.parquet as pq
        from pyarrow.fs import FileSelector

        system, folder = system_of(self.address)
        found: set[Any] = set()
        for file in system.get_file_info(FileSelector(folder, allow_not_found=True)):
            if file.base_name.startswith(prefix) and file.base_name.endswith(".parquet"):
                with system.open_input_file(file.path) as stream:
                    found.update(pq.read_table(stream, columns=[column]).column(0).to_pylist())
        return found
