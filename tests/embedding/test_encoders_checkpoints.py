"""Checkpoints: only safetensors, only whole ones, a digest of what changes a vector; a problem is said before Spark starts."""

from __future__ import annotations

import json
import shutil

import huggingface_hub.constants
import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from tiny_checkpoints import save

from bannermap.embedding.encoders.checkpoints import checkpoint_folder, load_config, load_model, refuse_missing, weights_digest
from bannermap.platform.errors import ConfigError


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vit")
    save("vit", folder)
    return folder


@pytest.fixture
def copy(vit, tmp_path):
    return shutil.copytree(vit, tmp_path / "copy")


def edit(file, **changes):
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**content, **changes}))


def test_a_folder_is_taken_as_it_is(vit):
    assert checkpoint_folder(str(vit)) == vit
    assert load_config(vit).model_type == "vit"
    model, missing = load_model(tf.ViTModel, vit)
    assert not missing and not model.training and next(model.parameters()).dtype == torch.float32


def test_half_precision_files_are_loaded_in_full(copy):
    half = {k: v.half() for k, v in load_file(copy / "model.safetensors").items()}
    save_file(half, copy / "model.safetensors", metadata={"format": "pt"})
    edit(copy / "config.json", dtype="float16")
    assert next(load_model(tf.ViTModel, copy)[0].parameters()).dtype == torch.float32


def test_several_files_are_one_checkpoint(vit, tmp_path):
    tf.ViTModel.from_pretrained(vit).save_pretrained(tmp_path / "split", max_shard_size="5KB")
    assert not (tmp_path / "split/model.safetensors").exists()
    a, b = (load_model(tf.ViTModel, checkpoint_folder(str(f)))[0].state_dict() for f in (vit, tmp_path / "split"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    next((tmp_path / "split").glob("*.safetensors")).unlink()
    with pytest.raises(ConfigError, match="lacks model-0"):
        checkpoint_folder(str(tmp_path / "split"))


@pytest.mark.parametrize("key, value", [("_name_or_path", "x"), ("transformers_version", "9"), ("id2label", {"0": "cat"})])
def test_what_changes_no_vector_changes_no_digest(vit, copy, key, value):
    edit(copy / "config.json", **{key: value})
    assert weights_digest(copy) == weights_digest(vit)


@pytest.mark.parametrize(
    "file, key, value", [("config.json", "layer_norm_eps", 0.1), ("preprocessor_config.json", "image_mean", [0, 0, 0])]
)
def test_what_changes_a_vector_changes_the_digest(vit, copy, file, key, value):
    edit(copy / file, **{key: value})
    assert weights_digest(copy) != weights_digest(vit)


def test_a_weight_changes_the_digest(vit, copy):
    weights = load_file(copy / "model.safetensors")
    weights["layernorm.bias"][0] += 1e-3
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert weights_digest(copy) != weights_digest(vit)


def test_a_pickle_is_never_read(copy):
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin is a pickle.*save_pretrained"):
        checkpoint_folder(str(copy))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(copy, file):
    (copy / file).unlink()
    with pytest.raises(ConfigError, match=f"lacks {file}"):
        checkpoint_folder(str(copy))


def test_no_folder_and_no_hub_name(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        checkpoint_folder(str(tmp_path / "absent"))


@pytest.mark.parametrize("text", ["[]", "{", '{"model_type": "nobody-knows-this"}', '{"auto_map": {"AutoModel": "evil.Model"}}'])
def test_a_configuration_that_is_none(copy, text):
    (copy / "config.json").write_text(text)
    with pytest.raises(ConfigError):
        load_config(copy)


def test_cut_weights(copy):
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_model(tf.ViTModel, copy)


def test_weights_of_other_shapes(copy):
    edit(copy / "config.json", hidden_size=32)
    with pytest.raises(ConfigError, match=r"cannot be loaded|other shapes"):
        load_model(tf.ViTModel, copy)


def test_weights_that_would_be_random(copy):
    edit(copy / "config.json", num_hidden_layers=3)
    _, missing = load_model(tf.ViTModel, copy)
    with pytest.raises(ConfigError, match="would be random"):
        refuse_missing(copy, missing)


def test_a_hub_name_is_found_in_the_cache_and_nothing_else_is_asked(vit, tmp_path, monkeypatch):
    home = tmp_path / "models--some--model"
    shutil.copytree(vit, home / "snapshots" / ("0" * 40))
    (home / "refs").mkdir()
    (home / "refs/main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    found = checkpoint_folder("some/model")
    assert found == home / "snapshots" / ("0" * 40) and weights_digest(found) == weights_digest(vit)
    assert checkpoint_folder(f"some/model@{'0' * 40}") == found
    with pytest.raises(ConfigError, match="not in the local cache"):
        checkpoint_folder("some/other")
