"""Encoders on models of transformers, each against a direct call of transformers' own model and preprocessor."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers as tf
from tiny_checkpoints import pictures, save

from bannermap.embedding.decoding.borders import trimmed
from bannermap.embedding.decoding.resizing import fitted
from bannermap.embedding.encoders import backbone
from bannermap.embedding.encoders.backbone import value_line
from bannermap.embedding.encoders.interface import encode_pictures, make_encoder
from bannermap.platform.errors import ConfigError

SIZES = ((40, 64), (9, 72), (90, 12), (33, 33), (1, 1))
PROCESSORS = {
    "vit": tf.ViTImageProcessorPil,
    "vit-classifier": tf.ViTImageProcessorPil,
    "dinov2": tf.BitImageProcessorPil,
    "convnext": tf.ConvNextImageProcessorPil,
    "resnet": tf.ConvNextImageProcessorPil,
    "swin": tf.ViTImageProcessorPil,
    "efficientnet": tf.EfficientNetImageProcessorPil,
    "clip": tf.CLIPImageProcessorPil,
    "siglip": tf.SiglipImageProcessorPil,
}
HF = ("vit", "vit-classifier", "dinov2", "convnext", "resnet", "swin", "efficientnet")
CLIP = ("clip", "siglip")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Family -> folder, with a preprocessor whose statistics are those of no default."""
    home = tmp_path_factory.mktemp("checkpoints")
    for number, kind in enumerate((*HF, *CLIP, "bert")):
        save(kind, home / kind, seed=number)
        if kind in PROCESSORS:
            own = {"image_mean": [0.1 + number / 50, 0.4, 0.5], "image_std": [0.3, 0.2 + number / 50, 0.4]}
            size = {"size": {"shortest_edge": 40}} if kind == "resnet" else {}  # its configuration has none
            PROCESSORS[kind](**own, **size).save_pretrained(home / kind)
    return {kind: home / kind for kind in (*HF, *CLIP, "bert")}


@pytest.fixture
def make(base_settings, checkpoints):
    def made(kind: str, **changes):
        name = "clip" if kind in CLIP else "hf"
        return make_encoder(base_settings.encoder.model_copy(update={"name": name, "weights": str(checkpoints[kind]), **changes}))

    return made


def values(kind: str, folder, squares) -> torch.Tensor:
    """What transformers makes of prepared pixels."""
    processor = PROCESSORS[kind].from_pretrained(folder)
    return processor(squares, do_resize=False, do_center_crop=False, return_tensors="pt")["pixel_values"]


def pooled(kind: str, folder, pixel_values: torch.Tensor, **arguments) -> torch.Tensor:
    """The rule of the encoder in words of each family."""
    with torch.no_grad():
        if kind == "clip":
            return tf.CLIPModel.from_pretrained(folder).get_image_features(pixel_values, **arguments).pooler_output
        if kind == "siglip":
            return tf.SiglipModel.from_pretrained(folder).get_image_features(pixel_values, **arguments).pooler_output
        if kind == "vit-classifier":
            model = tf.ViTForImageClassification.from_pretrained(folder).vit
            return model(pixel_values, **arguments).last_hidden_state.mean(dim=1)
        return tf.AutoModel.from_pretrained(folder)(pixel_values, **arguments).pooler_output.flatten(1)


def unit(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors.double(), dim=1).numpy()


@pytest.mark.parametrize("number, kind", list(enumerate([*HF, *CLIP])))
def test_vectors_are_those_of_transformers(number, kind, make, checkpoints):
    shown, mode = pictures(1, SIZES), ("resize", "letterbox", "center_crop")[number % 3]
    vectors = encode_pictures(make(kind, resize_mode=mode), shown)
    squares = [fitted(trimmed(p), mode, 40 if kind == "resnet" else 32, 32) for p in shown]
    expected = unit(pooled(kind, checkpoints[kind], values(kind, checkpoints[kind], squares)))
    assert vectors.dtype == np.float32 and vectors == pytest.approx(expected, abs=2e-6)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("kind, patch", [("vit", 8), ("dinov2", 8), ("clip", 8), ("siglip", 8), ("convnext", 32), ("swin", 32)])
def test_grids_of_other_sizes(kind, patch, make, checkpoints):
    strip = pictures(2, ((20, 200),))
    vector = encode_pictures(make(kind, resize_mode="grid", resolution_px=64), strip)
    shown = fitted(trimmed(strip[0]), "grid", 64, patch)
    stretched = {} if kind in ("dinov2", "convnext") else {"interpolate_pos_encoding": True}
    expected = pooled(kind, checkpoints[kind], values(kind, checkpoints[kind], [shown]), **stretched)
    assert shown.shape[1] > shown.shape[0] and vector == pytest.approx(unit(expected), abs=2e-6)


