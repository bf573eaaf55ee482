"""The network that is trained: a small DINOv2, and a forward pass that may leave patches out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import Dinov2Config, Dinov2Model

from bannermap.embedding.encoders.attention import keep_class_row
from bannermap.embedding.encoders.backbone import IMAGENET
from bannermap.embedding.encoders.checkpoints import checkpoint_folder, load_model, refuse_missing
from bannermap.embedding.encoders.pooling import emphasis_weights, pooled
from bannermap.platform.errors import ConfigError
from bannermap.platform.settings.training import PATCH_PX


def make_network(hidden_size: int, layers: int, heads: int, side_px: int, seed: int) -> Dinov2Model:
    """A network with random weights, and positions that start as 2-D sines and cosines.

    Args:
        hidden_size: width of a token, a multiple of 4 and of ``heads``.
        layers: blocks.
        heads: of attention.
        side_px: of the square picture, a multiple of 14.
        seed: of the weights.
    """
    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=side_px,
        patch_size=PATCH_PX,
        layerscale_value=1.0,
        use_mask_token=False,
    )
    network = Dinov2Model(config)
    with torch.no_grad():
        network.embeddings.position_embeddings[0, 1:] = sine_positions(side_px // PATCH_PX, hidden_size)
    return network


def loaded(folder: Path, hidden_size: int, layers: int, heads: int, side_px: int) -> Dinov2Model:
    """A network with the weights of a checkpoint, its positions stretched where pictures get another size.

    Args:
        folder: see `checkpoint_folder`.
        hidden_size: that it has to have, as ``layers`` and ``heads``.
        layers: see above.
        heads: see above.
        side_px: of the square picture, a multiple of 14.

    Raises:
        ConfigError: no checkpoint, or one of another shape.
    """
    model: Any
    model, missing = load_model(Dinov2Model, checkpoint_folder(str(folder)))
    refuse_missing(folder, missing)
    config = model.config
    found, wanted = (config.hidden_size, config.num_hidden_layers, config.num_attention_heads), (hidden_size, layers, heads)
    if found != wanted:
        raise ConfigError(f"{folder} has hidden_size, layers and heads {found}, training asks for {wanted}. Make them equal.")
    table = model.embeddings
    positions = table.interpolate_pos_encoding(torch.zeros(1, 1 + (side_px // PATCH_PX) ** 2, hidden_size), side_px, side_px)
    table.position_embeddings = torch.nn.Parameter(positions.detach().clone())
    config.image_size = side_px
    return model.train().requires_grad_(True)


def sine_positions(cells: int, width: int) -> torch.Tensor:
    """Sines and cosines of rows and columns (He et al. 2022, appendix); float32 (cells^2, width), rows first."""
    frequencies = 10000.0 ** -(torch.arange(width // 4) / (width // 4))
    angles = torch.arange(cells).float()[:, None] * frequencies
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = waves.repeat_interleave(cells, 0), waves.repeat(cells, 1)
    return 0.1 * torch.cat([rows, columns], dim=1)


def as_input(images: torch.Tensor) -> torch.Tensor:
    """uint8 (n, height, width, 3) to float32 (n, 3, height, width), standardised."""
    mean, spread = torch.tensor(IMAGENET[0]), torch.tensor(IMAGENET[1])
    return ((images.float() / 255.0 - mean) / spread).permute(0, 3, 1, 2)


class PooledNetwork(torch.nn.Module):
    """Pictures to vectors, with only some of the patches while that pays.

    Args:
        network: of `make_network`.
        emphasis_strength: of the pooling, see `pooled`.
    """

    def __init__(self, network: Dinov2Model, emphasis_strength: float) -> None:
        super().__init__()
        self.network = network
        self.emphasis_strength = emphasis_strength
        self.row_keeper = keep_class_row(network)

    def forward(self, images: torch.Tensor, kept_share: float) -> torch.Tensor:
        """Unit vectors; float (n, 4 hidden_size).

        Args:
            images: uint8 (n, side, side, 3).
            kept_share: of the patches of each picture, drawn anew for each.
        """
        tokens = _some(self.network.embeddings(as_input(images)), kept_share)
        for layer in self.network.encoder.layer:
            tokens = layer(tokens)
        tokens = self.network.layernorm(tokens).float()
        row = self.row_keeper.class_row
        return pooled(tokens[:, 0], tokens[:, 1:], emphasis_weights(row[:, 1:], self.emphasis_strength))


def _some(tokens: torch.Tensor, kept_share: float) -> torch.Tensor:
    """The class token and a random part of the patches of each picture."""
    count = tokens.shape[1] - 1
    kept = max(1, round(kept_share * count))
    if kept == count:
        return tokens
    chosen = torch.rand(len(tokens), count).argsort(dim=1)[:, :kept, None].expand(-1, -1, tokens.shape[2])
    return torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, chosen)], dim=1)
