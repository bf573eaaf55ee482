"""What happens to vectors before a strategy sees them: principal components, and buckets that are clustered apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.lab.separation import unit_rows

ASPECTS = (0.3, 0.75, 1.34, 3.0, 6.0)
"""Width over height: skyscraper, upright, square, landscape, strip, long strip."""


@dataclass(frozen=True)
class Projection:
    """Principal components of some vectors.

    Attributes:
        mean: float64 (d,), taken off first; zeros with ``unit``.
        directions: float64 (d, m), orthonormal columns.
        unit: whether projected rows are made unit length again, for strategies that know cosines only.
    """

    mean: np.ndarray
    directions: np.ndarray
    unit: bool

    def applied(self, vectors: np.ndarray) -> np.ndarray:
        """float32 (n, m).

        Args:
            vectors: (n, d).
        """
        along = (np.asarray(vectors, np.float64) - self.mean) @ self.directions
        return (unit_rows(along) if self.unit else along).astype(np.float32)


def learned_projection(vectors: np.ndarray, kept: int | float, unit: bool) -> Projection:
    """Principal components, each with its largest entry positive, so that no solver's sign shows.

    With ``unit`` they are those of the vectors as they are: a shifted origin would change what cosines mean. The first of them is
    then about the direction that vectors have in common, and says little of how they differ. So a share is of the variance about
    the mean in either case. That takes at most one component more than with the mean taken off, since eigenvalues interlace
    (Horn and Johnson, Matrix Analysis, section 4.3).

    Args:
        vectors: (n, d), n at least 1.
        kept: an integer: how many; a share from 0 to 1: as few as explain so much of the variance, but not fewer than two with
            ``unit``, where one would leave a sign and nothing else. At most min(n, d).
        unit: see `Projection`.
    """
    points = np.asarray(vectors, np.float64)
    origin = np.zeros(points.shape[1]) if unit else points.mean(axis=0)
    moved = points - origin
    moments, directions = np.linalg.eigh(moved.T @ moved)
    moments, directions = moments[::-1], directions[:, ::-1]
    if isinstance(kept, float):
        variances = np.maximum(moments - len(moved) * (moved.mean(axis=0) @ directions) ** 2, 0.0)
        explained = np.cumsum(variances) / max(float(variances.sum()), 1e-300)
        kept = max(int(np.searchsorted(explained, kept - 1e-12)) + 1, 2 if unit else 1)
    chosen = directions[:, : min(max(1, kept), *points.shape)]
    signs = np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])
    return Projection(origin, chosen * signs, unit)


def aspect_buckets(width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """int64 (n,): the class of each picture's shape, 0 to 5; see `ASPECTS`. A side that is not known, or 0, counts as square.

    Args:
        width: (n,), pixels.
        height: (n,), pixels.
    """
    wide, high = np.asarray(width, np.float64), np.asarray(height, np.float64)
    known = (wide > 0) & (high > 0)
    return np.searchsorted(ASPECTS, np.where(known, wide / np.where(known, high, 1.0), 1.0)).astype(np.int64)


def learned_cells(vectors: np.ndarray, cells: int, seed: int, rounds: int = 12) -> np.ndarray:
    """Centres of coarse cells by spherical k-means; float32 (c, d), at most ``cells``, unit rows.

    Args:
        vectors: (n, d), unit rows.
        cells: wanted.
        seed: of the first centres.
        rounds: of moving them.
    """
    points = np.asarray(vectors, np.float32)
    chosen = np.random.default_rng(seed).choice(len(points), min(cells, len(points)), replace=False)
    centres = points[np.sort(chosen)]
    for _ in range(rounds):
        home = (points @ centres.T).argmax(axis=1)
        sums = np.zeros(centres.shape)
        np.add.at(sums, home, points)
        held = np.bincount(home, minlength=len(centres)) > 0
        centres = unit_rows(sums[held]).astype(np.float32)
    return centres
