"""How a fitted strategy gives a vector its cluster. Each rule is arrays and a few plain facts, and needs numpy alone.

- `NearestCentre` (kmeans, bisecting_kmeans): the centre of the greatest cosine.
- `Gaussians` (gmm): the component of the greatest weighted density.
- `Topics` (lda): the topic with the greatest share in the vector's parts, by variational inference from a fixed start.
- `NearestPicture` (recursive, pic, hdbscan, dbscan, which cannot predict by themselves): the cluster of the most similar picture
  that was learned on, if their cosine reaches what that cluster asks; else none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Protocol

import numpy as np

from bannermap.lab.separation import unit_rows

CELLS_PER_BLOCK = 1 << 23
"""Vectors x centres whose products are held at once."""
TOPIC_ROUNDS, TOPIC_CHANGE = 200, 1e-3
"""Of variational inference: at most so many rounds, until shares move by less than so much on average; as Spark's."""
LEAST_DENSITY = 1e-100
DIGAMMA_STEPS = 10
DIGAMMA_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
"""Bernoulli numbers B_2n over 2n."""


class Rule(Protocol):
    """Vectors in, labels out; every attribute is an array, so that a rule can be stored as it is."""

    kind: ClassVar[str]
    about: ClassVar[str]

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """int64 (n,), -1 for a vector that joins no cluster.

        Args:
            vectors: (n, d), as the strategy saw them.
        """
        ...


@dataclass(frozen=True)
class NearestCentre:
    """Attributes: ``centres`` float32 (k, d), unit rows."""

    centres: np.ndarray
    kind: ClassVar[str] = "nearest_centre"
    about: ClassVar[str] = "the centre of the greatest cosine, the smaller number on a tie"

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """See `Rule`."""
        return most_similar(vectors, self.centres)[0]


@dataclass(frozen=True)
class NearestPicture:
    """Rule of strategies without one of their own.

    Attributes:
        pictures: float32 (m, d), unit rows, m at least 1.
        labels: int64 (m,), -1 for a picture that is in no cluster and keeps what is nearest to it out of all.
        least_cosine: float32 (m,), of a vector to that picture, for it to join.
    """

    pictures: np.ndarray
    labels: np.ndarray
    least_cosine: np.ndarray
    kind: ClassVar[str] = "nearest_picture"
    about: ClassVar[str] = "the cluster of the most similar picture learned on, from that cluster's least cosine on; else none"

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """See `Rule`."""
        nearest, cosine = most_similar(vectors, self.pictures)
        return np.where(cosine >= self.least_cosine[nearest] - COSINE_SLACK, self.labels[nearest], -1)


COSINE_SLACK = 1e-6
"""A product in single precision may miss the cosine by this; a picture must reach itself."""


