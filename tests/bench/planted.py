"""Vectors with a known truth: groups that lie on few dimensions, in noise, as embeddings of images do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bannermap.clustering.arrow import list_array

CHUNK = 20_000
INNER_DIMENSIONS = 8
GIANT_SHARE = 0.2
NOISE_SHARE = 0.1


@dataclass(frozen=True)
class World:
    """Groups of every size, one of them with a fifth of the rows, and rows that belong to none.

    Attributes:
        centres: float32 (groups, d), unit length.
        axes: float32 (groups, INNER_DIMENSIONS, d), directions in which a group's members differ.
        group_of: int64 (n,), -1 for none; shuffled.
        seed: everything follows from it.
    """

    centres: np.ndarray
    axes: np.ndarray
    group_of: np.ndarray
    seed: int

    def rows(self, low: int, high: int) -> np.ndarray:
        """float32 (high - low, d), unit rows; ``low`` is a multiple of `CHUNK`, which a row's noise is drawn by."""
        rng = np.random.default_rng([self.seed, low])
        group = self.group_of[low:high]
        noise = rng.normal(size=(len(group), self.centres.shape[1])).astype(np.float32)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        inside = np.einsum("ni,nid->nd", rng.normal(size=(len(group), INNER_DIMENSIONS)).astype(np.float32), self.axes[group])
        rows = np.where((group >= 0)[:, None], self.centres[group] + inside + 0.15 * noise, noise)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def planted(rows: int, dimensions: int, seed: int, siblings: int = 1) -> World:
    """A world of about ``rows / 30`` groups.

    Args:
        rows: n.
        dimensions: d.
        seed: everything follows from it.
        siblings: groups whose centres lie near each other, at a cosine of about 0.8; with 1 all lie apart.
    """
    rng = np.random.default_rng(seed)
    small = int(rows * (1 - GIANT_SHARE - NOISE_SHARE))
    sizes = np.maximum(2, (5 * rng.pareto(1.1, max(1, rows // 30)) + 2).astype(int).clip(max=rows // 100))
    sizes = sizes[np.cumsum(sizes) <= small]
    groups = len(sizes) + 1
    centres = rng.normal(size=(groups, dimensions))
    axes = rng.normal(size=(groups, INNER_DIMENSIONS, dimensions)) / np.sqrt(dimensions)
    spread = rng.uniform(0.05, 0.13, groups)  # cosines of two members of a group: about 0.98 to 0.86, all above noise
    if siblings > 1:
        centres = np.repeat(rng.normal(size=(-(-groups // siblings), dimensions)), siblings, axis=0)[:groups] + centres / 2
    group_of = np.repeat(np.arange(groups), [*sizes, int(rows * GIANT_SHARE)])
    group_of = np.concatenate([group_of, np.full(rows - len(group_of), -1)])
    return World(
        (centres / np.linalg.norm(centres, axis=1, keepdims=True)).astype(np.float32),
        (axes * spread[:, None, None]).astype(np.float32),
        rng.permutation(group_of),
        seed,
    )


def write_world(world: World, folder: Path) -> None:
    """Parquet of content_hash (the row's number) and vector, a file per chunk."""
    folder.mkdir(parents=True)
    for low in range(0, len(world.group_of), CHUNK):
        rows = world.rows(low, min(low + CHUNK, len(world.group_of)))
        names = pa.array([f"{low + i:09d}" for i in range(len(rows))])
        table = pa.table({"content_hash": names, "vector": list_array(rows)})
        pq.write_table(table, folder / f"{low:09d}.parquet", use_dictionary=False, compression="none")
