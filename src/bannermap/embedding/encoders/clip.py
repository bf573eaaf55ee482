"""The image tower of CLIP or SigLIP: the vector that is compared with texts, after the projection where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bannermap.embedding.encoders.backbone import Backbone, Family, Features, Statistics
from bannermap.platform.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

    from bannermap.platform.settings import EncoderSettings

TOWERS = {
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
}
CLIP_STATISTICS: Statistics = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SIGLIP_STATISTICS: Statistics = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and deviation of the two families, which all of their checkpoints share."""


def clip_encoder(settings: EncoderSettings) -> Backbone:
    """The encoder that ``encoder.name: clip`` asks for."""
    return Backbone(settings, CLIP)


def _model_class(config: PretrainedConfig) -> Any:
    import transformers

    if config.model_type not in TOWERS:
        raise ConfigError(
            f"encoder.name is clip and the checkpoint is a {config.model_type}; known are CLIP and SigLIP, whole or their image "
            "tower alone. For another image model set encoder.name to hf."
        )
    return getattr(transformers, TOWERS[config.model_type])


def _vision(config: PretrainedConfig) -> PretrainedConfig:
    tower = getattr(config, "vision_config", config)
    if hasattr(config, "projection_dim"):  # that of the whole counts; the tower alone may say another, or none
        tower.projection_dim = config.projection_dim
    return tower


def _features(model: Any, values: torch.Tensor, missing: frozenset[str], arguments: dict[str, Any]) -> Features:
    output = model(pixel_values=values, **arguments)
    projected = getattr(output, "image_embeds", None)
    return Features(output.pooler_output if projected is None else projected)


def _statistics(config: PretrainedConfig) -> Statistics:
    return SIGLIP_STATISTICS if config.model_type.startswith("siglip") else CLIP_STATISTICS


CLIP = Family("clip", _model_class, _vision, _features, _statistics)
