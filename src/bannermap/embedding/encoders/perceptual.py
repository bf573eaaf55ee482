"""The perceptual encoder: what a banner looks like, without a learned model.

Four blocks describe the whole banner, squeezed to one square: the layout of light (low frequencies of a cosine transform, as
perceptual hashes use), the layout of colour, the histogram of colours, and the edges (histograms of oriented gradients; Dalal
and Triggs 2005). Every block is centred on what a typical image has, so that two unrelated banners score near zero instead of
near one, then the blocks are weighted and the whole is scaled to unit length.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bannermap.embedding.decoding.views import View, content
from bannermap.embedding.encoders.interface import Encoded, seen_as

SIDE = 64
FREQUENCIES = 12
COLOUR_CELLS = 8
EDGE_CELLS = 8
ORIENTATIONS = 8
HISTOGRAM_STEPS = 5
WEIGHTS = {"light": 1.0, "colour": 1.0, "histogram": 0.8, "edges": 1.0}
"""Share of each block, chosen on renditions of photos: copies have to score above 0.9, strangers below 0.6."""
CHROMA_FLOOR = 24.0
"""Mean chroma, of 128, below which the colour block fades instead of amplifying noise of grey banners."""


@dataclass(frozen=True)
class PerceptualEncoder:
    """See the module.

    Attributes:
        trim_borders: cut uniform borders first.
    """

    trim_borders: bool

    @property
    def encoder_id(self) -> str:
        """Names what changes a vector."""
        return f"perceptual-v1-{seen_as(self.trim_borders)}-resize{SIDE}"

    def check(self) -> None:
        """Nothing can be wrong: there are no weights."""

    def prepare(self, pixels: np.ndarray) -> View:
        """The whole banner, squeezed to a square of 64 x 64 pixels."""
        seen = content(pixels, self.trim_borders)
        return View(np.asarray(Image.fromarray(seen.pixels).resize((SIDE, SIDE), Image.Resampling.BOX)), seen.box)

    def encode(self, inputs: list[View]) -> Encoded:
        """Vectors of prepared banners. A banner's vector does not depend on the others."""
        return Encoded(np.stack([self._vector(view.pixels) for view in inputs]))

    def _vector(self, square: np.ndarray) -> np.ndarray:
        planes = np.asarray(Image.fromarray(square).convert("YCbCr"), np.float64)
        blocks = {
            "light": _light_layout(planes[:, :, 0]),
            "colour": _colour_layout(planes[:, :, 1:] - 128.0),
            "histogram": _colour_histogram(square.astype(np.float64)),
            "edges": _edges(planes[:, :, 0]),
        }
        joined = np.concatenate([WEIGHTS[name] * block for name, block in blocks.items()])
        length = np.linalg.norm(joined)
        # A banner of one grey has nothing in any block but its histogram, whose length is never zero.
        return (joined / length).astype(np.float32)


def _unit(block: np.ndarray, floor: float = 1e-9) -> np.ndarray:
    return block.ravel() / max(float(np.linalg.norm(block)), floor)


def _light_layout(luminance: np.ndarray) -> np.ndarray:
    """Signed roots of the low frequencies without the mean: roots, so that one strong frequency does not decide alone."""
    basis = _cosines()
    spectrum = basis @ luminance @ basis.T
    spectrum[0, 0] = 0.0
    return _unit(np.sign(spectrum) * np.sqrt(np.abs(spectrum)), floor=SIDE * 0.5)


def _colour_layout(chroma: np.ndarray) -> np.ndarray:
    """Mean chroma per cell; grey is the centre."""
    means = _cell_means(chroma, COLOUR_CELLS)
    return _unit(means, floor=CHROMA_FLOOR * COLOUR_CELLS)


def _colour_histogram(rgb: np.ndarray) -> np.ndarray:
    """Roots of a softly binned histogram of colours, less the mean root: banners that share no colour oppose each other."""
    at = rgb.reshape(-1, 3) / 255.0 * (HISTOGRAM_STEPS - 1)
    low = np.minimum(at.astype(int), HISTOGRAM_STEPS - 2)
    part = at - low
    histogram = np.zeros(HISTOGRAM_STEPS**3)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, part, 1.0 - part), axis=1)
        index = (low + corner) @ (HISTOGRAM_STEPS**2, HISTOGRAM_STEPS, 1)
        histogram += np.bincount(index, weight, HISTOGRAM_STEPS**3)
    roots = np.sqrt(histogram / len(at))
    return _unit(roots - roots.mean())


def _edges(luminance: np.ndarray) -> np.ndarray:
    """Roots of gradient histograms per cell, less their mean over cells and orientations."""
    down, right = np.gradient(luminance)
    strength = np.hypot(down, right)
    turn = (np.arctan2(down, right) % np.pi) / np.pi * ORIENTATIONS
    low = turn.astype(int) % ORIENTATIONS
    part = turn - np.floor(turn)
    planes = np.zeros((SIDE, SIDE, ORIENTATIONS))
    rows, columns = np.indices((SIDE, SIDE))
    planes[rows, columns, low] += strength * (1.0 - part)
    planes[rows, columns, (low + 1) % ORIENTATIONS] += strength * part
    roots = np.sqrt(_cell_means(planes, EDGE_CELLS))
    return _unit(roots - roots.mean(), floor=EDGE_CELLS * 1.0)


def _cell_means(planes: np.ndarray, cells: int) -> np.ndarray:
    step = SIDE // cells
    return planes.reshape(cells, step, cells, step, -1).mean(axis=(1, 3))


@functools.cache
def _cosines() -> np.ndarray:
    """The first rows of an orthonormal type-II cosine transform; float64 (FREQUENCIES, SIDE)."""
    k, x = np.mgrid[:FREQUENCIES, :SIDE]
    basis = np.cos(np.pi * k * (2 * x + 1) / (2 * SIDE)) * np.sqrt(2.0 / SIDE)
    basis[0] /= np.sqrt(2.0)
    return basis
