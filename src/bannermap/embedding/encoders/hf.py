"""Any image model of transformers, by folder or hub name.

The vector is the model's ``pooler_output`` where it has one, else the mean of its last hidden state over tokens or places. A
pooler whose weights the checkpoint lacks, as those of classifiers do, would be random: then it is the mean, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bannermap.embedding.encoders.backbone import IMAGENET, Backbone, Family, Features
from bannermap.platform.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

    from bannermap.platform.settings import EncoderSettings

POOLER = "pooler."


def hf_encoder(settings: EncoderSettings) -> Backbone:
    """The encoder that ``encoder.name: hf`` asks for."""
    return Backbone(settings, HF)


def _model_class(config: PretrainedConfig) -> Any:
    from transformers import MODEL_MAPPING, AutoModel

    found = MODEL_MAPPING.get(type(config), None)
    known = found if isinstance(found, tuple) else (found,)
    if not any(getattr(c, "main_input_name", None) == "pixel_values" for c in known):
        raise ConfigError(
            f"encoder.name is hf and the checkpoint is a {config.model_type}, which takes no image alone. "
            "Take an image model such as ViT, DINOv2, ConvNeXt, ResNet, Swin or EfficientNet; for CLIP and SigLIP set "
            "encoder.name to clip."
        )
    return AutoModel


def _features(model: Any, values: torch.Tensor, missing: frozenset[str], arguments: dict[str, Any]) -> Features:
    output = model(pixel_values=values, **arguments)
    pooled = getattr(output, "pooler_output", None)
    if pooled is not None and not any(name.startswith(POOLER) for name in missing):
        return Features(pooled.flatten(1))
    last = output.last_hidden_state.float()
    return Features(last.mean(dim=(2, 3)) if last.ndim == 4 else last.mean(dim=1))


HF = Family("hf", _model_class, lambda config: config, _features, lambda config: IMAGENET, may_lack=(POOLER,))
