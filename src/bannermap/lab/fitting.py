"""One configuration fitted on some rows: projection and buckets before the strategy, one model out of all of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bannermap.lab.models import Model, Sizes
from bannermap.lab.projection import Projection, learned_cells, learned_projection
from bannermap.lab.rules import NearestCentre, Rule
from bannermap.lab.separation import unit_rows
from bannermap.lab.strategies import STRATEGIES, Strategy, Tools


@dataclass(frozen=True)
class Preparation:
    """What happens to vectors before the strategy.

    Attributes:
        kept: principal components that are kept, an integer, or the share of variance they explain; None for all there is.
        bucketing: none, aspect or cell: pictures of two buckets never share a cluster.
        cells: number of buckets, of ``cell``.
    """

    kept: int | float | None = None
    bucketing: str = "none"
    cells: int = 8


@dataclass(frozen=True)
class Configuration:
    """One thing to try.

    Attributes:
        strategy: name.
        parameters: of the strategy.
        preparation: before it.
    """

    strategy: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    preparation: Preparation = Preparation()

    @property
    def name(self) -> str:
        """Readable, the same for the same configuration."""
        said = [f"{k}={v}" for k, v in sorted(self.parameters.items())]
        before = self.preparation
        said += [f"pca={before.kept}"] if before.kept is not None else []
        said += [before.bucketing] if before.bucketing != "none" else []
        return f"{self.strategy}({', '.join(said)})"


@dataclass(frozen=True)
class Fit:
    """What a configuration makes of some rows.

    Attributes:
        labels: int64 (n,), -1 for outliers.
        model: predicts.
        seconds: wall time.
        fitted_rows: rows that the strategy itself saw; the others were placed by the rule.
    """

    labels: np.ndarray
    model: Model
    seconds: float
    fitted_rows: int


@dataclass(frozen=True)
class Prepared:
    """Rows as a strategy sees them.

    Attributes:
        seen: float32 (n, m), projected where there is a projection; of unit length then, where the strategy knows cosines only.
        bucket: int64 (n,); rows of two buckets are clustered apart.
        drawn: int64 (r,), ascending: rows that the strategy fits. The rule places the others.
        projection: from (n, d) to ``seen``; None for vectors as they are.
        cells: float32 (c, d), centres of the buckets where these are cells, else None.
    """

    seen: np.ndarray
    bucket: np.ndarray
    drawn: np.ndarray
    projection: Projection | None
    cells: np.ndarray | None


def prepared(vectors: np.ndarray, configuration: Configuration, seed: int, sizes: Sizes | None = None) -> Prepared:
    """What comes before the strategy.

    Args:
        vectors: float32 (n, d), unit rows, n at least 1.
        configuration: its preparation, and what its strategy bears.
        seed: of cells and of the rows that are drawn.
        sizes: of the pictures, for buckets by aspect.
    """
    before, projection = configuration.preparation, _projection(vectors, configuration)
    seen = projection.applied(vectors) if projection else np.asarray(vectors, np.float32)
    cells = learned_cells(vectors, before.cells, seed) if before.bucketing == "cell" else None
    bucket = Model({}, {}, None, before.bucketing, cells).buckets(vectors, sizes)
    return Prepared(seen, bucket, _drawn(len(vectors), STRATEGIES[configuration.strategy].max_rows, seed), projection, cells)


def fit(vectors: np.ndarray, configuration: Configuration, seed: int, tools: Tools, sizes: Sizes | None = None) -> Fit:
    """Fit one configuration.

    Args:
        vectors: float32 (n, d), unit rows, n at least 1.
        configuration: which.
        seed: of whatever is drawn.
        tools: what strategies work with.
        sizes: of the pictures, for buckets by aspect.
    """
    began = time.monotonic()
    before = prepared(vectors, configuration, seed, sizes)
    drawn, bucket, following = before.drawn, before.bucket, 0
    labels, rules, first = np.full(len(vectors), -1, np.int64), {}, {}
    for number in np.unique(bucket[drawn]):
        rows = drawn[bucket[drawn] == number]
        found, rule = _fit_bucket(before.seen[rows], configuration, len(rows) / len(drawn), seed, tools)
        labels[rows] = np.where(found >= 0, found + following, -1)
        rules[int(number)], first[int(number)] = rule, following
        following += int(found.max(initial=-1)) + 1
    model = Model(rules, first, before.projection, configuration.preparation.bucketing, before.cells)
    rest = np.setdiff1d(np.arange(len(vectors)), drawn, assume_unique=True)
    labels[rest] = model.predict(vectors[rest], sizes.of(rest) if sizes else None)
    return Fit(labels, model, time.monotonic() - began, len(drawn))


def in_short(error: Exception) -> str:
    """What a fit failed of: its kind, and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:300]}" if said else type(error).__name__


def _projection(vectors: np.ndarray, configuration: Configuration) -> Projection | None:
    """Principal components where they are asked for, or the strategy bears no more."""
    strategy, kept = STRATEGIES[configuration.strategy], configuration.preparation.kept
    most = _most_dimensions(strategy, len(vectors), configuration.parameters)
    if kept is not None:
        asked = learned_projection(vectors, kept, strategy.unit)
        if asked.directions.shape[1] <= most:
            return asked
    return learned_projection(vectors, most, strategy.unit) if most < vectors.shape[1] else None


def _most_dimensions(strategy: Strategy, rows: int, parameters: Mapping[str, Any]) -> int:
    """That a strategy bears; fewer where a cluster's covariance would have too few rows for them."""
    most = strategy.max_dimensions or 2**31
    if strategy.rows_per_dimension:
        most = min(most, rows // (strategy.rows_per_dimension * int(parameters["clusters"])))
    return max(2, most)


def _drawn(rows: int, most: int | None, seed: int) -> np.ndarray:
    """Ascending rows that the strategy sees."""
    if most is None or rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _fit_bucket(seen: np.ndarray, configuration: Configuration, share: float, seed: int, tools: Tools) -> tuple[np.ndarray, Rule]:
    """A number of clusters is shared among buckets by their rows."""
    parameters = dict(configuration.parameters)
    if "clusters" in parameters:
        parameters["clusters"] = round(parameters["clusters"] * share)
        if min(parameters["clusters"], len(seen)) < 2:  # one cluster, which Spark refuses to make
            return np.zeros(len(seen), np.int64), NearestCentre(unit_rows(seen.mean(axis=0, keepdims=True)))
    found = STRATEGIES[configuration.strategy].fit(seen, parameters, seed, tools)
    return found.labels, found.rule
