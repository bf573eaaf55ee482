"""What a strategy is to the lab."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bannermap.lab.rules import Rule
from bannermap.lab.strategies.parameters import Kind
from bannermap.platform.settings import ClusteringSettings
from bannermap.platform.settings.common import Section

Parameters = Mapping[str, Any]
RecursiveClustering = Callable[[np.ndarray, ClusteringSettings], tuple[np.ndarray, np.ndarray]]
"""Vectors, settings -> labels, and by label the cosine from which a new picture joins."""
NeighbourSearch = Callable[[np.ndarray, ClusteringSettings], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Vectors, settings -> src, dst, cosine of each one's nearest neighbours."""


ThemeMaker = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""Centroids of clusters, their weights, a number -> centroids of that many themes, or fewer."""


@dataclass(frozen=True)
class Tools:
    """What strategies work with. A stage knows no other, so the job hands over what it takes from one.

    Attributes:
        cluster: the recursive clustering.
        neighbours: its search.
        clustering: its settings, as configured, or as a comparison noted them.
        spark: the SparkSession; None where only strategies without Spark are asked for.
        device: of torch, where strategies that can shall work; None for none.
    """

    cluster: RecursiveClustering
    neighbours: NeighbourSearch
    clustering: ClusteringSettings
    spark: Any = None
    device: str | None = None


@dataclass(frozen=True)
class Fitted:
    """What a fit gives.

    Attributes:
        labels: int64 (n,), of the rows that were fitted, -1 for outliers.
        rule: gives new vectors a label.
    """

    labels: np.ndarray
    rule: Rule


@dataclass(frozen=True)
class Strategy:
    """One way of clustering.

    Attributes:
        name: as in ``lab.strategies``.
        about: a sentence for the report: what it does, and how it places what it has not seen.
        fit: vectors float32 (n, d), parameters, seed, tools -> the fit. Equal arguments give equal results.
        parameters: class of its parameters; their names, types and ranges are those of its fields.
        max_rows: rows that a fit can bear; of more a sample is fitted, and the rule places the rest. None for any number.
        max_dimensions: dimensions that a fit can bear; more are projected. None for any number.
        rows_per_dimension: rows that a cluster should have per dimension; with fewer, more is projected away. None for any.
        unit: whether rows are of unit length; False for a strategy that knows distances in all directions.
        growth: power of the number of rows by which its time grows, for the time budget.
        needs: module that has to be there.
        by_clustering: whether it goes by the section `clustering`, beside its parameters.
    """

    name: str
    about: str
    fit: Callable[[np.ndarray, Parameters, int, Tools], Fitted]
    parameters: Kind = Section
    max_rows: int | None = None
    max_dimensions: int | None = None
    rows_per_dimension: int | None = None
    unit: bool = True
    growth: float = 1.0
    needs: str | None = None
    by_clustering: bool = False
