"""Bytes of images in a folder or object store, one object per content: ``<address>/ab/cd/abcd...``, named by its sha256.

An alternative to the table image_bytes for warehouses whose pictures shall not pass through Spark's shuffles and commits; several
warehouses may share one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from bannermap.platform.whole_files import system_of, write_whole

REQUESTS_AT_ONCE = 16


@dataclass(frozen=True)
class ImageCache:
    """A cache; small and picklable, it travels to the tasks.

    Attributes:
        address: folder, or any address of `system_of`.
    """

    address: str

    def path(self, content_hash: str) -> str:
        """Where a content lies, below the root of its file system.

        Raises:
            ValueError: it is no sha256 in lower-case hexadecimal, so nothing may be named by it.
        """
        if not re.fullmatch("[0-9a-f]{64}", content_hash):
            raise ValueError(f"{content_hash!r} is no sha256 in lower-case hexadecimal")
        return f"{system_of(self.address)[1]}/{content_hash[:2]}/{content_hash[2:4]}/{content_hash}"

    def put(self, content_hash: str, data: bytes) -> None:
        """Store a content; one that is there already is left as it is. Killed at any point, no reader sees a part of it."""
        system, path = system_of(self.address)[0], self.path(content_hash)
        if _is_file(system, path):
            return
        write_whole(system, path, lambda stream: stream.write(data))

    def get(self, content_hash: str) -> bytes | None:
        """A content; None where it is absent or not what its name says."""
        system, path = system_of(self.address)[0], self.path(content_hash)
        try:
            with system.open_input_stream(path) as stream:
                data = bytes(stream.read())
        except FileNotFoundError:
            return None
        return data if hashlib.sha256(data).hexdigest() == content_hash else None

    def remove(self, content_hash: str) -> bool:
        """Remove a content; whether it was there."""
        system, path = system_of(self.address)[0], self.path(content_hash)
        if not _is_file(system, path):
            return False
        system.delete_file(path)
        return True

    def held_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """content_hash to those that are there, for mapInArrow."""
        return self._filtered(batches, lambda content_hash: _is_file(system_of(self.address)[0], self.path(content_hash)))

    def remove_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """content_hash to those that were there and are removed, for mapInArrow."""
        return self._filtered(batches, self.remove)

    def _filtered(self, batches: Iterable[pa.RecordBatch], told: Callable[[str], bool]) -> Iterator[pa.RecordBatch]:
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for batch in batches:
                hashes = batch.column("content_hash")
                chosen = pa.array(pool.map(told, hashes.to_pylist()), pa.bool_())
                yield pa.RecordBatch.from_arrays([hashes.filter(chosen)], ["content_hash"])

    def put_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows of `IMAGE_BYTES` to their content_hash, for mapInArrow: stores each row."""
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for batch in batches:
                list(pool.map(self.put, batch.column("content_hash").to_pylist(), batch.column("data").to_pylist()))
                yield batch.select(["content_hash"])

    def get_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """content_hash to rows of `IMAGE_BYTES`, for mapInArrow: contents that are absent have no row."""
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for batch in batches:
                hashes = batch.column("content_hash").to_pylist()
                found = [(h, d) for h, d in zip(hashes, pool.map(self.get, hashes), strict=True) if d is not None]
                columns = [pa.array([h for h, _ in found], pa.string()), pa.array([d for _, d in found], pa.binary())]
                yield pa.RecordBatch.from_arrays(columns, ["content_hash", "data"])


def _is_file(system: Any, path: str) -> bool:
    return bool(system.get_file_info(path).type == pafs.FileType.File)
