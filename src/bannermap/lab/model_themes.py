"""Themes of a saved model: made once, when it is trained, so a slot means the same on every day."""

from __future__ import annotations

import numpy as np

from bannermap.lab.models import SavedModel
from bannermap.lab.rules import most_similar


def theme_name(saved: SavedModel, k: int, slot: int) -> str:
    """The theme_id."""
    return f"{theme_prefix(saved, k)}{slot:02d}"


def theme_prefix(saved: SavedModel, k: int) -> str:
    """What the theme_ids of k themes begin with, before two digits of the slot."""
    return f"{saved.model_id}-k{k:02d}-"


def cluster_slots(saved: SavedModel) -> np.ndarray:
    """int64 (clusters, numbers of themes), fewest first: slot, from 1, of each cluster's theme, by what the model was made of.

    To be taken once for many pictures: it compares all clusters with all themes.

    Args:
        saved: the model; one that was kept before models had themes has none.
    """
    return _nearest(saved, saved.centroids)


def slots_of_pictures(saved: SavedModel, known: np.ndarray, labels: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """int64 (n, numbers of themes), fewest first: slot, from 1, of the theme of a picture's cluster, or of an outlier's nearest.

    Args:
        saved: the model.
        known: its `cluster_slots`.
        labels: int64 (n,), -1 for outliers.
        vectors: float32 (n, d), unit rows.
    """
    if not saved.themes:
        return np.empty((len(labels), 0), np.int64)
    found, outside = slots_of_clusters(known, labels), np.flatnonzero(labels < 0)
    found[outside] = _nearest(saved, vectors[outside])
    return found


def slots_of_clusters(known: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same for clusters: a cluster keeps its theme whatever joins it.

    Args:
        known: `cluster_slots` of a model with themes.
        labels: int64 (n,); what has none, or was nobody's when the model was made, counts as the first cluster.
    """
    return known[np.where((labels >= 0) & (labels < len(known)), labels, 0)]


def _nearest(saved: SavedModel, vectors: np.ndarray) -> np.ndarray:
    none = np.empty((len(vectors), 0), np.int64)
    return np.column_stack([none, *(most_similar(vectors, saved.themes[k])[0] + 1 for k in sorted(saved.themes))])
