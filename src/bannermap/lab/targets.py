"""Where pictures that are asked for by name lie in a clustering: `lab.targets`, of which a person wants to know one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bannermap.lab.data import Pictures
from bannermap.lab.labels import coded
from bannermap.lab.separation import silhouettes_of

NEAREST = 5
"""Pictures of its cluster that are told of each, at most."""


@dataclass(frozen=True)
class Target:
    """One of them.

    Attributes:
        node_id: name of the picture.
        held_out: whether no fit has seen it, so that its label is predicted.
        label: of its cluster, None for an outlier.
        cluster_pictures: pictures of the sample in that cluster, itself among them; 0 for an outlier.
        silhouette: -1 to 1; nan for an outlier, and where there are fewer than two clusters.
        nearest: names of the most similar other pictures of its cluster, by cosine, most similar first.
    """

    node_id: str
    held_out: bool
    label: int | None
    cluster_pictures: int
    silhouette: float
    nearest: tuple[str, ...]


def placed_targets(pictures: Pictures, labels: np.ndarray, hidden: np.ndarray, targets: np.ndarray) -> tuple[Target, ...]:
    """Outliers first, then by silhouette from the lowest, then by name: what lies badly is what a person looks for.

    Args:
        pictures: the whole sample, n of them.
        labels: int (n,), predicted where a picture is held out.
        hidden: bool (n,), held out.
        targets: int64 (t,), their places.
    """
    samples, found = silhouettes_of(pictures.vectors, labels, targets), coded(labels)
    sizes = dict(zip(np.unique(labels[found.rows]).tolist(), found.sizes.tolist(), strict=True))
    near = _nearest(pictures, labels, targets)
    result = []
    for place, sample in zip(targets.tolist(), samples.tolist(), strict=True):
        label = int(labels[place]) if labels[place] >= 0 else None
        inside = 0 if label is None else sizes[label]
        result.append(Target(str(pictures.names[place]), bool(hidden[place]), label, inside, sample, near.get(place, ())))
    return tuple(sorted(result, key=lambda t: (t.label is not None, np.nan_to_num(t.silhouette), t.node_id)))


def _nearest(pictures: Pictures, labels: np.ndarray, targets: np.ndarray) -> Mapping[int, tuple[str, ...]]:
    """Place of a clustered target -> names; the vectors of a cluster are fetched once for all targets in it."""
    result: dict[int, tuple[str, ...]] = {}
    for label in np.unique(labels[targets][labels[targets] >= 0]):
        rows = np.flatnonzero(labels == label)
        vectors, names = pictures.vectors[rows], pictures.names[rows].astype(str)
        for place in targets[labels[targets] == label].tolist():
            order = np.lexsort((names, -(vectors @ pictures.vectors[place])))
            result[place] = tuple(str(n) for n in names[order[rows[order] != place]][:NEAREST])
    return result
