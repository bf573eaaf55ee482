"""Checkpoints of transformers: a folder or a hub name to configuration, weights and a digest of both.

Only safetensors are read: a pickle runs whatever its author put in. Nothing of a checkpoint is ever run as code, and nothing is
downloaded unless the configuration names a hub checkpoint that is not in the local cache yet.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bannermap.platform.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
DOWNLOADED = [CONFIG, PREPROCESSOR, INDEX, "model*.safetensors"]
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?")
BOOKKEEPING = frozenset(
    {
        *("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "auto_map"),
        *("id2label", "label2id", "problem_type", "_attn_implementation", "attn_implementation"),
        *("output_attentions", "output_hidden_states", "return_dict", "use_cache"),
    }
)
"""Keys of a configuration that change no vector."""
SEEN_KEYS = ("do_rescale", "rescale_factor", "rescale_offset", "do_normalize", "image_mean", "image_std", "include_top")
"""Keys of a preprocessor's configuration that change what a model sees of prepared pixels."""


def checkpoint_folder(weights: str) -> Path:
    """Where a checkpoint lies, complete; a hub checkpoint is looked for in the local cache before it is downloaded.

    Args:
        weights: a folder, or a hub name ``owner/name``, with ``@revision`` if not the newest.

    Raises:
        ConfigError: it is neither, or lacks a file that is needed.
    """
    folder = Path(weights).expanduser()
    if folder.is_dir():
        _check_complete(folder)
        return folder.resolve()
    if not HUB_NAME.fullmatch(weights):
        raise ConfigError(
            f"encoder.weights is {weights!r} and there is no such folder. Give the folder that holds {CONFIG} and {WEIGHTS}, "
            "or a hub name of the form owner/name."
        )
    found = _hub_folder(weights)
    _check_complete(found)
    return found


@functools.cache
def weights_digest(folder: Path) -> str:
    """A digest of all in a checkpoint that changes a vector: weights, shape of the model, normalisation of its input.

    Args:
        folder: see `checkpoint_folder`. Its files must not change while a process works with them.

    Returns:
        Sha256, hexadecimal. How weights are spread over files counts, their names and times don't.
    """
    digest = hashlib.sha256()
    for file in weight_files(folder):
        digest.update(_file_digest(file))
    for relevant in (_relevant_config(read_json(folder / CONFIG)), input_settings(folder)):
        digest.update(json.dumps(relevant, sort_keys=True).encode())
    return digest.hexdigest()


def load_config(folder: Path) -> PretrainedConfig:
    """The configuration of a checkpoint with the defaults of its model class filled in.

    Raises:
        ConfigError: this transformers doesn't know the model class, or the file can't be read.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(
            f"{folder / CONFIG} is no configuration that the installed transformers knows ({_first_line(error)}). "
            "Models that bring code of their own are never run; take one that transformers has."
        ) from None


def load_model(model_class: Any, folder: Path, config: PretrainedConfig | None = None) -> tuple[PreTrainedModel, frozenset[str]]:
    """The model in fp32 on the CPU, ready for inference, and the names of weights that the checkpoint lacks.

    Args:
        model_class: of transformers, with ``from_pretrained``.
        folder: see `checkpoint_folder`.
        config: in place of the checkpoint's.

    Raises:
        ConfigError: the weights can't be read, or don't fit the model class.
    """
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()  # what it would tell of, weights that are absent or not needed, is judged here
    logging.disable_progress_bar()
    try:
        model, info = model_class.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # of many libraries, each with errors of its own
        raise ConfigError(
            f"The weights in {folder} cannot be loaded ({type(error).__name__}: {_first_line(error)}). "
            "Save the model anew with save_pretrained, or fetch the folder again."
        ) from None
    if info.get("mismatched_keys"):
        raise ConfigError(f"Weights in {folder} have other shapes than its {CONFIG} says. Take both from one checkpoint.")
    return model.eval().requires_grad_(False), frozenset(info["missing_keys"])


def refuse_missing(folder: Path, missing: Iterable[str]) -> None:
    """Refuse a model part of which would stay random.

    Raises:
        ConfigError: some weights are missing.
    """
    names = sorted(missing)
    if names:
        raise ConfigError(
            f"The checkpoint in {folder} lacks {len(names)} weights of its model, the first {names[0]}: they would be random. "
            "Is it the folder of another model, or of an adapter alone? Give the whole model."
        )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint in a fixed order: one, or those that its index names."""
    index = folder / INDEX
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return [folder / WEIGHTS]
    names = set(read_json(index).get("weight_map", {}).values())
    return [folder / Path(str(name)).name for name in sorted(names)]  # a name alone: an index leads nowhere else


def input_settings(folder: Path) -> dict[str, Any]:
    """What the checkpoint's preprocessor says of values of pixels; empty without the file."""
    file = folder / PREPROCESSOR
    given = read_json(file) if file.is_file() else {}
    return {k: given[k] for k in SEEN_KEYS if k in given}


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint.

    Raises:
        ConfigError: it is none.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read as JSON ({error}). Fetch the checkpoint again.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds a {type(content).__name__} where an object is needed. Fetch the checkpoint again.")
    return content


def _check_complete(folder: Path) -> None:
    missing = [f.name for f in (folder / CONFIG, *weight_files(folder)) if not f.is_file()]
    if not missing:
        return
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    mend = (
        f"{pickles[0]} is a pickle, which can run code and is never read: load it once where you trust it and "
        "call save_pretrained, which writes safetensors."
        if pickles and missing != [CONFIG]
        else f"A checkpoint is {CONFIG} with {WEIGHTS}, or with {INDEX} and the files that it names."
    )
    raise ConfigError(f"encoder.weights: {folder} lacks {', '.join(missing)}. {mend}")


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    wanted: dict[str, Any] = {"revision": revision or None, "allow_patterns": DOWNLOADED}
    try:
        cached = Path(snapshot_download(repository, local_files_only=True, **wanted))
        _check_complete(cached)
        return cached
    except Exception:  # not cached, or partly: whatever it is, the download decides
        pass
    try:
        return Path(snapshot_download(repository, **wanted))
    except Exception as error:  # of the network, the hub, the disk
        raise ConfigError(
            f"encoder.weights is {name!r}: no folder of that name, not in the local cache of the hub, and not to be had from it "
            f"({type(error).__name__}: {_first_line(error)}). Download it where there is a network and give its folder."
        ) from None


def _relevant_config(config: dict[str, Any]) -> dict[str, Any]:
    nested = {k: _relevant_config(v) if isinstance(v, dict) else v for k, v in config.items()}
    return {k: v for k, v in nested.items() if k not in BOOKKEEPING}


def _file_digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]
