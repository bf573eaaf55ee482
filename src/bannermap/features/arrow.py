"""Arrow batches in, Arrow batches out: what Spark's tasks run around the numpy kernels of `windows`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.features.windows import dense_counts, fixed_length_lists, windowed_counts
from bannermap.platform.tables import (
    EVENT_TYPES,
    WINDOWS_DAYS,
    count_column,
    list_column,
    wide_column,
    window_column,
    window_columns,
)

CHUNK_ROWS = 100_000
"""Rows per kernel call: session batches are small because others carry images, and numpy wants long arrays."""


def user_feature_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row per user from rows sorted by user_id and cluster_id.

    Args:
        batches: user_id, cluster_id, age_days and the three counts; every user is whole within the task.

    Yields:
        user_id, cluster_ids and the windowed counts as aligned lists.
    """
    for rows in user_chunks(batches, CHUNK_ROWS):
        yield _feature_batch(rows)


def user_chunks(batches: Iterable[pa.RecordBatch], least_rows: int) -> Iterator[pa.Table]:
    """Join small batches into chunks that never end inside a user.

    Args:
        batches: sorted by user_id.
        least_rows: a chunk grows until it has that many.
    """
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= least_rows:
            joined = pa.Table.from_batches(waiting).combine_chunks()
            end = pc.index(joined["user_id"], joined["user_id"][-1]).as_py()
            if end:
                yield joined.slice(0, end)
            waiting, rows = joined.slice(end).to_batches(), joined.num_rows - end
    if rows:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _feature_batch(rows: pa.Table) -> pa.RecordBatch:
    counts = np.column_stack([rows[count_column(e)].to_numpy() for e in EVENT_TYPES])
    result = windowed_counts(_codes(rows["user_id"]), _codes(rows["cluster_id"]), rows["age_days"].to_numpy(), counts)
    offsets = pa.array(result.offsets)
    lists = [_int_list(offsets, column) for column in result.counts.reshape(len(result.pair_rows), -1).T]
    users = _flat(rows["user_id"]).take(pa.array(result.user_rows))
    clusters = pa.ListArray.from_arrays(offsets, _flat(rows["cluster_id"]).take(pa.array(result.pair_rows)))
    return pa.RecordBatch.from_arrays([users, clusters, *lists], ["user_id", "cluster_ids", *window_columns()])


def wide_batches(batches: Iterable[pa.RecordBatch], slots: Sequence[str], events: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The wide form of feature rows: user_id and one int column per window, event and slot.

    Args:
        batches: rows of user_features.
        slots: cluster or theme of slot 1, 2, ...; "" for a slot without one, which is 0 throughout.
        events: event types that get columns.
    """
    for batch in batches:
        dense = _dense(batch, slots)
        columns = {
            wide_column(event, window, slot + 1): pa.array(dense[:, w, EVENT_TYPES.index(event), slot]).cast(pa.int32())
            for w, window in enumerate(WINDOWS_DAYS)
            for event in events
            for slot in range(len(slots))
        }
        yield _named(batch, columns)


def list_batches(batches: Iterable[pa.RecordBatch], slots: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The fixed-length form of feature rows: user_id and one list of 3 x slots floats per window."""
    for batch in batches:
        lists = fixed_length_lists(_dense(batch, slots))
        offsets = pa.array(np.arange(len(lists) + 1, dtype=np.int32) * lists.shape[2])
        columns = {
            list_column(window): pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(lists[:, w]).ravel()))
            for w, window in enumerate(WINDOWS_DAYS)
        }
        yield _named(batch, columns)


def _dense(batch: pa.RecordBatch, slots: Sequence[str]) -> np.ndarray:
    ids = batch.column("cluster_ids")
    lengths = pc.list_value_length(ids).to_numpy(zero_copy_only=False)
    places = pc.index_in(ids.flatten(), value_set=pa.array(list(slots), ids.type.value_type)).fill_null(-1)
    columns = [batch.column(window_column(e, w)).flatten().to_numpy() for w in WINDOWS_DAYS for e in EVENT_TYPES]
    counts = np.column_stack(columns).reshape(-1, len(WINDOWS_DAYS), len(EVENT_TYPES))
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return dense_counts(offsets, places.to_numpy(zero_copy_only=False), counts, len(slots))


def _named(batch: pa.RecordBatch, columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([batch.column("user_id"), *columns.values()], ["user_id", *columns])


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    return _flat(column).dictionary_encode().indices.to_numpy(zero_copy_only=False)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    """One array of a column; a table that was joined and sliced has one chunk, or none when empty."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _int_list(offsets: pa.Array, values: np.ndarray) -> pa.ListArray:
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values)).cast(pa.int32()))
