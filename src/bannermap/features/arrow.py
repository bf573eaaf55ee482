"""Arrow batches in, Arrow batches out: what Spark's tasks run around the kernels of `sweep` and `windows`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.features.assignments import Assignments
from bannermap.features.windows import dense_counts, fixed_length_lists
from bannermap.platform.tables import (
    EVENT_TYPES,
    WINDOWS_DAYS,
    count_column,
    list_column,
    recency_column,
    wide_column,
    window_column,
    window_columns,
)
from bannermap.platform.whole_files import system_of

if TYPE_CHECKING:
    from bannermap.features.sweep import Counts

CHUNK_ROWS = 1_000_000
"""Partials per kernel call: session batches are small because others carry images, and numpy wants long arrays."""
ROWS_OF_FORMS = 20_000
"""Feature rows at a time for the exports: 32 slots are 384 numbers a row."""
NAMES = ("user_id", "banner_id")
Bucket = Sequence[tuple[int, str]]
"""Day number and address of each file of a bucket, days ascending."""
COUNTS = tuple(map(count_column, EVENT_TYPES))


@dataclass(frozen=True)
class Wanted:
    """The feature rows that a pass over partials makes; travels to the tasks.

    Attributes:
        as_of: int32 (targets,), day numbers since 1970; neighbours of one assignment ascend.
        assignment: int32 (targets,), which assignment each counts by.
        assignments: see there.
        recency: bool (targets,), see `sweep.Targets`.
    """

    as_of: np.ndarray
    assignment: np.ndarray
    assignments: Assignments
    recency: np.ndarray | None = None

    @property
    def lists(self) -> list[str]:
        """Columns of the feature rows that are lists aligned with cluster_ids."""
        return feature_lists(self.recency is not None and bool(self.recency.any()))


def feature_lists(recency: bool) -> list[str]:
    """Names of the windowed counts, and of the recencies where any target has them."""
    return [*window_columns(), *map(recency_column, EVENT_TYPES if recency else ())]


def feature_batches_of_rows(batches: Iterable[pa.RecordBatch], wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Feature rows from partials that Spark brings.

    Args:
        batches: user_id, banner_id, day (number) and counts, sorted by user_id; every user is whole within the task.
        wanted: what is to be made.

    Yields:
        target, user_id, cluster_ids and `Wanted.lists`, aligned with them; one row per target and user. Recencies are null for
        targets without them.
    """
    for rows in user_chunks(batches, CHUNK_ROWS):
        yield from feature_batches(rows, wanted)


def feature_batches_of_files(
    batches: Iterable[pa.RecordBatch], buckets: Sequence[Sequence[Bucket]], wanted: Wanted
) -> Iterator[pa.RecordBatch]:
    """Feature rows from files of partials that the task reads by itself, bucket by bucket.

    Args:
        batches: id: which of ``buckets``.
        buckets: the buckets of each task.
        wanted: what is to be made.

    Yields:
        As `feature_batches_of_rows`.
    """
    for batch in batches:
        for bucket in (b for task in batch.column("id").to_pylist() for b in buckets[task]):
            yield from feature_batches(_read_files(bucket), wanted)


def _read_files(files: Bucket) -> pa.Table:
    import pyarrow.parquet as pq

    tables = []
    for day, address in files:
        system, path = system_of(address)
        with system.open_input_file(path) as source:
            rows = pq.ParquetFile(source, read_dictionary=list(NAMES)).read([*NAMES, *COUNTS], use_threads=False)
        tables.append(rows.append_column("day", pa.array(np.full(len(rows), day, np.int32))))
    return pa.concat_tables(tables)


