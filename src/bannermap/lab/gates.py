"""What a clustering has to show before its score counts: more than permuted labels, and the same again on another sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bannermap.lab.chance import adjusted_rand
from bannermap.lab.labels import coded
from bannermap.lab.separation import silhouette


@dataclass(frozen=True)
class AgainstPermuted:
    """A silhouette beside those of the same labels in random order.

    Attributes:
        value: mean silhouette.
        permuted: float64 (permutations,), means of the permuted labels.
    """

    value: float
    permuted: np.ndarray

    @property
    def deviations(self) -> float:
        """(value - mean of the permuted) / their standard deviation; nan where it is not defined."""
        spread = float(self.permuted.std(ddof=1)) if len(self.permuted) > 1 else float("nan")
        above = self.value - float(self.permuted.mean()) if len(self.permuted) else float("nan")
        return above / spread if spread > 0 else float("nan")

    def cleared(self, least_deviations: float) -> bool:
        """Whether the value lies above every permuted one, and so many deviations above their mean; not where it is undefined.

        Both, since a few draws have no tail, and with skewed sizes the draws are spread wide below their mean.
        """
        return bool(self.value > self.permuted.max(initial=-np.inf)) and self.deviations >= least_deviations


def against_permuted(vectors: np.ndarray, labels: np.ndarray, value: float, permutations: int, seed: int) -> AgainstPermuted:
    """Hold a silhouette against what its sizes have by chance.

    Labels are permuted among the rows that are in a cluster, so sizes and outliers stay. Rows may be a sample: what chance gives
    is near 0 and hardly moves with the number of rows, the spread only shrinks.

    Args:
        vectors: (n, d).
        labels: int (n,).
        value: mean silhouette of the labels.
        permutations: at least 2.
        seed: of the permutations.
    """
    inside = coded(labels)
    points, rng = vectors[inside.rows], np.random.default_rng(seed)
    drawn = [silhouette(points, rng.permutation(inside.codes)).mean for _ in range(permutations)]
    return AgainstPermuted(value, np.array(drawn))


def bootstrap_stability(
    fit: Callable[[np.ndarray, int], np.ndarray], labels: np.ndarray, replicates: int, seed: int
) -> np.ndarray:
    """ARI of a fit with fits of bootstrap samples, on the rows of each sample.

    A sample is n rows of n with replacement, each once (about 63 %): a row that comes twice would be its own neighbour, and
    density would be the draw's. 1 where every sample gives the same groups again; about 0 for labels that do not follow from the
    rows. Source of the idea: Hennig 2007, Cluster-wise assessment of cluster stability.

    Args:
        fit: rows (ascending, int64) and a seed -> int labels of these rows.
        labels: int (n,), of the fit of all.
        replicates: samples.
        seed: of the draws, and of each fit.

    Returns:
        float64 (replicates,), -1 to 1.
    """
    result = np.empty(replicates)
    for number in range(replicates):
        rng = np.random.default_rng([seed, number])
        rows = np.unique(rng.integers(0, len(labels), len(labels)))
        result[number] = adjusted_rand(fit(rows, seed + number + 1), np.asarray(labels)[rows])
    return result
