"""A published feature set as Parquet files, without Spark: rows of random users through the package's own batches."""

from __future__ import annotations

import datetime
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bannermap.features.sets import set_batches
from bannermap.platform.tables import EVENT_TYPES, FeatureSet, recency_column, window_columns

SLOTS = [f"theme-{n:02d}" for n in range(1, 6)]
EVERYTHING = (("request", "impression", "click"), (1, 7, 15, 30))


def random_rows(rng: np.random.Generator, first: int, users: int, clusters: int, entries: int) -> pa.RecordBatch:
    """Rows of one target as `user_feature_rows` makes them: some clusters each, counts that grow with the window."""
    lengths = np.minimum(rng.poisson(entries - 1, users) + 1, clusters)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    names = pa.array([f"theme-{n:02d}" for n in range(1, clusters + 1)])
    starts = rng.integers(0, clusters, users)
    places = (np.repeat(starts, lengths) + np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)) % clusters
    order = np.lexsort((places, np.repeat(np.arange(users), lengths)))
    columns = {"cluster_ids": names.take(pa.array(places[order]))}
    grown = np.cumsum(rng.poisson(1.0, (4, 3, offsets[-1])), axis=0).astype(np.int32)
    columns |= dict(zip(window_columns(), map(pa.array, grown.reshape(12, -1)), strict=True))
    columns |= {recency_column(e): pa.array(rng.integers(0, 31, offsets[-1]).astype(np.int32)) for e in EVENT_TYPES}
    lists = [pa.ListArray.from_arrays(pa.array(offsets), values) for values in columns.values()]
    ids = pa.array([f"user-{first + n:09d}" for n in range(users)])
    targets = pa.array(np.zeros(users, np.int32))
    return pa.RecordBatch.from_arrays([targets, ids, *lists], ["target", "user_id", *columns])


def write_set(
    root: Path,
    chosen: FeatureSet,
    users: int,
    dt: datetime.date,
    *,
    files: int = 3,
    revision: int = 1,
    available_at: datetime.datetime | None = None,
    seed: int = 1,
    group_rows: int = 65536,
    entries: int = 3,
    clustering_id: str | None = None,
) -> Path:
    """One revision of a set below a warehouse; several files, each with row groups of ``group_rows``."""
    rng, folder = np.random.default_rng(seed), root / chosen.table().name
    place = folder / f"dt={dt}" / f"clustering_id={clustering_id or f'{dt}-c1'}" / f"revision={revision}"
    place.mkdir(parents=True)
    note = {"semantic_hash": chosen.table().semantic_hash, "definition": chosen.definition}
    (folder / "_bannermap.json").write_text(json.dumps(note))
    at = available_at or datetime.datetime.combine(dt, datetime.time(6), datetime.UTC) + datetime.timedelta(days=1)
    bounds = np.linspace(0, users, files + 1).astype(int)
    for number, (first, end) in enumerate(itertools.pairwise(bounds)):
        rows = random_rows(rng, int(first), int(end - first), len(SLOTS) if chosen.themes else 40, entries)
        table = pa.Table.from_batches(list(set_batches([rows], chosen, {0: SLOTS}))).drop_columns("target")
        table = table.append_column("available_at", pa.array([at] * len(table), pa.timestamp("us", "UTC")))
        pq.write_table(table, place / f"part-{number:05d}.parquet", row_group_size=group_rows)
    return folder
