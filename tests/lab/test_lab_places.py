"""Dots of a scatter: what lies together there, and what is done where too little or no package is there."""

from __future__ import annotations

import numpy as np
import pytest
from lab_worlds import planted

from bannermap.lab.places import UMAP_NEIGHBOURS, check_scatter, places_of
from bannermap.platform.errors import ConfigError


def share_beside_their_own(points: np.ndarray, groups: np.ndarray) -> float:
    far = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(far, np.inf)
    return float((groups[far.argmin(axis=1)] == groups).mean())


def test_umap_lays_groups_apart_that_two_components_lay_over_each_other_and_repeats_itself():
    vectors, truth = planted(1)
    shown = places_of(vectors, "umap", 150)
    assert len(set(shown.rows.tolist())) == 150 and shown.points.shape == (150, 2)
    grouped = truth[shown.rows] >= 0
    apart = share_beside_their_own(shown.points[grouped], truth[shown.rows][grouped])
    flat = places_of(vectors, "pca", 150)
    assert (flat.rows == shown.rows).all()
    assert apart > 0.95 and apart > share_beside_their_own(flat.points[grouped], truth[flat.rows][grouped])
    assert (places_of(vectors, "umap", 150).points == shown.points).all()


@pytest.mark.parametrize("rows", [1, 2, 2 * UMAP_NEIGHBOURS - 1])
def test_few_pictures_are_shown_by_components(rows):
    vectors, _ = planted(2)
    one, other = (places_of(vectors[:rows], kind, 1000) for kind in ("umap", "pca"))
    assert one.axes == other.axes and (one.points == other.points).all() and one.points.shape == (rows, 2)


def test_umap_without_its_package_is_refused(monkeypatch):
    check_scatter("umap")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_scatter("pca")
    with pytest.raises(ConfigError, match=r"bannermap\[lab\].*lab\.scatter=pca"):
        check_scatter("umap")
