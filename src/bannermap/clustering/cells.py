"""Coarse cells: which neighbourhood a vector lives in, which it asks, and which of them one task holds.

Cells are learned by spherical k-means on a sample (Dhillon and Modha 2001), and those that hold too much are split again. A
vector's cells are ordered by exact cosine, then by number, so they never depend on the batch in which it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.clustering.neighbours import Block, distinct_rows, make_block, search_block

KMEANS_ROUNDS = 12
"""Means move little after this many; cells need to be compact, not optimal."""
FULLEST = 4
"""A cell may hold this many times the rows it was meant to have before it is split."""


@dataclass(frozen=True)
class CellPlan:
    """Which task holds which cell.

    Attributes:
        centroids: float32 (c, d), unit length.
        counts: int64 (c,), rows that live in each.
        first_task: int64 (c,), first of a cell's tasks.
        chunks: int64 (c,), its tasks: 1, or more where a cell exceeds what a task may hold.
        tasks: number of tasks.
    """

    centroids: np.ndarray
    counts: np.ndarray
    first_task: np.ndarray
    chunks: np.ndarray
    tasks: int


def learn_cells(sample: np.ndarray, cells: int, seed: int) -> np.ndarray:
    """Centroids of a sample by spherical k-means.

    Args:
        sample: float32 (m, d), unit rows.
        cells: wanted; fewer come out where rows are equal or means run empty.
        seed: of the first centroids.

    Returns:
        float32 (c, d), unit rows, 1 <= c <= cells.
    """
    distinct = sample[np.sort(distinct_rows(sample)[0])]
    rng = np.random.default_rng(seed)
    centroids = distinct[np.sort(rng.choice(len(distinct), min(cells, len(distinct)), replace=False))]
    for _ in range(KMEANS_ROUNDS):
        centroids = _means(sample, _nearest(sample, centroids), centroids)
    return centroids


def split_cells(centroids: np.ndarray, counts: np.ndarray, sample: np.ndarray, rows_per_cell: int, seed: int) -> np.ndarray:
    """Centroids with each overfull cell replaced by several, learned on the part of the sample that lives there.

    Args:
        centroids: float32 (c, d).
        counts: int64 (c,), rows of all data in each.
        sample: float32 (m, d).
        rows_per_cell: that a cell is meant to hold.
        seed: as of `learn_cells`.

    Returns:
        float32 (c', d), c' >= c; the same where nothing is overfull or can be told apart.
    """
    home, kept = _nearest(sample, centroids), []
    for cell, centroid in enumerate(centroids):
        members = sample[home == cell] if counts[cell] > FULLEST * rows_per_cell else sample[:0]
        parts = learn_cells(members, -(-int(counts[cell]) // rows_per_cell), seed) if len(members) > 1 else centroid[None, :]
        kept.append(parts if len(parts) > 1 else centroid[None, :])
    return np.concatenate(kept)


def cell_block(centroids: np.ndarray) -> Block:
    """Cells as what is searched, by their number; made once for many vectors."""
    return make_block(centroids, np.arange(len(centroids)))


def nearest_cells(vectors: np.ndarray, cells: Block, count: int) -> np.ndarray:
    """The nearest cells of each vector, nearest first, equal ones by number.

    Args:
        vectors: float32 (m, d).
        cells: of `cell_block`.
        count: of cells; all where there are fewer.

    Returns:
        int64 (m, min(count, c)).
    """
    count = min(count, len(cells.ids))
    nobody = -1 - np.arange(len(vectors))  # a vector is no cell, so none is left out as its own neighbour
    found = search_block(vectors, nobody, cells, count)
    return found.dst.reshape(len(vectors), count)[::-1]  # lists come by ascending src, and src descends here


def plan_cells(centroids: np.ndarray, counts: np.ndarray, max_rows: int) -> CellPlan:
    """Put cells that lie near each other into one task, as long as it holds at most ``max_rows``.

    Neighbouring cells share their askers, so fewer vectors travel. A cell with more rows than a task may hold gets tasks of its
    own, each with a part of it.

    Args:
        centroids: float32 (c, d).
        counts: int64 (c,).
        max_rows: rows that a task may hold.
    """
    chunks = np.maximum(1, -(-counts // max_rows))
    first, tasks = np.zeros(len(centroids), np.int64), 0
    for group in _packed(centroids, counts, np.flatnonzero(chunks == 1), max_rows):
        first[group], tasks = tasks, tasks + 1
    for cell in np.flatnonzero(chunks > 1):
        first[cell], tasks = tasks, tasks + int(chunks[cell])
    return CellPlan(centroids, counts, first, chunks, tasks)


def _packed(centroids: np.ndarray, counts: np.ndarray, cells: np.ndarray, max_rows: int) -> list[np.ndarray]:
    """Halve the cells across their longest direction until each part fits."""
    waiting, done = [cells] if len(cells) else [], []
    while waiting:
        group = waiting.pop()
        if counts[group].sum() <= max_rows:
            done.append(group)
            continue
        points = centroids[group]
        far = points[np.argmin(points @ points.mean(axis=0))]
        order = group[np.argsort(points @ (far - points[np.argmin(points @ far)]), kind="stable")]
        held = np.cumsum(counts[order])
        middle = int(np.clip(np.searchsorted(held, held[-1] / 2), 1, len(order) - 1))
        waiting += [order[middle:], order[:middle]]
    return done


def _nearest(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """int64 (m,): nearest centroid, as FAISS rounds; for learning only, where a near tie does not matter."""
    import faiss

    return faiss.knn(vectors, centroids, 1, metric=faiss.METRIC_INNER_PRODUCT)[1].ravel()


def _means(vectors: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """float32 (c, d): unit means by ascending label; labels that nobody has are left out.

    A mean without a direction, as of opposite vectors, leaves its centroid where it was: its vectors still need a cell.
    """
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) > 0])
    sums = np.add.reduceat(vectors[order].astype(np.float64), starts, axis=0)
    norms = np.linalg.norm(sums, axis=1)
    directed, means = norms > 1e-9, centroids[labels[order][starts]].astype(np.float32)
    means[directed] = (sums[directed] / norms[directed, None]).astype(np.float32)
    return means
