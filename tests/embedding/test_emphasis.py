"""Where a vector comes from: patches laid over the whole picture, against painting them pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannermap.embedding.decoding.resizing import Box
from bannermap.embedding.decoding.views import fitted_view
from bannermap.embedding.encoders.emphasis import CELLS, emphasis_map

CELL_PX = 12
SIDE = CELLS * CELL_PX
MODES = ("resize", "letterbox", "grid", "center_crop")
PLACES = st.tuples(st.integers(1, 9), st.integers(1, 60), st.integers(-200, SIDE - 1))
"""Along one axis: patches, pixels of one, and the pixel where the first begins; it may lie outside."""


def painted(weights: np.ndarray, down: tuple[int, int, int], across: tuple[int, int, int]) -> np.ndarray:
    """Mean of each cell of a picture in which every pixel has the weight of the patch that covers it."""
    picture = np.zeros((SIDE, SIDE))
    for y in range(SIDE):
        for x in range(SIDE):
            row, column = (y - down[2]) // down[1], (x - across[2]) // across[1]
            if 0 <= row < down[0] and 0 <= column < across[0]:
                picture[y, x] = weights[row, column]
    return picture.reshape(CELLS, CELL_PX, CELLS, CELL_PX).mean(axis=(1, 3))


@settings(max_examples=25, deadline=None)
@given(PLACES, PLACES, st.integers(0, 2**32 - 1))
def test_cells_hold_the_mean_weight_of_what_covers_them(down, across, seed):
    weights = np.random.default_rng(seed).exponential(size=(down[0], across[0])) ** 3
    edges = [e / SIDE for count, px, start in (down, across) for e in (start, start + count * px)]
    found, expected = emphasis_map(weights, Box(*edges)), painted(weights, down, across)
    assert found.dtype == np.uint8 and found.shape == (CELLS, CELLS)
    assert np.abs(found - 255 * expected / max(expected.max(), 1e-300)).max() <= 0.5 + 1e-6


def test_what_is_not_finite_weighs_nothing():
    weights = np.array([[np.nan, 1.0], [0.0, 0.5]])
    found = emphasis_map(weights, Box(0.0, 1.0, 0.0, 1.0))
    assert found[0, 0] == 0 and found[0, -1] == 255 and found[-1, -1] == 128
    assert not emphasis_map(weights * np.nan, Box(0.0, 1.0, 0.0, 1.0)).any()


def ramps(width: int, height: int) -> np.ndarray:
    """A picture whose red says how far right a pixel lies and whose green how far down, from 60 to 160; its blue is even."""
    right, down = ((np.arange(edge) + 0.5) / edge * 100 + 60 for edge in (width, height))
    planes = (np.tile(right, (height, 1)), np.tile(down[:, None], (1, width)), np.full((height, width), 200.0))
    return np.rint(np.stack(planes, axis=2)).astype(np.uint8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(300, 250), (728, 90), (160, 600), (64, 64), (401, 77)])
@pytest.mark.parametrize("bars", [None, (40, 0, 0, 0), (20, 35, 0, 0), (0, 0, 70, 30)])
def test_the_box_tells_where_each_pixel_that_a_model_sees_lies_in_the_picture(mode, size, bars):
    top, bottom, left, right = bars or (0, 0, 0, 0)
    picture = np.pad(ramps(*size), ((top, bottom), (left, right), (0, 0)))
    view = fitted_view(picture, bars is not None, mode, 112, 14)
    height, width, _ = view.pixels.shape
    box = view.box
    for axis, (count, start, end, cut, whole, inner) in enumerate(
        (
            (width, box.left, box.right, left, picture.shape[1], size[0]),
            (height, box.top, box.bottom, top, picture.shape[0], size[1]),
        )
    ):
        places = start + (np.arange(count) + 0.5) / count * (end - start)
        expected = (places * whole - cut) / inner * 100 + 60
        seen = view.pixels[height // 2, :, 0] if axis == 0 else view.pixels[:, width // 2, 1]
        known = (expected > 61) & (expected < 159)
        assert known.sum() >= 10
        assert np.abs(seen[known] - expected[known]).max() <= 3
        outside = (expected < 58) | (expected > 162)
        assert (seen[outside] == 255).all()
