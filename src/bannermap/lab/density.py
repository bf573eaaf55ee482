"""DBCV: how dense clusters of any shape are against the emptiness between them (Moulavi et al. 2014).

The distance is the Euclidean one; of unit vectors, |a - b|^2 = 2 - 2 cos(a, b). All pairs are formed, so it is for some thousand
rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.lab.labels import coded


@dataclass(frozen=True)
class Dense:
    """One cluster as DBCV sees it.

    Attributes:
        rows: int64 (n,), its rows.
        core: float64 (n,), core distance of each.
        inner: bool (n,), whether a row has more than one edge in the spanning tree; all where none has.
        sparseness: the longest edge between inner rows, or of all edges where there is none.
    """

    rows: np.ndarray
    core: np.ndarray
    inner: np.ndarray
    sparseness: float


def density_validity(vectors: np.ndarray, labels: np.ndarray) -> float:
    """DBCV of a clustering, -1 to 1, higher is better.

    Args:
        vectors: (n, d), Euclidean.
        labels: int (n,); outliers, and clusters of one, count as rows of no worth.

    Returns:
        sum over clusters of |C| / n times (separation - sparseness) / max of both; nan with fewer than two clusters of two rows.
    """
    found = coded(labels)
    points = np.asarray(vectors, np.float64)
    members = [found.rows[found.codes == c] for c in np.flatnonzero(found.sizes > 1)]
    if len(members) < 2:
        return float("nan")
    dense = [_dense(points, rows) for rows in members]
    nearest = np.full(len(dense), np.inf)
    for i, one in enumerate(dense):
        for j in range(i + 1, len(dense)):
            nearest[[i, j]] = np.minimum(nearest[[i, j]], _separation(points, one, dense[j]))
    worth = sum(len(c.rows) * _validity(float(s), c.sparseness) for c, s in zip(dense, nearest, strict=True))
    return worth / len(labels)


def _validity(separation: float, sparseness: float) -> float:
    larger = max(separation, sparseness)
    return (separation - sparseness) / larger if larger > 0 else 0.0


def _dense(points: np.ndarray, rows: np.ndarray) -> Dense:
    apart = distances(points[rows], points[rows])
    core = _core_distances(apart, points.shape[1])
    reach = np.maximum(apart, np.maximum(core[:, None], core[None, :]))
    ends, lengths = _spanning_tree(reach, apart)
    inner = np.bincount(ends.ravel(), minlength=len(rows)) > 1
    between = inner[ends].all(axis=1)
    longest = lengths[between].max() if between.any() else lengths.max()
    return Dense(rows, core, inner if inner.any() else ~inner, float(longest))


def _core_distances(apart: np.ndarray, dimensions: int) -> np.ndarray:
    """(mean over the other rows of (1 / distance)^d)^(-1/d), in logarithms: 384 dimensions leave the range of doubles."""
    with np.errstate(divide="ignore"):
        power = -dimensions * np.log(apart)
    np.fill_diagonal(power, -np.inf)
    largest = power.max(axis=1)
    equal = np.isposinf(largest)  # another row in the same place: the distance is 0
    with np.errstate(invalid="ignore"):  # inf - inf, which is left out; any other less inf is 0 as a power
        total = np.exp(power - largest[:, None]).sum(axis=1, where=np.isfinite(power))
    logarithm = largest + np.log(np.where(equal, 1.0, total)) - np.log(len(apart) - 1)
    return np.where(equal, 0.0, np.exp(-logarithm / dimensions))


def _spanning_tree(lengths: np.ndarray, apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prim's minimum spanning tree of a full matrix: int64 (n - 1, 2) ends and float64 (n - 1,) lengths.

    One far row gives many equal mutual reachability distances, and which rows are inner ones depends on which of these edges the
    tree has: of equal ones that of the nearer rows, so that the order of the rows decides nothing.
    """
    count = len(lengths)
    best, near, parent = lengths[0].copy(), apart[0].copy(), np.zeros(count, np.int64)
    ends, weights, outside = np.empty((count - 1, 2), np.int64), np.empty(count - 1), np.arange(count)[1:]
    for step in range(count - 1):
        equal = outside[best[outside] == best[outside].min()]
        new = int(equal[near[equal].argmin()])
        ends[step], weights[step] = (parent[new], new), best[new]
        outside = outside[outside != new]
        closer = (lengths[new] < best) | ((lengths[new] == best) & (apart[new] < near))
        best, near = np.where(closer, lengths[new], best), np.where(closer, apart[new], near)
        parent[closer] = new
    return ends, weights


def _separation(points: np.ndarray, one: Dense, other: Dense) -> float:
    """The least mutual reachability distance between inner rows of two clusters."""
    apart = distances(points[one.rows[one.inner]], points[other.rows[other.inner]])
    reach = np.maximum(apart, np.maximum(one.core[one.inner][:, None], other.core[other.inner][None, :]))
    return float(reach.min())


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """float64 (m, n), Euclidean, exactly 0 for equal rows."""
    squared = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :] - 2.0 * (left @ right.T)
    scale = np.finfo(np.float64).eps * 64 * max(float((left**2).sum(axis=1).max(initial=0.0)), 1e-300)
    return np.sqrt(np.where(squared <= scale, 0.0, squared))
