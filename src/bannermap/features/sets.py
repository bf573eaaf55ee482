"""Feature sets: Arrow batches of feature rows into the form that a set's definition asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.features.arrow import by_target
from bannermap.features.windows import dense_counts
from bannermap.platform.settings import FeatureSettings
from bannermap.platform.tables import (
    RECENCY_LIST,
    FeatureSet,
    list_column,
    recency_column,
    slot_column,
    window_column,
)


def configured_sets(settings: FeatureSettings) -> list[FeatureSet]:
    """The sets of a configuration, by name."""
    return [FeatureSet(name, **dict(chosen)) for name, chosen in sorted(settings.sets.items())]


@dataclass(frozen=True)
class SetValues:
    """The values of some users; the pairs of a user lie together.

    Attributes:
        clusters: pa.Array of strings (pairs,).
        offsets: int (users + 1,), where each user's pairs begin.
        counts: int32 (pairs, windows, events) of the set.
        shares: float32 like counts, 0 to 1; their sum over a user's clusters, unclustered included, is 1, or 0 without events.
        ages: int32 (pairs, events), 0 to the set's longest window, which stands for none.
    """

    clusters: pa.Array
    offsets: np.ndarray
    counts: np.ndarray
    shares: np.ndarray
    ages: np.ndarray


def set_batches(
    batches: Iterable[pa.RecordBatch], feature_set: FeatureSet, slots: Mapping[int, Sequence[str]]
) -> Iterator[pa.RecordBatch]:
    """Rows of a set with their target, less what a publication adds: one per row that comes in.

    Args:
        batches: feature rows, with recencies where the set has them, by what the set counts by.
        feature_set: which.
        slots: target -> theme of slot 1, 2, ... of the layouts of fixed width; "" for a slot without one.
    """
    form = {"arrays": _aligned, "wide": _wide, "list": _listed}[feature_set.layout]
    for target, rows in by_target(batches):
        columns = form(values_of(rows, feature_set), feature_set, slots.get(target, ()))
        same = [rows.column(c) for c in ("target", "user_id")]
        yield pa.RecordBatch.from_arrays([*same, *columns.values()], ["target", "user_id", *columns])


def values_of(batch: pa.RecordBatch, feature_set: FeatureSet) -> SetValues:
    """What a set has of some rows."""
    clusters = batch.column("cluster_ids")
    lengths = pc.list_value_length(clusters).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    shape = (-1, len(feature_set.windows_days), len(feature_set.events))
    counts = _columns(batch, [window_column(e, w) for w in feature_set.windows_days for e in feature_set.events]).reshape(shape)
    ages = _columns(batch, list(map(recency_column, feature_set.events))) if feature_set.recency else np.zeros((len(counts), 0))
    ages = np.minimum(ages, feature_set.longest_days).astype(np.int32)
    return SetValues(clusters.flatten(), offsets, counts, shares_of(counts, offsets), ages)


def shares_of(counts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Each pair's share of its user's events, by window and event type; 0 where the user has none.

    Args:
        counts: int (pairs, windows, events).
        offsets: int (users + 1,), where each user's pairs begin.

    Returns:
        float32 like counts.
    """
    sums = np.concatenate([np.zeros((1, *counts.shape[1:]), np.int64), np.cumsum(counts, axis=0, dtype=np.int64)])
    of_user = np.repeat(sums[offsets[1:]] - sums[offsets[:-1]], np.diff(offsets), axis=0)
    return (counts / np.maximum(of_user, 1)).astype(np.float32)


def _aligned(values: SetValues, feature_set: FeatureSet, slots: Sequence[str]) -> dict[str, pa.Array]:
    """Lists of the pairs that the set counts anything of; of the others it would hold zeros alone."""
    counted = (values.counts != 0).any(axis=(1, 2))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counted)])[values.offsets].astype(np.int32))
    columns = _named(values.counts, feature_set.counts) | _named(values.shares, feature_set.shares)
    columns |= _named(values.ages, feature_set.recencies)
    lists = {name: _list(offsets, pa.array(column[counted])) for name, column in columns.items()}
    return {"cluster_ids": _list(offsets, values.clusters.filter(pa.array(counted))), **lists}


def _wide(values: SetValues, feature_set: FeatureSet, slots: Sequence[str]) -> dict[str, pa.Array]:
    counts, shares, ages = _dense(values, feature_set, slots)
    parts = ((counts, feature_set.counts), (shares, feature_set.shares), (ages, feature_set.recencies))
    return {
        slot_column(name, slot + 1): pa.array(np.ascontiguousarray(dense[:, number, slot]))
        for dense, names in parts
        for number, name in enumerate(names)
        for slot in range(len(slots))
    }


def _listed(values: SetValues, feature_set: FeatureSet, slots: Sequence[str]) -> dict[str, pa.Array]:
    counts, shares, ages = _dense(values, feature_set, slots)
    events, columns = len(feature_set.events), {}
    for number, window in enumerate(feature_set.windows_days):
        mine = slice(number * events, (number + 1) * events)
        parts = [counts[:, mine], shares[:, mine]] if feature_set.share else [counts[:, mine]]
        columns[list_column(window)] = _rows_as_lists(np.concatenate(parts, axis=1))
    return columns | ({RECENCY_LIST: _rows_as_lists(ages)} if feature_set.recency else {})


def _dense(values: SetValues, feature_set: FeatureSet, slots: Sequence[str]) -> list[np.ndarray]:
    """Counts, shares and ages, each (users, values, slots)."""
    places = pc.index_in(values.clusters, value_set=pa.array(list(slots), values.clusters.type)).fill_null(-1)
    place, pairs = places.to_numpy(zero_copy_only=False), len(values.clusters)
    parts = ((values.counts, 0), (values.shares, 0), (values.ages, feature_set.longest_days))
    return [
        dense_counts(values.offsets, place, part.reshape(pairs, int(np.prod(part.shape[1:]))), len(slots), absent)
        for part, absent in parts
    ]


def _columns(batch: pa.RecordBatch, names: Sequence[str]) -> np.ndarray:
    return np.column_stack([batch.column(c).flatten().to_numpy() for c in names])


def _named(values: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The values' columns by name; none where there are no names."""
    columns = values.reshape(len(values), int(np.prod(values.shape[1:]))).T
    return {name: np.ascontiguousarray(columns[number]) for number, name in enumerate(names)}


def _list(offsets: pa.Array, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(offsets, values)


def _rows_as_lists(rows: np.ndarray) -> pa.ListArray:
    flat = rows.reshape(len(rows), int(np.prod(rows.shape[1:]))).astype(np.float32)
    return _list(pa.array(np.arange(len(flat) + 1, dtype=np.int32) * flat.shape[1]), pa.array(flat.ravel()))
