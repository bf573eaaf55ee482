"""Which pictures stand for a cluster, and what is drawn of them."""

from __future__ import annotations

import io

import numpy as np
from lab_worlds import planted
from PIL import Image

from bannermap.lab.mosaics import COLUMNS, GAP_PX, TILE_PX, chosen_pictures, mosaics


def file(colour: tuple[int, int, int], size: tuple[int, int]) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, colour).save(target, "PNG")
    return target.getvalue()


def test_the_largest_clusters_are_shown_from_the_most_to_the_least_typical_picture():
    vectors, _ = planted(3, 200)
    labels = np.repeat([-1, 4, 0, 9], [50, 90, 57, 3])
    names = np.array([f"n{i:03d}" for i in range(200)], object)
    found = chosen_pictures(vectors, labels, names, clusters=3, pictures=5)
    assert [c.label for c in found] == [4, 0, 9] and [len(c.names) for c in found] == [5, 5, 3]
    assert [c.share for c in found] == [0.45, 0.285, 0.015]
    rows = np.flatnonzero(labels == 4)
    centre = vectors[rows].mean(axis=0)
    order = rows[np.argsort(-(vectors[rows] @ centre))]
    assert found[0].names == tuple(names[order[[0, 22, 44, 67, 89]]])
    assert chosen_pictures(vectors, np.full(200, -1), names) == []


def test_a_mosaic_has_the_tiles_that_there_are():
    labels, names = np.array([0, 0, 0, 0, 1]), np.array(list("abcde"), object)
    chosen = chosen_pictures(planted(3, 5)[0], labels, names)
    order = [n for n in chosen[0].names if n != "b"]
    colours = dict(zip(order, [(250, 10, 10), (10, 10, 250), (10, 250, 10)], strict=True))
    (made,) = mosaics(chosen, {n: file(c, (60, 60)) for n, c in colours.items()})  # nothing of the second cluster
    sheet = Image.open(io.BytesIO(made.webp)).convert("RGB")
    assert sheet.size == (COLUMNS * (TILE_PX + GAP_PX) - GAP_PX, TILE_PX)
    for place, name in enumerate(order):
        seen = sheet.getpixel((place * (TILE_PX + GAP_PX) + TILE_PX // 2, TILE_PX // 2))
        assert np.abs(np.array(seen) - colours[name]).max() < 40
