"""What a task does: rows to documents to bulk writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from bannermap.platform.errors import BannermapError
from bannermap.publish.database import Connection
from bannermap.publish.documents import batches, documents
from bannermap.publish.publication import CLUSTERS

BATCH_BYTES = 16_000_000


@dataclass(frozen=True)
class Writer:
    """Writes the rows of a partition; travels to the tasks.

    Attributes:
        connection: not opened.
        stamp: what every document has, see `documents.documents`.
    """

    connection: Connection
    stamp: Mapping[str, str]

    def written(self, frames: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows of `frames.ENTRIES` to one row of `frames.WRITTEN`, for mapInArrow.

        What keeps a task from writing is told in its row: raised, Spark would start the task again, which would wait as long
        once more, and the reason would drown in its report.
        """
        done = {"documents": 0, "members": 0, "bytes": 0}
        problem = None
        try:
            self._write((row for frame in frames for row in frame.to_pylist()), done)
        except BannermapError as error:
            problem = str(error)
        row = {**done, "repeated": self.connection.repeated, "problem": problem}
        types = [*[pa.int64()] * 4, pa.string()]
        yield pa.RecordBatch.from_arrays([pa.array([v], t) for v, t in zip(row.values(), types, strict=True)], list(row))

    def _write(self, rows: Iterator[Mapping[str, Any]], done: dict[str, int]) -> None:
        from pymongo import ReplaceOne

        settings = self.connection.settings
        with self.connection.opened() as database:
            for batch in batches(documents(rows, self.stamp), settings.documents_per_write, BATCH_BYTES):
                writes: list[ReplaceOne[Any]] = [
                    ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document, _ in batch
                ]
                self.connection.ask(lambda writes=writes: database[CLUSTERS].bulk_write(writes, ordered=False))  # type: ignore[misc]
                done["documents"] += len(batch)
                done["members"] += sum(members for _, members in batch)
                done["bytes"] += sum(len(document.raw) for document, _ in batch)
