"""What training minimises."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy


def info_nce(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    """How badly each vector finds its partner among the 2 n - 1 others (van den Oord et al. 2018, symmetric as Chen et al. 2020).

    Args:
        first: float (n, d), unit rows.
        second: float (n, d), unit rows; row i shows the same thing as row i of ``first``.
        temperature: positive; products are divided by it.

    Returns:
        Scalar, mean cross-entropy in nats; log(2 n - 1) for vectors that tell nothing.
    """
    vectors = torch.cat([first, second])
    products = (vectors @ vectors.T / temperature).masked_fill(torch.eye(len(vectors), dtype=torch.bool), float("-inf"))
    partner = torch.arange(len(vectors)).roll(len(first))
    return cross_entropy(products, partner)
