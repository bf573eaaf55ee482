"""Fewer dimensions to look through first, without a loss: bounds of inner products.

With orthonormal columns P and what is left, r(x) = x - P P'x, x.y = P'x.P'y + r(x).r(y), and r(x).r(y) <= |r(x)| |r(y)| by
Cauchy and Schwarz. So the inner product of (P'x, |r(x)|) and (P'y, |r(y)|) is never less than that of x and y. Vectors of images
lie near few directions, so the bound is tight, and few pairs have to be looked at in full. Whatever the directions are, the
neighbours found are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SLACK = 1e-5
"""Share of the squared norm added to the squared rest: float32 products of some thousand terms are off by less."""


REDUCTION_ROWS = 8192
"""Vectors that directions are learned on, at most; more would change them little, and the driver holds them."""
LEAST_GAIN = 2
"""Times as many dimensions as are looked through first that vectors must have."""
MOST_UNEXPLAINED = 0.3
"""Of the norm. Bounds are then about 0.09 too high, which is what neighbours and strangers differ by at least."""


@dataclass(frozen=True)
class Reduction:
    """Directions to look along first.

    Attributes:
        directions: float32 (d, m), orthonormal columns.
        unexplained: mean of |r(x)| / |x| over the vectors that they were learned on, 0 to 1.
    """

    directions: np.ndarray
    unexplained: float

    def bounding(self, vectors: np.ndarray) -> np.ndarray:
        """float32 (n, m + 1): vectors whose inner products are at least those of ``vectors``, but for their own rounding."""
        bounds = np.empty((len(vectors), self.directions.shape[1] + 1), np.float32)
        bounds[:, :-1] = vectors @ self.directions
        bounds[:, -1] = np.sqrt(_rests(vectors, bounds[:, :-1]))
        return bounds


def learned_reduction(sample: np.ndarray, dimensions: int) -> Reduction:
    """The directions that leave least of a sample: principal components, not centred (Eckart and Young 1936).

    Args:
        sample: float32 (s, d).
        dimensions: wanted, below d.
    """
    exact = sample.astype(np.float64)
    _, directions = np.linalg.eigh(exact.T @ exact)
    chosen = np.ascontiguousarray(directions[:, ::-1][:, :dimensions].astype(np.float32))
    norms = np.maximum(np.einsum("ij,ij->i", exact, exact), np.finfo(np.float64).tiny)
    return Reduction(chosen, float(np.sqrt(_rests(sample, sample @ chosen) / norms).mean()))


def worthwhile_reduction(sample: np.ndarray, dimensions: int) -> Reduction | None:
    """None where vectors are too short to gain from it, or the bounds too loose: then nearly all pairs are looked at twice."""
    if sample.shape[1] < LEAST_GAIN * dimensions:
        return None
    learned = learned_reduction(sample, dimensions)
    return learned if learned.unexplained <= MOST_UNEXPLAINED else None


def _rests(vectors: np.ndarray, along: np.ndarray) -> np.ndarray:
    """float64 (n,): upper bounds of |r(x)|^2."""
    norms, seen = (np.einsum("ij,ij->i", part, part, dtype=np.float64) for part in (vectors, along))
    return np.maximum(norms - seen, 0.0) + SLACK * norms
