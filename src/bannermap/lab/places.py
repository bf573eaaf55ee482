"""Two numbers for each picture, for a scatter. A picture of them only: nothing is measured in the plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bannermap.lab.packages import check_package
from bannermap.lab.projection import learned_projection

UMAP = "umap"
UMAP_NEIGHBOURS = 15
"""What UMAP looks at of each picture. Of fewer pictures than twice as many it makes nothing that says more than components."""


@dataclass(frozen=True)
class Places:
    """Where dots lie.

    Attributes:
        rows: int64 (m,), the pictures that have a dot.
        points: float64 (m, 2).
        axes: titles of the two axes.
        remark: what a reader must know of them, or nothing.
    """

    rows: np.ndarray
    points: np.ndarray
    axes: tuple[str, str]
    remark: str


def check_scatter(kind: str) -> None:
    """Have the package that a scatter needs.

    Raises:
        ConfigError: it is absent.
    """
    if kind == UMAP:
        check_package("lab.scatter is umap", "umap", "umap-learn", "take lab.scatter=pca")


def places_of(vectors: np.ndarray, kind: str, most: int) -> Places:
    """The same for the same vectors.

    Args:
        vectors: (n, d), n at least 1.
        kind: `pca`, two principal components; `umap` by cosine (McInnes, Healy and Melville 2018, arXiv:1802.03426).
        most: pictures that get a dot; of more they are drawn.
    """
    rows = np.random.default_rng(0).permutation(len(vectors))[:most]
    if kind == UMAP and len(rows) >= 2 * UMAP_NEIGHBOURS:
        remark = " Near dots are alike; how far groups lie from each other says little (UMAP)."
        return Places(rows, _umap(vectors[rows]), ("first coordinate", "second coordinate"), remark)
    points = learned_projection(vectors[rows], 2, unit=False).applied(vectors[rows])
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    return Places(rows, points.astype(np.float64), ("first component", "second component"), "")


def _umap(vectors: np.ndarray) -> np.ndarray:
    from umap import UMAP as Umap

    # one thread: with a seed it takes no more, and says so in a warning unless it is told
    model = Umap(n_components=2, n_neighbors=UMAP_NEIGHBOURS, metric="cosine", random_state=0, n_jobs=1)
    return np.asarray(model.fit_transform(np.asarray(vectors, np.float32)), np.float64)