@dataclass(frozen=True)
class Gaussians:
    """A mixture of normal distributions.

    Attributes:
        weights: float64 (k,), above 0.
        means: float64 (k, d).
        whitening: float64 (k, d, d): w with w w^T the inverse of the covariance.
        half_log_determinants: float64 (k,), of the covariances.
    """

    weights: np.ndarray
    means: np.ndarray
    whitening: np.ndarray
    half_log_determinants: np.ndarray
    kind: ClassVar[str] = "gaussians"
    about: ClassVar[str] = "the component of the greatest weighted density"

    @classmethod
    def of(cls, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Gaussians:
        """From covariances; directions without variance are left out of a component, as in Spark's pseudo-inverse."""
        values, axes = np.linalg.eigh(covariances)
        least = np.finfo(np.float64).eps * means.shape[1] * values.max(axis=1, keepdims=True)
        real = values > least
        scale = np.where(real, 1.0 / np.sqrt(np.where(real, values, 1.0)), 0.0)
        half = 0.5 * np.where(real, np.log(np.where(real, values, 1.0)), 0.0).sum(axis=1)
        return cls(weights, means, axes * scale[:, None, :], half)

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """See `Rule`."""
        points = np.asarray(vectors, np.float64)
        scores = np.empty((len(points), len(self.weights)))
        for k, mean in enumerate(self.means):
            away = (points - mean) @ self.whitening[k]
            scores[:, k] = np.log(max(float(self.weights[k]), LEAST_DENSITY)) - self.half_log_determinants[k]
            scores[:, k] -= 0.5 * (away**2).sum(axis=1)
        return scores.argmax(axis=1).astype(np.int64)


@dataclass(frozen=True)
class Topics:
    """Latent Dirichlet allocation (Blei et al. 2003; Hoffman et al. 2010), meant for words: see `non_negative_codes`.

    Attributes:
        topics: float64 (k, 2 d), rows of sum 1.
        concentration: float64 (k,), above 0.
    """

    topics: np.ndarray
    concentration: np.ndarray
    kind: ClassVar[str] = "topics"
    about: ClassVar[str] = "the topic with the greatest share, inferred from equal shares; words are positive and negative parts"

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """See `Rule`."""
        result = np.empty(len(vectors), np.int64)
        step = max(1, CELLS_PER_BLOCK // max(self.topics.shape))
        for low in range(0, len(vectors), step):
            result[low : low + step] = self._shares(non_negative_codes(vectors[low : low + step])).argmax(axis=1)
        return result

    def _shares(self, codes: np.ndarray) -> np.ndarray:
        gamma = np.ones((len(codes), len(self.topics)))
        moving = np.arange(len(codes))
        for _ in range(TOPIC_ROUNDS):
            inner = np.exp(_digamma(gamma[moving]) - _digamma(gamma[moving].sum(axis=1, keepdims=True)))
            likely = inner @ self.topics + LEAST_DENSITY
            found = self.concentration + inner * ((codes[moving] / likely) @ self.topics.T)
            change = np.abs(found - gamma[moving]).mean(axis=1)
            gamma[moving] = found
            moving = moving[change >= TOPIC_CHANGE]  # each by itself: a row's answer must not follow from its company
            if not len(moving):
                break
        return gamma


KINDS: Mapping[str, type] = {c.kind: c for c in (NearestCentre, NearestPicture, Gaussians, Topics)}
CODE_WEIGHT = 100.0
"""Words of a vector: parts of all vectors have one sum, since LDA reads them as counts."""


def non_negative_codes(vectors: np.ndarray) -> np.ndarray:
    """float64 (n, 2 d): positive parts beside negated negative parts, each row of sum `CODE_WEIGHT`; a row of zeros stays one.

    Args:
        vectors: (n, d).
    """
    points = np.asarray(vectors, np.float64)
    codes = np.concatenate([np.maximum(points, 0.0), np.maximum(-points, 0.0)], axis=1)
    total = codes.sum(axis=1, keepdims=True)
    return codes / np.where(total > 0, total, 1.0) * CODE_WEIGHT


def arrays_of(rule: Rule) -> dict[str, np.ndarray]:
    """Everything that a rule is made of; ``KINDS[rule.kind](**arrays)`` makes it again."""
    return {f.name: getattr(rule, f.name) for f in fields(rule)}  # type: ignore[arg-type]


def most_similar(vectors: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row of the greatest inner product for each vector: int64 (n,), the smaller on a tie, and float32 (n,) the product.

    Args:
        vectors: (n, d), of any length but 0; made unit length.
        others: float32 (m, d), unit rows, m at least 1.
    """
    nearest, cosine = np.empty(len(vectors), np.int64), np.empty(len(vectors), np.float32)
    step = max(1, CELLS_PER_BLOCK // len(others))
    for low in range(0, len(vectors), step):
        products = unit_rows(np.asarray(vectors[low : low + step], np.float32)) @ others.T
        nearest[low : low + step] = products.argmax(axis=1)
        cosine[low : low + step] = products.max(axis=1)
    return nearest, cosine


def _digamma(values: np.ndarray) -> np.ndarray:
    """The logarithmic derivative of the gamma function, of values above 0: psi(x) = psi(x + 1) - 1 / x up to where its
    asymptotic series (Abramowitz and Stegun 6.3.18) is as exact as a double."""
    x, before = np.asarray(values, np.float64), np.zeros(np.shape(values))
    for step in range(DIGAMMA_STEPS):
        before += 1.0 / (x + step)
    far = x + DIGAMMA_STEPS
    inverse, series = 1.0 / (far * far), np.zeros_like(far)
    for term in reversed(DIGAMMA_SERIES):
        series = (series + term) * inverse
    return np.log(far) - 0.5 / far - series - before
