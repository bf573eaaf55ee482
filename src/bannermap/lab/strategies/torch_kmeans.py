"""k-means by cosine on one device of torch, for mode `gpu`: products of vectors with centres are what a GPU is good at."""

from __future__ import annotations

from typing import Any

import numpy as np

from bannermap.lab.rules import NearestCentre
from bannermap.lab.separation import unit_rows
from bannermap.lab.strategies.interface import Fitted

ROUNDS = 30
ROWS_PER_BLOCK = 1 << 16


def fit_on_device(vectors: np.ndarray, clusters: int, seed: int, device: str) -> Fitted:
    """Spherical k-means (Dhillon and Modha 2001), started by k-means++ (Arthur and Vassilvitskii 2007); labels by the rule.

    A centre that loses all rows stays where it was. Sums of rows are taken in double precision, so that their order shows in no
    bit that matters.

    Args:
        vectors: float32 (n, d), unit rows.
        clusters: at most n.
        seed: of the first centres.
        device: of torch, cuda or cpu.
    """
    import torch

    points = torch.from_numpy(np.ascontiguousarray(vectors, np.float32)).to(device)
    centres = points[_first_rows(points, clusters, seed)].double()
    nearest = None
    for _ in range(ROUNDS):
        moved = torch.cat([(block @ centres.float().T).argmax(dim=1) for block in points.split(ROWS_PER_BLOCK)])
        if nearest is not None and bool((moved == nearest).all()):
            break
        nearest = moved
        sums = torch.zeros_like(centres).index_add_(0, nearest, points.double())
        lengths = sums.norm(dim=1, keepdim=True)
        centres = torch.where(lengths > 0, sums / lengths.clamp_min(1e-300), centres)
    rule = NearestCentre(unit_rows(centres.cpu().numpy()).astype(np.float32))
    return Fitted(rule.predict(vectors), rule)


def _first_rows(points: Any, clusters: int, seed: int) -> list[int]:
    """Rows of the first centres, each drawn by its distance to those before."""
    import torch

    rng = np.random.default_rng(seed)
    rows = [int(rng.integers(len(points)))]
    far = torch.full((len(points),), torch.inf, device=points.device)
    while len(rows) < clusters:
        far = torch.minimum(far, (1.0 - points @ points[rows[-1]]).clamp_min(0.0))
        share = far.double().cumsum(0)
        rows.append(int(torch.searchsorted(share, float(rng.random()) * float(share[-1])).clamp_max(len(points) - 1)))
    return rows
