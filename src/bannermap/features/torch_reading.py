"""A torch dataset over a revision of features; made by `reading.torch_dataset`, so that torch is loaded only then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from bannermap.features.reading import FeatureRevision, arrays_of


class FeatureBatches(IterableDataset):
    """Batches as dictionaries of tensors; arguments as of `reading.torch_dataset`."""

    def __init__(
        self,
        revision: FeatureRevision,
        columns: Sequence[str] | None,
        batch_rows: int,
        vocabulary: Sequence[str] | None,
        rank: int,
        world_size: int,
    ) -> None:
        self.pieces = revision.pieces()[rank::world_size]
        self.columns = list(columns or revision.columns)
        self.batch_rows = batch_rows
        self.vocabulary = vocabulary

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        mine = self.pieces[worker.id :: worker.num_workers] if worker else self.pieces
        for piece in mine:
            # One thread: each worker is a process of its own, and Arrow's threads do not survive a fork.
            for batch in piece.to_batches(columns=self.columns, batch_size=self.batch_rows, use_threads=False):
                if batch.num_rows:
                    yield self._tensors(batch)

    def _tensors(self, batch: Any) -> dict[str, Any]:
        tensors: dict[str, Any] = {k: torch.from_numpy(v) for k, v in arrays_of(batch, self.vocabulary).items()}
        if "user_id" in batch.schema.names:
            tensors["user_id"] = batch.column("user_id").to_pylist()
        return tensors
