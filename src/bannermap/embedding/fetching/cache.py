"""Bytes of images in a folder or object store, one object per content: ``<address>/ab/cd/abcd...``, named by its sha256.

An alternative to the table image_bytes for warehouses whose pictures shall not pass through Spark's shuffles and commits; several
warehouses may share one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs

ATOMIC = frozenset({"s3", "gcs", "abfs"})
"""File systems of pyarrow where an object appears whole, when its stream is closed; elsewhere a file is renamed into place."""
REQUESTS_AT_ONCE = 16


@dataclass(frozen=True)
class ImageCache:
    """A cache; small and picklable, it travels to the tasks.

    Attributes:
        address: folder, or any address that pyarrow's file systems know (``s3://bucket/prefix``, gs, hdfs, abfs). Credentials and
            endpoint come from the environment of the process, as everywhere.
    """

    address: str

    def path(self, content_hash: str) -> str:
        """Where a content lies, below the root of its file system.

        Raises:
            ValueError: it is no sha256 in lower-case hexadecimal, so nothing may be named by it.
        """
        if not re.fullmatch("[0-9a-f]{64}", content_hash):
            raise ValueError(f"{content_hash!r} is no sha256 in lower-case hexadecimal")
        return f"{_system(self.address)[1]}/{content_hash[:2]}/{content_hash[2:4]}/{content_hash}"

    def put(self, content_hash: str, data: bytes) -> None:
        """Store a content; one that is there already is left as it is. Killed at any point, no reader sees a part of it."""
        system, path = _system(self.address)[0], self.path(content_hash)
        if _is_file(system, path):
            return
        if system.type_name in ATOMIC:
            _write(system, path, data)
            return
        system.create_dir(path.rpartition("/")[0], recursive=True)
        aside = f"{path}.{uuid4().hex}"
        _write(system, aside, data)
        system.move(aside, path)

    def get(self, content_hash: str) -> bytes | None:
        """A content; None where it is absent or not what its name says."""
        system, path = _system(self.address)[0], self.path(content_hash)
        try:
            with system.open_input_stream(path) as stream:
                data = bytes(stream.read())
        except FileNotFoundError:
            return None
        return data if hashlib.sha256(data).hexdigest() == content_hash else None

    def put_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """`STORED_IMAGES` to `CONTENTS`, for mapInArrow: stores each row."""
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for batch in batches:
                list(pool.map(self.put, batch.column("content_hash").to_pylist(), batch.column("data").to_pylist()))
                yield batch.select(["content_hash"])

    def get_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """`CONTENTS` to `STORED_IMAGES`, for mapInArrow: contents that are absent have no row."""
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for batch in batches:
                hashes = batch.column("content_hash").to_pylist()
                found = [(h, d) for h, d in zip(hashes, pool.map(self.get, hashes), strict=True) if d is not None]
                columns = [pa.array([h for h, _ in found], pa.string()), pa.array([d for _, d in found], pa.binary())]
                yield pa.RecordBatch.from_arrays(columns, ["content_hash", "data"])


@lru_cache(maxsize=4)
def _system(address: str) -> tuple[Any, str]:
    """pyarrow's file system of an address, and the path in it."""
    if "://" not in address:
        return pafs.LocalFileSystem(), str(Path(address).resolve())
    scheme, _, rest = address.partition("://")
    system, path = pafs.FileSystem.from_uri(f"{'s3' if scheme == 's3a' else scheme}://{rest}")
    return system, path.rstrip("/")


def _is_file(system: Any, path: str) -> bool:
    return bool(system.get_file_info(path).type == pafs.FileType.File)


def _write(system: Any, path: str, data: bytes) -> None:
    with system.open_output_stream(path) as stream:
        stream.write(data)
