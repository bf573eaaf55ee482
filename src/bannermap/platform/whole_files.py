"""Files that tasks write by themselves: whole or not at all, on any file system that pyarrow knows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs

ATOMIC = frozenset({"s3", "gcs", "abfs"})
"""File systems of pyarrow where an object appears whole, when its stream is closed; elsewhere a file is renamed into place."""


def system_of(address: str) -> tuple[Any, str]:
    """pyarrow's file system of an address, and the path in it; addresses of one bucket or host share a file system.

    Args:
        address: a path, or what pyarrow knows (``s3://bucket/prefix``, gs, hdfs, abfs; s3a is taken for s3). Credentials and
            endpoint come from the environment of the process.
    """
    if "://" not in address:
        return pafs.LocalFileSystem(), str(Path(address.removeprefix("file:")).resolve())
    parts = urlsplit(address)
    system, base = _system_at("s3" if parts.scheme == "s3a" else parts.scheme, parts.netloc, parts.query)
    return system, f"{base.rstrip('/')}/{unquote(parts.path).lstrip('/')}".rstrip("/")


@lru_cache(maxsize=16)
def _system_at(scheme: str, host: str, options: str) -> tuple[Any, str]:
    """A file system and the path of its root; kept, since making one opens connections and may ask a server for its region."""
    return pafs.FileSystem.from_uri(f"{scheme}://{host}/{'?' if options else ''}{options}")


system_of.cache_clear = _system_at.cache_clear  # type: ignore[attr-defined]


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
