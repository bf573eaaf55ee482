"""Vectors between Arrow and numpy without a copy per row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from bannermap.platform.tables import Table


def matrix_of(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A list column of equal lengths as a matrix (n, d) of its value type; (0, 0) when empty."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values = whole.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(whole), -1) if len(whole) else np.empty((0, 0), values.dtype)


def list_array(matrix: np.ndarray) -> pa.ListArray:
    """A matrix (n, d) as a list column."""
    offsets = np.arange(len(matrix) + 1, dtype=np.int32) * matrix.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(matrix).ravel()))


def whole_partition(batches: Iterable[pa.RecordBatch]) -> pa.Table | None:
    """All rows of a task; None when it has none. Only for partitions whose size is bounded."""
    parts = [b for b in batches if b.num_rows]
    return pa.Table.from_batches(parts) if parts else None


def large_chunks(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Arrow batches joined until they have at least ``rows`` rows; Spark's are sized for images."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        waiting.append(batch)
        held += batch.num_rows
        if held >= rows:
            yield pa.Table.from_batches(waiting)
            waiting, held = [], 0
    if held:
        yield pa.Table.from_batches(waiting)


def batch_of(frame: Table, *columns: np.ndarray | pa.Array) -> pa.RecordBatch:
    """A batch with the columns of a declared frame, in its order."""
    return pa.RecordBatch.from_arrays([pa.array(c) if isinstance(c, np.ndarray) else c for c in columns], list(frame.columns))
