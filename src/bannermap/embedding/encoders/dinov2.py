"""DINOv2, with or without registers: the whole banner to the class token, the emphasised mean and the maximum of its patches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bannermap.embedding.encoders.backbone import IMAGENET, Backbone, Family, Features
from bannermap.embedding.encoders.checkpoints import checkpoint_folder, load_config
from bannermap.platform.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

    from bannermap.platform.settings import EncoderSettings

TINY = Path(__file__).parents[1] / "bannermap_tiny"
"""The checkpoint that comes with the package."""
CLASSES = {"dinov2": "Dinov2Model", "dinov2_with_registers": "Dinov2WithRegistersModel"}
"""Model types of transformers, and the class that reads each."""
MAY_LACK = ("embeddings.mask_token",)
"""Only training masks patches."""
USUAL_SIDE_PX, LAST_PHASE_SIDE_PX = 224, 518
"""Checkpoints of DINOv2 name the side of their last training phase; most of it ran on the usual one, a fifth of the work."""


class Dinov2Encoder(Backbone):
    """See the module."""

    def __init__(self, settings: EncoderSettings) -> None:
        """Read the checkpoint's configuration.

        Raises:
            ConfigError: no such checkpoint, of another model, or a resolution that its patches do not divide.
        """
        weights = settings.weights or str(TINY)
        config: Any = load_config(checkpoint_folder(weights))
        _check_kind(config, weights)
        usual = USUAL_SIDE_PX if config.image_size == LAST_PHASE_SIDE_PX else config.image_size
        side = settings.resolution_px or usual
        _check_side(side, config.patch_size)
        self._strength = settings.emphasis_strength
        self._skipped = 1 + getattr(config, "num_register_tokens", 0)
        family = Family("dinov2", _model_class, lambda whole: whole, self._features, lambda _: IMAGENET, MAY_LACK)
        super().__init__(settings.model_copy(update={"weights": weights, "resolution_px": side}), family)

    @property
    def encoder_id(self) -> str:
        """Names what changes a vector, the pooling too."""
        return f"{super().encoder_id}-cls.mean.mean.max-e{self._strength:g}"

    def _load_checked(self) -> tuple[Any, frozenset[str]]:
        from bannermap.embedding.encoders.attention import keep_class_row

        model, missing = super()._load_checked()
        self._row_keeper = keep_class_row(model)
        return model, missing

    def _features(self, model: Any, values: torch.Tensor, missing: frozenset[str], arguments: dict[str, Any]) -> Features:
        from bannermap.embedding.encoders.pooling import emphasis_weights, pooled

        tokens = model(pixel_values=values, **arguments).last_hidden_state.float()
        weights = emphasis_weights(self._row_keeper.class_row[:, self._skipped :], self._strength)
        vectors = pooled(tokens[:, 0], tokens[:, self._skipped :], weights)
        if not self._strength:
            return Features(vectors)
        grid = (-1, values.shape[2] // self._cell, values.shape[3] // self._cell)
        return Features(vectors, weights.reshape(grid))


def _model_class(config: PretrainedConfig) -> Any:
    import transformers

    return getattr(transformers, CLASSES[config.model_type])


def _check_kind(config: PretrainedConfig, weights: str) -> None:
    if config.model_type not in CLASSES:
        raise ConfigError(
            f"encoder.name is dinov2 and {weights} holds a {config.model_type}. Take encoder.name: hf for other backbones, "
            "or clip for CLIP and SigLIP."
        )


def _check_side(side_px: int, patch_px: int) -> None:
    if side_px % patch_px:
        raise ConfigError(
            f"encoder.resolution_px is {side_px} and a patch of this checkpoint has {patch_px} pixels: "
            f"take {max(patch_px, side_px // patch_px * patch_px)}."
        )
