"""Tokens of a DINOv2 model to one vector: class token, emphasised mean twice, maximum."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

LEAST_SPREAD = 1e-12
"""Standard deviation below which attention counts as even: a plain picture must not amplify rounding."""


def emphasis_weights(attention: torch.Tensor, emphasis_strength: float) -> torch.Tensor:
    """Weights of patches: softmax of the strength times standardised attention.

    Args:
        attention: float (n, patches), what the class token gives each patch, mean over heads.
        emphasis_strength: 0 gives equal weights; 2 lets a patch two deviations above the mean weigh e^4 times an average one.

    Returns:
        float (n, patches), rows sum to 1.
    """
    centred = attention - attention.mean(dim=1, keepdim=True)
    spread = centred.square().mean(dim=1, keepdim=True).sqrt()
    return torch.softmax(emphasis_strength * centred / spread.clamp_min(LEAST_SPREAD), dim=1)


def pooled(cls: torch.Tensor, patches: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The vector: [class ; weighted mean ; weighted mean ; maximum over patches], each block and then the whole made unit length.

    Args:
        cls: float (n, d), the class token after the last norm.
        patches: float (n, patches, d), patch tokens after the last norm, without registers.
        weights: float (n, patches), of `emphasis_weights`.

    Returns:
        float (n, 4 d), unit rows.
    """
    mean = normalize((weights.to(patches.dtype).unsqueeze(1) @ patches).squeeze(1), dim=1)
    return normalize(torch.cat([normalize(cls, dim=1), mean, mean, normalize(patches.amax(dim=1), dim=1)], dim=1), dim=1)
