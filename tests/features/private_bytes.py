"""What somebody with the disk in hand could read below a folder: names, bytes, and the values that Parquet compresses."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq


def everything_in(folder: Path) -> bytes:
    parts = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        parts += [str(path.relative_to(folder)).encode(), path.read_bytes()]
        if path.name.endswith(".parquet") and not path.name.startswith("."):
            parts.append(repr(pq.ParquetFile(path).read().to_pylist()).encode())
    return b"\n".join(parts)
