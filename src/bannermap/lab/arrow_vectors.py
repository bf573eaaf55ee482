"""Vectors between Arrow's lists and numpy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def lists_of(vectors: np.ndarray) -> pa.ListArray:
    """The inverse of `vectors_of`."""
    offsets = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(vectors).ravel()))


def vectors_of(column: pa.Array) -> np.ndarray:
    """A list column as float32 (n, d).

    Raises:
        ValueError: lists have different lengths, or values that are not finite.
    """
    flat = np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float32)
    lengths = np.unique(column.value_lengths().to_numpy(zero_copy_only=False))
    if len(lengths) > 1:
        raise ValueError(f"they have different lengths, from {lengths.min():.0f} to {lengths.max():.0f}")
    if not np.isfinite(flat).all():
        raise ValueError("some values are not finite")
    return flat.reshape(len(column), -1)