@pytest.mark.parametrize("kind", ["vit", "efficientnet", "clip"])
def test_a_vector_does_not_depend_on_its_batch(kind, make):
    encoder, shown = make(kind, resize_mode="grid", resolution_px=48, max_batch_tokens=80), pictures(3, SIZES * 2)
    together = encode_pictures(encoder, shown)
    alone = np.concatenate([encode_pictures(encoder, [p]) for p in shown])
    assert together == pytest.approx(alone, abs=1e-6)


def test_without_a_preprocessor_families_have_their_usual_statistics(base_settings, tmp_path):
    wanted = {"vit": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), "siglip": ([0.5] * 3, [0.5] * 3)}
    wanted["clip"] = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    (picture,) = pictures(4, ((32, 32),))
    for kind, (mean, std) in wanted.items():
        save(kind, tmp_path / kind)
        own = {"name": "hf" if kind == "vit" else "clip", "weights": str(tmp_path / kind), "trim_borders": False}
        vector = encode_pictures(make_encoder(base_settings.encoder.model_copy(update=own)), [picture])
        seen = (picture / 255.0 - mean) / std
        expected = pooled(kind, tmp_path / kind, torch.tensor(seen, dtype=torch.float32).permute(2, 0, 1)[None])
        assert vector == pytest.approx(unit(expected), abs=2e-6)


def test_a_model_is_loaded_once_and_moves_to_the_device_of_the_next_task(make, monkeypatch):
    encoder, loads, places = make("vit"), [], iter(("cpu", "meta", "meta"))
    monkeypatch.setattr(backbone, "load_model", lambda *given, load=backbone.load_model: loads.append(given) or load(*given))
    monkeypatch.setattr(backbone, "task_device", lambda: next(places))
    found = [next(encoder._ready()[1].parameters()).device.type for _ in range(3)]
    assert (found, len(loads)) == (["cpu", "meta", "meta"], 1)


@pytest.mark.parametrize("given, pixel, seen", [
    ({}, 255, (1 - 0.25) / 0.5),
    ({"do_normalize": False}, 255, 1.0),
    ({"do_rescale": False, "do_normalize": False}, 7, 7.0),
    ({"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}, 0, -1.0),
    ({"image_mean": 0.0, "image_std": [0.2, 0.2, 0.2], "include_top": True}, 51, 0.2 / 0.2 / 0.2),
])  # fmt: skip
def test_values_of_pixels(given, pixel, seen):
    scale, shift = value_line(given, ((0.25,) * 3, (0.5,) * 3))
    assert pixel * scale + shift == pytest.approx([seen] * 3)


def test_every_setting_that_changes_a_vector_changes_the_id(make):
    changes = [{}, {"trim_borders": False}, {"resize_mode": "letterbox"}, {"resolution_px": 64}, {"precision": "bf16"}]
    ids = [make("vit", **c).encoder_id for c in changes] + [make("dinov2").encoder_id, make("clip").encoder_id]
    assert len(set(ids)) == len(ids)
    assert make("vit", batch_images=3, max_batch_tokens=99).encoder_id == ids[0]


def test_bf16_is_near_fp32(make):
    shown = pictures(5, SIZES)
    full, half = (encode_pictures(make("vit", precision=p), shown) for p in ("fp32", "bf16"))
    assert (full * half).sum(axis=1).min() > 0.99 and not np.array_equal(full, half)


@pytest.mark.parametrize("changes, words", [
    ({"name": "hf", "weights": None}, "names no checkpoint"),
    ({"name": "hf", "weights": "bert"}, "takes no image"),
    ({"name": "hf", "weights": "clip"}, "encoder.name to clip"),
    ({"name": "clip", "weights": "vit"}, "encoder.name to hf"),
    ({"name": "hf", "weights": "convnext", "resolution_px": 20}, "less than one patch"),
])  # fmt: skip
def test_what_cannot_be_right_is_said_at_once(base_settings, checkpoints, changes, words):
    if changes["weights"]:
        changes = {**changes, "weights": str(checkpoints[changes["weights"]])}
    with pytest.raises(ConfigError, match=words):
        make_encoder(base_settings.encoder.model_copy(update=changes))


def test_weights_are_checked_before_they_are_needed(base_settings, checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["vit"], tmp_path / "deeper")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ConfigError, match="would be random"):
        make_encoder(base_settings.encoder.model_copy(update={"name": "hf", "weights": str(folder)})).check()
