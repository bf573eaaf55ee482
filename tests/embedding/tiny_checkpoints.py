"""Tiny checkpoints with random weights, one per family, as `save_pretrained` writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers as tf

torch.set_num_threads(1)  # models this small only wait for each other's threads, and tests run beside others
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def _model(kind: str) -> tf.PreTrainedModel:
    vision = {**SMALL, "image_size": 32, "patch_size": 8}
    text = {**SMALL, "vocab_size": 50, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    sizes = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 2}
    stages = {"hidden_sizes": [8, 16], "depths": [1, 1]}
    makers = {
        "vit": lambda: tf.ViTModel(tf.ViTConfig(**vision)),
        "vit-classifier": lambda: tf.ViTForImageClassification(tf.ViTConfig(**vision, num_labels=3)),
        "dinov2": lambda: tf.Dinov2Model(tf.Dinov2Config(**{**vision, "mlp_ratio": 2})),
        "convnext": lambda: tf.ConvNextModel(tf.ConvNextConfig(num_stages=2, image_size=32, **stages)),
        "resnet": lambda: tf.ResNetModel(tf.ResNetConfig(embedding_size=8, layer_type="basic", **stages)),
        "swin": lambda: tf.SwinModel(tf.SwinConfig(image_size=32, patch_size=4, **sizes)),
        "efficientnet": lambda: tf.EfficientNetModel(_efficientnet()),
        "clip": lambda: tf.CLIPModel(tf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)),
        "siglip": lambda: tf.SiglipModel(tf.SiglipConfig(text_config=text, vision_config=vision)),
        "bert": lambda: tf.BertModel(tf.BertConfig(vocab_size=30, **SMALL)),
    }
    return makers[kind]()


def _efficientnet() -> tf.EfficientNetConfig:
    one = {"kernel_sizes": [3], "in_channels": [32], "out_channels": [16], "strides": [1], "expand_ratios": [1]}
    return tf.EfficientNetConfig(
        image_size=32, num_block_repeats=[1], depthwise_padding=[], hidden_dim=128, width_coefficient=0.1, **one
    )


def save(kind: str, folder: Path, seed: int = 0) -> tf.PreTrainedModel:
    """Save a model of a family below the folder, with weights and statistics that differ from their initial ones."""
    torch.manual_seed(seed)
    model = _model(kind).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                spread = 0.1 * torch.rand_like(value)
                value += spread if "running_var" in name else spread - 0.05
    model.save_pretrained(folder)
    return model


def pictures(seed: int, sizes: tuple[tuple[int, int], ...]) -> list[np.ndarray]:
    """Random RGB pictures, (height, width) each, of smooth blotches, so that resizing keeps something of them."""
    rng = np.random.default_rng(seed)
    return [
        np.kron(rng.integers(0, 256, (-(-h // 8), -(-w // 8), 3)), np.ones((8, 8, 1)))[:h, :w].astype(np.uint8) for h, w in sizes
    ]
