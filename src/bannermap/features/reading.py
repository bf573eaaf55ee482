"""Published features for trainers, by pyarrow alone: the revision that impressions of a day may join, and its rows as arrays.

Works on every Parquet table of features (user_features, its wide and list exports, feature sets) without Spark or Delta.
"""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.platform.errors import InputError
from bannermap.platform.whole_files import system_of

if TYPE_CHECKING:
    import pandas as pd
    from torch.utils.data import IterableDataset

DEFINITION_FILE = "_bannermap.json"
PUBLICATIONS_FILE = "_publications.json"
"""Beside the partitions: [day, clustering_id, revision] of each that is published. Tables of earlier times have none."""
STAMP = ("dt", "clustering_id", "revision", "available_at")
"""Columns that say which publication a row belongs to, the same for all rows of a revision."""
BATCH_ROWS = 65536


@dataclass(frozen=True)
class FeatureRevision:
    """One published revision of one table of features.

    Attributes:
        dt: as-of day; the windows end with it.
        clustering_id: what was counted by.
        revision: 1 for the first of its day and clustering.
        available_at: from when a server could have had it, UTC.
        semantic_hash: of the table's definition; None in tables of earlier times. Keep it with the model.
        files: pyarrow fragments of its files, by path.
    """

    dt: datetime.date
    clustering_id: str
    revision: int
    available_at: datetime.datetime
    semantic_hash: str | None
    files: tuple[Any, ...] = field(repr=False)

    @property
    def columns(self) -> list[str]:
        """user_id, cluster_ids where there are any, and the features, in stored order."""
        return [c for c in self.files[0].physical_schema.names if c not in STAMP]

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows in memory.

        Args:
            columns: which; all without.
        """
        names = list(columns or self.columns)
        return pa.concat_tables([f.to_table(columns=names) for f in self.files])

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rows as a frame indexed by user_id, to be joined to impressions.

        Args:
            columns: which besides user_id; all without.
        """
        names = [c for c in columns or self.columns if c != "user_id"]
        return self.to_table(["user_id", *names]).to_pandas(split_blocks=True, self_destruct=True).set_index("user_id")

    def pieces(self) -> list[Any]:
        """Row groups as pyarrow fragments, by path and place: what workers share out among them."""
        return [group for file in self.files for group in file.split_by_row_group()]

    def batches(self, columns: Sequence[str] | None = None, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """All rows in order, a batch at a time: memory does not grow with the revision.

        Args:
            columns: which; all without.
            batch_rows: rows of a batch, at most.
        """
        for piece in self.pieces():
            yield from piece.to_batches(columns=list(columns or self.columns), batch_size=batch_rows)

    def vocabulary(self) -> list[str]:
        """All cluster ids of the layout ``arrays``, ascending; a cluster's code is its place here."""
        found: set[str] = set()
        for batch in self.batches(["cluster_ids"]):
            found.update(pc.unique(batch.column(0).flatten()).to_pylist())
        return sorted(found)


def features_for(
    folder: str,
    impression_day: datetime.date,
    known_at: datetime.datetime | None = None,
    clustering_id: str | None = None,
) -> FeatureRevision:
    """The features that impressions of a day may join: never of their own day or later, never before a server had them.

    Of the as-of days before ``impression_day`` the newest that was available; of that day what became available last, and so
    the newest revision. With the usual lag of some hours, features of the evening before are not yet available at midnight:
    they are for impressions later in the day, which give ``known_at``.

    Args:
        folder: of a table, as ``warehouse/user_features``; a path or an address as ``s3://bucket/warehouse/user_features``.
        impression_day: UTC.
        known_at: moment of the earliest impression that gets these rows, with a time zone; the day's first without.
        clustering_id: only features by this clustering; any without.

    Raises:
        InputError: there is no table, nothing published in it was available, or two clusterings of the day became available
            at once (a day clustered anew, a saved model beside `cluster_banners`) and none of them was named.
    """
    moment = known_at or datetime.datetime.combine(impression_day, datetime.time(), datetime.UTC)
    if moment.tzinfo is None:
        raise InputError(f"known_at {moment} has no time zone, so it may be hours off: give one, as datetime.timezone.utc.")
    system, root = system_of(folder)
    stored = _partitions(system, root, folder)
    for day in sorted({place[0] for place in stored if place[0] < impression_day}, reverse=True):
        usable: list[tuple[datetime.datetime, int, str, list[Any]]] = []
        for (dt, name, number), files in stored.items():
            at = _available_at(files) if dt == day and clustering_id in (None, name) else None
            if at is not None and at <= moment:
                usable.append((at, number, name, files))
        if usable:
            at, number, name, files = max(usable, key=lambda u: u[:3])
            _check_one_clustering(day, sorted({u[2] for u in usable if u[0] == at}))
            return FeatureRevision(day, name, number, at, _semantic_hash(system, root), tuple(files))
    raise InputError(
        f"{folder} has no features as of a day before {impression_day} that were available by {moment.isoformat()}. "
        "Publish earlier days, or give known_at where the impressions are later in their day."
    )


def _check_one_clustering(day: datetime.date, names: Sequence[str]) -> None:
    if len(names) > 1:
        raise InputError(
            f"Features as of {day} by {len(names)} clusterings became available at the same moment: {', '.join(names)}. They "
            "count different clusters, so a model must not mix them: give clustering_id."
        )


def torch_dataset(
    revision: FeatureRevision,
    columns: Sequence[str] | None = None,
    batch_rows: int = 8192,
    vocabulary: Sequence[str] | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> IterableDataset:
    """Batches of a revision for a torch ``DataLoader(..., batch_size=None)``; each row comes once over all workers and ranks.

    Args:
        revision: see `features_for`.
        columns: which; all without.
        batch_rows: rows of a batch, at most.
        vocabulary: of the layout ``arrays``, see `arrays_of`.
        rank: of this process among those that train together.
        world_size: number of those processes.

    Returns:
        A dataset of dictionaries: ``user_id`` a list of strings, all else tensors as `arrays_of` says.
    """
    from bannermap.features.torch_reading import FeatureBatches

    return FeatureBatches(revision, columns, batch_rows, vocabulary, rank, world_size)


def arrays_of(batch: pa.RecordBatch, vocabulary: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The features of some rows as numpy arrays that share nothing with the batch.

    Args:
        batch: rows of any layout.
        vocabulary: cluster ids, ascending; needed for the layout ``arrays`` where cluster_ids are among the columns.

    Returns:
        Wide: ``features`` float32 (rows, columns), in the order of the columns. List: each column float32 (rows, length).
        Arrays: ``offsets`` int64 (rows + 1,), where each row's entries begin, ``cluster_codes`` int64 (entries,), places in
        the vocabulary and its length for a cluster that it lacks, and each feature float32 (entries,): what EmbeddingBag takes.
    """
    names = [c for c in batch.schema.names if c not in ("user_id", *STAMP)]
    lists = [c for c in names if pa.types.is_list(batch.schema.field(c).type)]
    if not lists:
        wide = np.empty((batch.num_rows, len(names)), np.float32)
        for number, name in enumerate(names):
            wide[:, number] = batch.column(name).to_numpy(zero_copy_only=False)
        return {"features": wide}
    if "cluster_ids" not in lists:
        shape = (batch.num_rows, -1) if batch.num_rows else (0, 0)
        return {c: _values(batch, c).reshape(shape) for c in lists}
    if vocabulary is None:
        raise InputError("These rows name clusters, whose codes are places in a vocabulary: give one, as revision.vocabulary().")
    lengths = pc.list_value_length(batch.column("cluster_ids")).to_numpy(zero_copy_only=False)
    places = pc.index_in(batch.column("cluster_ids").flatten(), value_set=pa.array(list(vocabulary), pa.string()))
    return {
        "offsets": np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        "cluster_codes": places.fill_null(len(vocabulary)).to_numpy(zero_copy_only=False).astype(np.int64),
        **{c: _values(batch, c) for c in lists if c != "cluster_ids"},
    }


def _values(batch: pa.RecordBatch, column: str) -> np.ndarray:
    return batch.column(column).flatten().to_numpy(zero_copy_only=False).astype(np.float32)


def _partitions(system: Any, root: str, folder: str) -> dict[tuple[datetime.date, str, int], list[Any]]:
    """Day, clustering and revision -> its files, of those that are published."""
    import pyarrow.dataset as pads

    kinds = pa.schema([("dt", pa.date32()), ("clustering_id", pa.string()), ("revision", pa.int32())])
    try:
        stored = pads.dataset(root, filesystem=system, format="parquet", partitioning=pads.partitioning(kinds, flavor="hive"))
    except FileNotFoundError:
        raise InputError(f"There is no table of features at {folder}. Check the path, or run build_user_features.") from None
    found: dict[tuple[datetime.date, str, int], list[Any]] = defaultdict(list)
    for file in sorted(stored.get_fragments(), key=lambda f: f.path):
        place = pads.get_partition_keys(file.partition_expression)
        if len(place) == len(kinds):
            found[(place["dt"], place["clustering_id"], place["revision"])].append(file)
    published = _published(system, root)
    return {place: files for place, files in found.items() if published is None or place in published}


def _published(system: Any, root: str) -> set[tuple[datetime.date, str, int]] | None:
    """What may be read; None where the table does not say."""
    try:
        with system.open_input_stream(f"{root}/{PUBLICATIONS_FILE}") as stream:
            return {(datetime.date.fromisoformat(day), name, number) for day, name, number in json.loads(stream.read())}
    except FileNotFoundError:
        return None
    except ValueError:
        raise InputError(
            f"{root}/{PUBLICATIONS_FILE} is cut off: a run is writing it, or was killed meanwhile. Read again in a moment; if "
            "that does not help, run build_user_features of the newest day again."
        ) from None


def _available_at(files: Sequence[Any]) -> datetime.datetime | None:
    """Of the first row; None where there is no row."""
    for file in files:
        head = file.head(1, columns=["available_at"])
        if head.num_rows:  # Spark writes UTC, with or without saying so
            micros = head["available_at"].cast(pa.timestamp("us", head["available_at"].type.tz)).cast(pa.int64())[0].as_py()
            return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=micros)
    return None


def _semantic_hash(system: Any, root: str) -> str | None:
    try:
        with system.open_input_stream(f"{root}/{DEFINITION_FILE}") as stream:
            noted = json.loads(stream.read())
    except (FileNotFoundError, ValueError):
        return None
    return noted.get("semantic_hash")
