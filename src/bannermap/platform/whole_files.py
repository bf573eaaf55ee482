"""Files that tasks write by themselves: whole or not at all, on any file system that pyarrow knows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs

ATOMIC = frozenset({"s3", "gcs", "abfs"})
"""File systems of pyarrow where an object appears whole, when its stream is closed; elsewhere a file is renamed into place."""


@lru_cache(maxsize=16)
def system_of(address: str) -> tuple[Any, str]:
    """pyarrow's file system of an address, and the path in it.

    Args:
        address: a path, or what pyarrow knows (``s3://bucket/prefix``, gs, hdfs, abfs; s3a is taken for s3). Credentials and
            endpoint come from the environment of the process.
    """
    if "://" not in address:
        return pafs.LocalFileSystem(), str(Path(address.removeprefix("file:")).resolve())
    scheme, _, rest = address.partition("://")
    system, path = pafs.FileSystem.from_uri(f"{'s3' if scheme == 's3a' else scheme}://{rest}")
    return system, path.rstrip("/")


def write_whole(system: Any, path: str, write: Callable[[Any], object]) -> None:
    """Write a file; killed at any point, no reader sees a part of it.

    Args:
        system: of `system_of`.
        path: where.
        write: gets the open stream.
    """
    folder, _, name = path.rpartition("/")
    if system.type_name in ATOMIC:
        # In memory first: a stream that is closed by an error of `write` would leave what it has as a whole object.
        content = pa.BufferOutputStream()
        write(content)
        with system.open_output_stream(path) as stream:
            stream.write(content.getvalue())
        return
    aside = f"{folder}/_{name}.{uuid4().hex}"
    system.create_dir(folder, recursive=True)
    with system.open_output_stream(aside) as stream:
        write(stream)
    system.move(aside, path)