def feature_batches(rows: pa.Table, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Feature rows from partials of whole users, see `feature_batches_of_rows`."""
    from bannermap.features.sweep import Partials, Targets, swept  # numba takes a second to import

    if not len(rows):
        return
    user_ids, users = _encoded(rows["user_id"])
    user_ids = pa.concat_arrays([user_ids, pa.nulls(1, user_ids.type)])  # only a damaged partial has none; the gate tells
    banner_ids, banners = _encoded(rows["banner_id"])
    counts = np.empty((len(rows), len(COUNTS)), np.int32)
    for number, name in enumerate(COUNTS):
        counts[:, number] = pc.fill_null(rows[name], 0).to_numpy()  # as above
    partials = Partials(users, banners, rows["day"].to_numpy(), counts)
    targets = Targets(wanted.as_of, wanted.assignment, wanted.assignments.of_banners(banner_ids), wanted.recency)
    for piece in swept(partials, len(user_ids), targets):
        yield _feature_batch(piece, user_ids, wanted)


def _encoded(column: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """Distinct values and the place of each value among them; a null's place is behind the last."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    flat = _flat(column.unify_dictionaries())
    return flat.dictionary, flat.indices.fill_null(len(flat.dictionary)).cast(pa.int32()).to_numpy()


def _feature_batch(piece: Counts, user_ids: pa.Array, wanted: Wanted) -> pa.RecordBatch:
    offsets = pa.array(piece.offsets)
    lists = [pa.ListArray.from_arrays(offsets, pa.array(column)) for column in piece.counts]
    if wanted.recency is not None and len(piece.ages):
        absent = pa.array(~wanted.recency[piece.targets])
        lists += [pa.ListArray.from_arrays(offsets, pa.array(column), mask=absent) for column in piece.ages]
    clusters = pa.ListArray.from_arrays(offsets, wanted.assignments.cluster_ids.take(pa.array(piece.clusters)))
    columns = [pa.array(piece.targets), user_ids.take(pa.array(piece.users)), clusters, *lists]
    return pa.RecordBatch.from_arrays(columns, ["target", "user_id", "cluster_ids", *wanted.lists])


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


def long_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row per user and cluster from one row per user: target, user_id, cluster_id and the windowed counts."""
    for batch in batches:
        parents = pc.list_parent_indices(batch.column("cluster_ids"))
        same = [batch.column(c).take(parents) for c in ("target", "user_id")]
        flat = [batch.column(c).flatten() for c in ("cluster_ids", *window_columns())]
        yield pa.RecordBatch.from_arrays([*same, *flat], ["target", "user_id", "cluster_id", *window_columns()])


def wide_batches(
    batches: Iterable[pa.RecordBatch], slots: Mapping[int, Sequence[str]], events: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """The wide form of feature rows: target, user_id and one int column per window, event and slot.

    Args:
        batches: feature rows.
        slots: target -> cluster or theme of slot 1, 2, ...; "" for a slot without one, which is 0 throughout.
        events: event types that get columns.
    """
    for target, rows in by_target(batches):
        dense = _dense(rows, slots[target])
        columns = {
            wide_column(event, window, slot + 1): pa.array(dense[:, w, EVENT_TYPES.index(event), slot]).cast(pa.int32())
            for w, window in enumerate(WINDOWS_DAYS)
            for event in events
            for slot in range(len(slots[target]))
        }
        yield _named(rows, columns)


def list_batches(batches: Iterable[pa.RecordBatch], slots: Mapping[int, Sequence[str]]) -> Iterator[pa.RecordBatch]:
    """The fixed-length form of feature rows: target, user_id and one list of 3 x slots floats per window."""
    for target, rows in by_target(batches):
        lists = fixed_length_lists(_dense(rows, slots[target]))
        offsets = pa.array(np.arange(len(lists) + 1, dtype=np.int32) * lists.shape[2])
        columns = {
            list_column(window): pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(lists[:, w]).ravel()))
            for w, window in enumerate(WINDOWS_DAYS)
        }
        yield _named(rows, columns)


def by_target(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of each target, of many batches at once; batches are small, and have rows of all targets."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in itertools.chain(batches, [None]):
        waiting, rows = (waiting, rows) if batch is None else ([*waiting, batch], rows + batch.num_rows)
        if rows and (batch is None or rows >= ROWS_OF_FORMS):
            yield from _split(pa.Table.from_batches(waiting))
            waiting, rows = [], 0


def _split(rows: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
    for target in pc.unique(rows["target"]).to_pylist():
        mine = rows.filter(pc.equal(rows["target"], target)).combine_chunks()
        yield from ((target, batch) for batch in mine.to_batches())


def _dense(batch: pa.RecordBatch, slots: Sequence[str]) -> np.ndarray:
    ids = batch.column("cluster_ids")
    lengths = pc.list_value_length(ids).to_numpy(zero_copy_only=False)
    places = pc.index_in(ids.flatten(), value_set=pa.array(list(slots), ids.type.value_type)).fill_null(-1)
    columns = [batch.column(window_column(e, w)).flatten().to_numpy() for w in WINDOWS_DAYS for e in EVENT_TYPES]
    counts = np.column_stack(columns).reshape(-1, len(WINDOWS_DAYS), len(EVENT_TYPES))
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return dense_counts(offsets, places.to_numpy(zero_copy_only=False), counts, len(slots))


def _named(batch: pa.RecordBatch, columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    same = [batch.column(c) for c in ("target", "user_id")]
    return pa.RecordBatch.from_arrays([*same, *columns.values()], ["target", "user_id", *columns])


def _flat(column: pa.ChunkedArray) -> pa.Array:
    """One array of a column; a table that was joined and sliced has one chunk, or none when empty."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
