"""Vectors that were made elsewhere: which can be used, why the others can't, and all that can at unit length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bannermap.embedding.encoders.interface import unit_rows

PREFIX = "external-"
"""Of the encoder_id of imported vectors: no encoder of ours can ever write under it."""
CONTENT_PREFIX = "external:"
"""Of what stands for the content_hash of a banner without a picture."""


@dataclass(frozen=True)
class RowChecker:
    """Looks at batches inside a task.

    Attributes:
        dimensions: that a vector has to have.
    """

    dimensions: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Columns id and vector to `EXTERNAL_ROWS`, for mapInArrow."""
        for batch in batches:
            yield self.checked(batch.column(0), batch.column(1))

    def checked(self, ids: pa.Array, vectors: pa.Array) -> pa.RecordBatch:
        """`EXTERNAL_ROWS`, in order.

        Args:
            ids: strings; null and empty ones are refused.
            vectors: lists of numbers of any type and length.
        """
        lengths = vectors.value_lengths()
        given, width = np.asarray(vectors.is_valid()), self.dimensions
        long = np.asarray(lengths.fill_null(0))
        matrix = _matrix(vectors, np.flatnonzero(given & (long == width)), long, width)
        finite, nonzero = np.isfinite(matrix).all(axis=1), (matrix != 0).any(axis=1)
        reasons = np.full(len(ids), None, object)
        reasons[given & (long == width)] = np.select([~finite, ~nonzero], ["not_finite", "zero_vector"], "")
        reasons[reasons == ""] = None
        reasons[given & (long != width)] = "other_dimensions"
        reasons[~given] = "no_vector"
        named = np.array([bool(i) for i in ids.to_pylist()], bool)
        reasons[~named] = "no_id"
        usable = np.array([r is None for r in reasons], bool)
        rows = unit_rows(matrix[usable[given & (long == width)]])
        columns = [ids, lengths.cast(pa.int32()), pa.array(reasons, pa.string()), _lists(rows, usable)]
        return pa.RecordBatch.from_arrays(columns, ["id", "dimensions", "reason", "vector"])


def _matrix(vectors: pa.Array, places: np.ndarray, lengths: np.ndarray, width: int) -> np.ndarray:
    """The lists at some places, all of one width, as float64 (len(places), width); nulls inside become NaN."""
    flat = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    starts = np.cumsum(lengths) - lengths
    return flat[starts[places][:, None] + np.arange(width)]


def _lists(rows: np.ndarray, present: np.ndarray) -> pa.Array:
    ends = np.concatenate([[0], np.cumsum(present)]).astype(np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(rows.ravel(), pa.float32()), mask=pa.array(~present))
