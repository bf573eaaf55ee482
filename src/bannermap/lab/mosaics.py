"""A picture per cluster: some of its pictures, from the most typical to the least, side by side. Numpy and Pillow, no Spark."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bannermap.lab.separation import unit_rows

CLUSTERS, PICTURES = 12, 9
"""Clusters that have a mosaic, the largest, of a clustering that is not the recommended one; pictures of a mosaic, at most."""
TILE_PX, COLUMNS, GAP_PX = 84, 3, 4
QUALITY = 70


@dataclass(frozen=True)
class Chosen:
    """Pictures of a cluster: its label, its share of all pictures, and names from the most typical to the least."""

    label: int
    share: float
    names: tuple[str, ...]


@dataclass(frozen=True)
class Mosaic:
    """A WebP of a cluster's pictures; of those that there were bytes for."""

    chosen: Chosen
    webp: bytes


@dataclass(frozen=True)
class LeftOut:
    """Clusters of a recommended configuration that have no mosaic.

    Attributes:
        beyond_setting: smaller ones than the `lab.mosaic_clusters` largest.
        without_pictures: those of whose pictures no bytes are stored.
    """

    beyond_setting: int
    without_pictures: int


@dataclass(frozen=True)
class Sheets:
    """What is drawn of comparisons.

    Attributes:
        mosaics: encoder_id, configuration -> mosaics, the largest cluster first.
        left_out: encoder_id -> of its recommended configuration.
        tiles: node_id -> WebP of a picture that is asked for by name, or that lies near one.
    """

    mosaics: Mapping[tuple[str, str], Sequence[Mosaic]] = field(default_factory=dict)
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    tiles: Mapping[str, bytes] = field(default_factory=dict)


def chosen_pictures(
    vectors: np.ndarray, labels: np.ndarray, names: np.ndarray, clusters: int = CLUSTERS, pictures: int = PICTURES
) -> list[Chosen]:
    """Of each of the largest clusters some pictures, at even steps of their rank by cosine to its centre.

    The first alone would be alike in any cluster; the steps go to the last, so that what does not belong shows.

    Args:
        vectors: float32 (n, d), unit rows.
        labels: int (n,), -1 for outliers.
        names: object (n,), strings.
        clusters: at most.
        pictures: of each, at most.
    """
    found, sizes = np.unique(labels[labels >= 0], return_counts=True)
    result = []
    for label in found[np.argsort(-sizes, kind="stable")[:clusters]]:
        rows = np.flatnonzero(labels == label)
        centre = unit_rows(vectors[rows].sum(axis=0, dtype=np.float64, keepdims=True))[0]
        order = np.lexsort((names[rows].astype(str), -(vectors[rows] @ centre)))
        steps = np.unique(np.linspace(0, len(rows) - 1, min(pictures, len(rows))).round().astype(int))
        result.append(Chosen(int(label), len(rows) / len(labels), tuple(str(n) for n in names[rows[order[steps]]])))
    return result


def mosaics(chosen: Sequence[Chosen], tiles: Mapping[str, bytes]) -> list[Mosaic]:
    """The picture of each cluster; none of one without any tile.

    Args:
        chosen: clusters.
        tiles: name -> image file, no side longer than two `TILE_PX`.
    """
    return [Mosaic(c, _composed([tiles[n] for n in c.names if n in tiles])) for c in chosen if any(n in tiles for n in c.names)]


def _composed(files: Sequence[bytes]) -> bytes:
    from PIL import Image

    rows = -(-len(files) // COLUMNS)
    step = TILE_PX + GAP_PX
    sheet = Image.new("RGB", (COLUMNS * step - GAP_PX, rows * step - GAP_PX), "white")
    for place, file in enumerate(files):
        with Image.open(io.BytesIO(file)) as image:
            tile = image.convert("RGB")
        tile.thumbnail((TILE_PX, TILE_PX))
        left, top = place % COLUMNS * step, place // COLUMNS * step
        sheet.paste(tile, (left + (TILE_PX - tile.width) // 2, top + (TILE_PX - tile.height) // 2))
    target = io.BytesIO()
    sheet.save(target, "WEBP", quality=QUALITY)
    return target.getvalue()
