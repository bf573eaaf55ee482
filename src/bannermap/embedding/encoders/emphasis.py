"""Where in a picture its vector comes from: the weights of patches, laid over the whole picture as it was decoded.

A fixed grid of cells over the picture means the same for every model, resize mode and trimming, so that readers need none of
them.
"""

from __future__ import annotations

import functools

import numpy as np

from bannermap.embedding.decoding.resizing import Box

CELLS = 16
"""Of the grid, each way: the patches of a square of 224 pixels. 256 bytes beside a vector of some thousand."""


def emphasis_map(weights: np.ndarray, box: Box) -> np.ndarray:
    """How much each part of a picture weighs in its vector.

    Args:
        weights: float (rows, columns), of the patches that a model saw, at least 0; what is not finite counts as 0.
        box: where they lie in the picture.

    Returns:
        uint8 (`CELLS`, `CELLS`), rows from the top: the mean weight over each cell, with 0 where the model saw nothing, scaled so
        that the largest is 255. All 0 where nothing weighs anything.
    """
    known = np.where(np.isfinite(weights), weights, 0.0).astype(np.float64)
    down, across = _covered(len(known), box.top, box.bottom), _covered(known.shape[1], box.left, box.right)
    cells = down @ known @ across.T
    largest = cells.max()
    return np.rint(cells * (255 / largest)).astype(np.uint8) if largest > 0 else np.zeros((CELLS, CELLS), np.uint8)


@functools.lru_cache(maxsize=4096)
def _covered(patches: int, start: float, end: float) -> np.ndarray:
    """Share of each cell that each patch covers, along one axis; float64 (CELLS, patches). Most pictures have the same box, and
    this is most of the work: a GPU must not wait for it."""
    edges, cells = np.linspace(start, end, patches + 1), np.linspace(0.0, 1.0, CELLS + 1)[:, None]
    return CELLS * (np.minimum(edges[1:], cells[1:]) - np.maximum(edges[:-1], cells[:-1])).clip(min=0.0)
