"""Resizing: what a model is shown of banners of any shape."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from bannermap.embedding.decoding.resizing import PADDING, fitted, grid_shape

MODES = ("resize", "letterbox", "grid", "center_crop")
SHAPES = [(1, 1), (10_000, 1), (1, 10_000), (728, 90), (160, 600), (300, 250), (13, 17), (2001, 1003)]


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(width: int, height: int, seed: int = 0) -> np.ndarray:
    small = noise(min(width, 6), min(height, 6), seed)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SHAPES)
def test_a_picture_of_any_shape_fits_and_keeps_its_colour(mode, size):
    plain = np.full((size[1], size[0], 3), (200, 10, 90), np.uint8)
    shown = fitted(plain, mode, 112, 14)
    assert shown.dtype == np.uint8 and shown.flags.writeable and shown.flags.c_contiguous
    rows, columns = grid_shape(*size, 112, 14)
    assert shown.shape == ((rows * 14, columns * 14, 3) if mode == "grid" else (112, 112, 3))
    colours = {tuple(c) for c in shown.reshape(-1, 3).tolist()}
    assert colours == ({(200, 10, 90), PADDING} if mode == "letterbox" and size[0] != size[1] else {(200, 10, 90)})


@pytest.mark.parametrize("mode", MODES)
def test_the_same_pixels_give_the_same_bytes_whatever_their_layout(mode):
    pixels = noise(211, 97)
    first = fitted(pixels, mode, 56, 14)
    assert np.array_equal(first, fitted(pixels.copy(), mode, 56, 14))
    assert np.array_equal(first, fitted(np.asfortranarray(pixels), mode, 56, 14))
    wider = np.zeros((97, 300, 3), np.uint8)
    wider[:, 40:251] = pixels
    assert np.array_equal(first, fitted(wider[:, 40:251], mode, 56, 14))


def brute_force(width: int, height: int, budget: int) -> tuple[int, int]:
    """All grids, floating logarithms; the rule of `grid_shape` as one reads it."""
    grids = [(r, c) for r in range(1, budget + 1) for c in range(1, budget + 1) if r * c <= budget]
    full = [(r, c) for r, c in grids if (r + 1) * c > budget and r * (c + 1) > budget]
    return min(full, key=lambda g: (round(abs(math.log(g[1] / g[0]) - math.log(width / height)), 12), -g[0] * g[1], g[0]))


def test_grids_are_those_of_a_search_over_all():
    rng = np.random.default_rng(1)
    for side, patch in ((14, 14), (28, 14), (60, 14), (112, 14), (224, 16), (100, 30)):
        for _ in range(40):
            width, height = np.exp(rng.uniform(0, math.log(5000), 2)).astype(int).tolist()
            assert grid_shape(width, height, side, patch) == brute_force(width, height, (side // patch) ** 2)
    assert grid_shape(500, 500, 30, 20) == (1, 1)
    assert all(grid_shape(n, n, 224, 14) == (16, 16) for n in (1, 90, 4001))


def test_grids_turn_with_the_picture_and_use_the_budget():
    rng = np.random.default_rng(2)
    for width, height in rng.integers(1, 3000, (200, 2)).tolist():
        rows, columns = grid_shape(width, height, 224, 14)
        assert 0.9 * 256 <= rows * columns <= 256
        assert grid_shape(height, width, 224, 14) == (columns, rows)


def test_a_side_without_a_patch_is_refused():
    with pytest.raises(ValueError, match="holds no patch"):
        grid_shape(10, 10, 13, 14)


def box_means(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each output pixel the mean of its block, for sizes that divide."""
    h, w, _ = pixels.shape
    return pixels.reshape(height, h // height, width, w // width, 3).astype(float).mean(axis=(1, 3))


@pytest.mark.parametrize("size", [(728, 96), (112, 960), (1680, 1120), (2800, 560)])
def test_squeezing_and_letterboxing_show_the_whole_picture_in_its_place(size):
    pixels = smooth(*size)
    square = fitted(pixels, "resize", 56, 14).astype(float)
    exact = Image.fromarray(pixels).resize((56 * 20, 56 * 20), Image.Resampling.BILINEAR)
    assert np.abs(square - box_means(np.asarray(exact), 56, 56)).max() < 6
    boxed = fitted(pixels, "letterbox", 56, 14)
    inside = (boxed != PADDING).any(axis=2)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    wanted = np.array(size) * 56 / max(size)
    assert np.abs(np.array([len(columns), len(rows)]) - wanted).max() <= 0.5
    assert abs((rows[0] + rows[-1]) / 2 - 27.5) <= 0.5 and abs((columns[0] + columns[-1]) / 2 - 27.5) <= 0.5


def test_reducing_does_not_alias():
    checker = np.indices((1200, 1600)).sum(axis=0) % 2 * 255
    stripes = np.repeat(checker[:, :, None], 3, axis=2).astype(np.uint8)
    for mode in MODES:
        inner = fitted(stripes, mode, 112, 14)[20:-20, 4:-4].astype(int)
        assert np.abs(inner - 127.5).max() < 4


@pytest.mark.parametrize("size", [(728, 90), (91, 300), (64, 64), (640, 479)])
def test_a_centre_crop_is_that_of_the_scaled_picture(size):
    """Against scaling the whole picture first, which is what one would write."""
    pixels, side = smooth(*size), 48
    scale = side / min(size)
    whole = Image.fromarray(pixels).resize((round(size[0] * scale), round(size[1] * scale)), Image.Resampling.BICUBIC)
    left, top = (whole.width - side) // 2, (whole.height - side) // 2
    expected = np.asarray(whole.crop((left, top, left + side, top + side))).astype(int)
    assert np.abs(fitted(pixels, "center_crop", side, 14).astype(int) - expected).mean() < 4


def test_what_differs_only_outside_a_centre_crop_is_seen_by_all_other_modes():
    strip = noise(728, 90)
    other = strip.copy()
    other[:, :300], other[:, -300:] = 255 - other[:, :300], 255 - other[:, -300:]
    same = {mode: np.array_equal(fitted(strip, mode, 112, 14), fitted(other, mode, 112, 14)) for mode in MODES}
    assert same == {"resize": False, "letterbox": False, "grid": False, "center_crop": True}
