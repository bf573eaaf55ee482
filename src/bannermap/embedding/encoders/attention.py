"""The last layer's attention of the class token, without the full map of attention.

Fused attention gives no weights, and eager attention in every layer would hold (heads x tokens x tokens) floats per picture.
Pooling needs one row of one layer: it is computed beside the fused attention, from the same queries and keys.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "sdpa_and_class_row"


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Fused attention; in a module that `keep_class_row` marked, the class token's row is left in ``module.class_row``.

    Args:
        module: the layer's attention.
        query: (n, heads, tokens, width of a head).
        key: as ``query``.
        value: as ``query``.
        attention_mask: as fused attention takes it.
        scaling: factor of the products; the inverse root of a head's width without.
        options: passed on.

    Returns:
        What fused attention gives, and no weights.
    """
    if getattr(module, "keeps_class_row", False):
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        # Not a matrix product: with one row, its last bits depend on where in the batch a picture stands.
        products = (query[:, :, :1].float() * key.float()).sum(dim=-1) * scale
        module.class_row = products.softmax(dim=-1).mean(dim=1)
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)


def keep_class_row(model: Any) -> Any:
    """Have a DINOv2 model keep the class token's row of its last layer.

    Args:
        model: of the class Dinov2Model or Dinov2WithRegistersModel.

    Returns:
        The module whose ``class_row`` is float32 (n, tokens), mean over heads, after each forward pass.
    """
    AttentionInterface.register(NAME, attend)
    model.set_attn_implementation(NAME)
    last = model.encoder.layer[-1].attention
    inner = getattr(last, "attention", last)  # transformers 4 wraps it once more
    inner.keeps_class_row = True
    return inner
