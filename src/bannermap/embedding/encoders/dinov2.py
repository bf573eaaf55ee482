"""DINOv2, with or without registers: the whole banner to the class token, the emphasised mean and the maximum of its patches."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bannermap.embedding.decoding.borders import trimmed
from bannermap.embedding.decoding.resizing import ResizeMode, fitted
from bannermap.embedding.encoders.checkpoints import (
    checkpoint_folder,
    input_settings,
    load_config,
    load_model,
    refuse_missing,
    weights_digest,
)
from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import EncoderSettings

if TYPE_CHECKING:
    import torch

TINY = Path(__file__).parents[1] / "bannermap_tiny"
"""The checkpoint that comes with the package."""
CLASSES = {"dinov2": "Dinov2Model", "dinov2_with_registers": "Dinov2WithRegistersModel"}
"""Model types of transformers, and the class that reads each."""
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colour channels of natural photos (ImageNet), where the checkpoint does not say otherwise."""
DEFAULT_MODE: ResizeMode = "resize"
USUAL_RESOLUTION_PX = 224
"""Checkpoints of DINOv2 name the 518 pixels of their last training phase; most of it ran on 224, which is a fifth of the work."""


@dataclass(frozen=True)
class Dinov2Encoder:
    """See the module.

    Attributes:
        folder: of the checkpoint.
        resize_mode: see `fitted`.
        resolution_px: side of the square, a multiple of the patch, and the token budget of a grid.
        patch_px: of the checkpoint.
        trim_borders: cut uniform borders first.
        emphasis_strength: see `pooling.pooled`.
        precision: ``fp32`` or ``bf16``.
        device: of torch.
        max_batch_tokens: patches of one forward pass.
    """

    folder: Path
    resize_mode: ResizeMode
    resolution_px: int
    patch_px: int
    trim_borders: bool
    emphasis_strength: float
    precision: str
    device: str = field(compare=False)
    max_batch_tokens: int = field(compare=False)

    @functools.cached_property
    def encoder_id(self) -> str:
        """Names what changes a vector; the device and the batch do not, beyond rounding."""
        seen = f"{self.resize_mode}{self.resolution_px}-{'trim' if self.trim_borders else 'whole'}"
        return f"dinov2-{weights_digest(self.folder)[:12]}-cls.mean.mean.max-e{self.emphasis_strength:g}-{seen}-{self.precision}"

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        """The banner without borders in the size that the model takes; uint8 (height, width, 3), multiples of the patch."""
        return fitted(trimmed(pixels) if self.trim_borders else pixels, self.resize_mode, self.resolution_px, self.patch_px)

    def encode(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Vectors of prepared banners; float32 (n, 4 d), unit rows."""
        return self._model.vectors(inputs)

    @functools.cached_property
    def _model(self) -> _Model:
        return _Model(self)


def make_dinov2(settings: EncoderSettings, device: str) -> Dinov2Encoder:
    """The encoder of the settings.

    Args:
        settings: ``precision`` is fp32 or bf16 by now.
        device: of torch.

    Raises:
        ConfigError: no such checkpoint, of another model, or a resolution that its patches do not divide.
    """
    folder = checkpoint_folder(settings.weights) if settings.weights else TINY
    config: Any = load_config(folder)
    if config.model_type not in CLASSES:
        raise ConfigError(
            f"encoder.name is dinov2 and {folder} holds a {config.model_type}. Take encoder.name: hf for other backbones, "
            "or clip for CLIP and SigLIP."
        )
    resolution = settings.resolution_px or (config.image_size if folder == TINY else USUAL_RESOLUTION_PX)
    if resolution % config.patch_size:
        raise ConfigError(
            f"encoder.resolution_px is {resolution} and a patch of this checkpoint has {config.patch_size} pixels: "
            f"take {resolution // config.patch_size * config.patch_size or config.patch_size}."
        )
    return Dinov2Encoder(
        folder=folder,
        resize_mode=settings.resize_mode or DEFAULT_MODE,
        resolution_px=resolution,
        patch_px=config.patch_size,
        trim_borders=settings.trim_borders,
        emphasis_strength=settings.emphasis_strength,
        precision=settings.precision,
        device=device,
        max_batch_tokens=settings.max_batch_tokens,
    )


class _Model:
    """The loaded network on its device; made where it is first used, inside a task."""

    def __init__(self, encoder: Dinov2Encoder) -> None:
        import torch
        import transformers

        from bannermap.embedding.encoders.attention import keep_class_row
        from bannermap.embedding.encoders.devices import TokenBatches, limit_threads

        limit_threads()
        config: Any = load_config(encoder.folder)
        network: Any
        network, missing = load_model(getattr(transformers, CLASSES[config.model_type]), encoder.folder)
        refuse_missing(encoder.folder, (name for name in missing if "mask_token" not in name))
        dtype = torch.bfloat16 if encoder.precision == "bf16" else torch.float32
        self.network = network.to(device=encoder.device, dtype=dtype)
        self.row_keeper = keep_class_row(self.network)
        self.skipped = 1 + getattr(config, "num_register_tokens", 0)
        self.encoder = encoder
        given = input_settings(encoder.folder)
        self.mean, self.spread = (
            torch.tensor(given.get(key, usual), device=encoder.device) * 255.0
            for key, usual in (("image_mean", MEAN), ("image_std", SPREAD))
        )
        self.batches = TokenBatches(encoder.max_batch_tokens)

    def vectors(self, inputs: list[np.ndarray]) -> np.ndarray:
        """float32 (n, 4 d), unit rows, in the order of the inputs."""
        return self.batches.forward(inputs, self._tokens_of, self._forward)

    def _tokens_of(self, shape: tuple[int, ...]) -> int:
        patch = self.encoder.patch_px
        return (shape[0] // patch) * (shape[1] // patch) + self.skipped

    def _forward(self, images: np.ndarray) -> np.ndarray:
        """One batch of pictures of one shape, uint8 (n, height, width, 3)."""
        import torch

        from bannermap.embedding.encoders.pooling import pooled

        with torch.inference_mode():
            tokens, row = self.tokens(torch.from_numpy(images).to(self.encoder.device))
            vectors = pooled(tokens[:, 0], tokens[:, self.skipped :], row[:, self.skipped :], self.encoder.emphasis_strength)
        return vectors.cpu().numpy()

    def tokens(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens after the last norm, float32 (n, tokens, d), and the class token's attention, float32 (n, tokens)."""
        pixels = ((images.float() - self.mean) / self.spread).permute(0, 3, 1, 2)
        output = self.network(pixel_values=pixels.to(self.network.dtype))
        return output.last_hidden_state.float(), self.row_keeper.class_row
