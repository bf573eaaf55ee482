"""Where tasks leave finished batches, so that a task, a worker or a driver that is killed loses at most the batch it was in.

Each batch is a Parquet file of its own, put in place whole. A later attempt of the task, or a later run of the day, finds what is
done and goes on from there; when the tables have it, the folder goes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

WITHOUT_RENAME = ("s3", "gcs", "abfs")
"""Object stores show a file only when it is complete, and renaming there is copying."""


@dataclass(frozen=True)
class Staging:
    """A folder of finished batches.

    Attributes:
        address: a path or any address that pyarrow's file systems know; credentials come from the standard places.
    """

    address: str

    def write(self, rows: pa.RecordBatch, name: str) -> None:
        """Put a file in place, whole or not at all."""
        import pyarrow.parquet as pq

        system, folder = self._system()
        final = f"{folder}/{name}.parquet"
        aside = final if system.type_name in WITHOUT_RENAME else f"{folder}/_{uuid.uuid4().hex}"
        system.create_dir(folder, recursive=True)
        with system.open_output_stream(aside) as stream:
            pq.write_table(pa.Table.from_batches([rows]), stream, compression="lz4")
        if aside != final:
            system.move(aside, final)

    def values(self, prefix: str, column: str) -> set[Any]:
        """What the files whose names start with ``prefix`` hold in a column."""
        import pyarrow.parquet as pq
        from pyarrow.fs import FileSelector

        system, folder = self._system()
        found: set[Any] = set()
        for file in system.get_file_info(FileSelector(folder, allow_not_found=True)):
            if file.base_name.startswith(prefix) and file.base_name.endswith(".parquet"):
                with system.open_input_file(file.path) as stream:
                    found.update(pq.read_table(stream, columns=[column]).column(0).to_pylist())
        return found

    def _system(self) -> tuple[Any, str]:
        from pyarrow.fs import FileSystem, LocalFileSystem

        if "://" not in self.address and not self.address.startswith("file:"):
            return LocalFileSystem(), self.address
        address = "s3:" + self.address.partition(":")[2] if self.address.startswith(("s3a:", "s3n:")) else self.address
        system, folder = FileSystem.from_uri(address)
        return system, folder.rstrip("/")
