"""What encoders on transformers' image models share: sizes, values of pixels, loading, batches, unit rows.

A family (`hf`, `clip`) says which class loads the checkpoint and what of its output is the vector.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bannermap.embedding.decoding.views import View, fitted_view
from bannermap.embedding.encoders.checkpoints import (
    PREPROCESSOR,
    checkpoint_folder,
    input_settings,
    load_config,
    load_model,
    read_json,
    refuse_missing,
    weights_digest,
)
from bannermap.embedding.encoders.devices import TokenBatches, limit_threads, precision_of, release_cached_memory, task_device
from bannermap.embedding.encoders.emphasis import emphasis_map
from bannermap.embedding.encoders.interface import Encoded, seen_as, unit_rows
from bannermap.platform.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    from bannermap.platform.settings import EncoderSettings

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of values of 0 to 1, which most image models were trained with."""
DEFAULT_SIDE_PX = 224
STRIDE_PX = 32
"""Of models without patches: what one place of their last layer stands for."""


@dataclass(frozen=True)
class Features:
    """What a family takes of a model's output, on the model's device.

    Attributes:
        vectors: (n, d).
        weights: (n, rows, columns), of each patch in the vector; null where all count alike.
    """

    vectors: torch.Tensor
    weights: torch.Tensor | None = None


@dataclass(frozen=True)
class Family:
    """One kind of encoder.

    Attributes:
        name: of the setting, and first in encoder_id.
        model_class: configuration -> the class that loads it; a ConfigError where the family has none.
        vision: the configuration of the image model alone.
        features: model, pixel values (n, 3, h, w), names of weights that the checkpoint lacks, further arguments of the model ->
            what counts of its output.
        statistics: configuration -> mean and deviation where the checkpoint tells none.
        may_lack: beginnings of names of weights that ``features`` can do without.
    """

    name: str
    model_class: Callable[[PretrainedConfig], Any]
    vision: Callable[[PretrainedConfig], PretrainedConfig]
    features: Callable[[Any, torch.Tensor, frozenset[str], dict[str, Any]], Features]
    statistics: Callable[[PretrainedConfig], Statistics]
    may_lack: tuple[str, ...] = ()


class Backbone:
    """An encoder on an image model of transformers."""

    def __init__(self, settings: EncoderSettings, family: Family) -> None:
        """Read the checkpoint's configuration; the weights are loaded where they are needed.

        Args:
            settings: with ``weights``.
            family: see `Family`.

        Raises:
            ConfigError: no checkpoint, or one that the family can't use.
        """
        if settings.weights is None:
            raise ConfigError(
                f"encoder.name is {family.name} and encoder.weights names no checkpoint: give its folder or hub name."
            )
        self._settings, self._family = settings, family
        self._folder = checkpoint_folder(settings.weights)
        config = load_config(self._folder)
        self._model_class = family.model_class(config)
        vision = self._config = family.vision(config)
        self._kind = str(config.model_type)
        self._own_side = own_side(vision, self._folder)
        self._side = settings.resolution_px or self._own_side
        self._cell = patch_px(vision)
        self._mode = settings.resize_mode or "resize"
        self._scale, self._shift = value_line(input_settings(self._folder), family.statistics(config))
        self._batches = TokenBatches(settings.max_batch_tokens)
        self._loaded: tuple[str, Any, frozenset[str], dict[str, Any]] | None = None
        if self._side < self._cell:
            raise ConfigError(f"encoder.resolution_px is {self._side}, less than one patch of {self._cell} pixels: raise it.")

    @property
    def encoder_id(self) -> str:
        """Names what changes a vector."""
        seen = seen_as(self._settings.trim_borders)
        digest, precision = weights_digest(self._folder)[:12], precision_of(self._settings)
        return f"{self._family.name}-{self._kind}-{digest}-{seen}-{self._mode}{self._side}-{precision}"

    def check(self) -> None:
        """Load the weights once, so that whatever is wrong with them is said before Spark starts."""
        self._load_checked()

    def prepare(self, pixels: np.ndarray) -> View:
        """Trimmed and resized."""
        return fitted_view(pixels, self._settings.trim_borders, self._mode, self._side, self._cell)

    def encode(self, inputs: list[View]) -> Encoded:
        """Vectors of prepared pictures, and where they come from if patches weigh differently."""
        device, model, missing, arguments = self._ready()

        def forward(batch: np.ndarray) -> list[tuple[np.ndarray, ...]]:
            import torch

            with torch.inference_mode():
                values = self._values(torch.from_numpy(batch).to(device), model.dtype)
                found = self._family.features(model, values, missing, arguments)
                parts = (found.vectors,) if found.weights is None else (found.vectors, found.weights)
                return list(zip(*(part.float().cpu().numpy() for part in parts), strict=True))

        rows = self._batches.forward([view.pixels for view in inputs], self._tokens, forward)
        vectors, *weights = zip(*rows, strict=True)
        maps = [np.stack([emphasis_map(w, view.box) for w, view in zip(ws, inputs, strict=True)]) for ws in weights]
        return Encoded(unit_rows(np.stack(vectors)), *maps)

    def _tokens(self, shape: tuple[int, ...]) -> int:
        return -(-shape[0] // self._cell) * -(-shape[1] // self._cell)

    def _values(self, pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Uint8 (n, h, w, 3) to what the model takes: (n, 3, h, w) of its type."""
        import torch

        scale, shift = (torch.tensor(v, dtype=torch.float32, device=pixels.device) for v in (self._scale, self._shift))
        return (pixels.float() * scale + shift).permute(0, 3, 1, 2).contiguous().to(dtype)

    def _ready(self) -> tuple[str, Any, frozenset[str], dict[str, Any]]:
        """Device, model, missing weights, arguments; loaded once, and moved when a process' next task has another device."""
        import torch

        device = task_device()
        if self._loaded is None:
            limit_threads()
            model, missing = self._load_checked()
            model.to(device=device, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[precision_of(self._settings)])  # type: ignore[call-arg]
            self._loaded = device, model, missing, self._arguments(model)
        elif self._loaded[0] != device:
            self._loaded[1].to(device=device)
            release_cached_memory()  # of the device that it leaves to another process' task
            self._loaded = device, *self._loaded[1:]
        return self._loaded

    def _load_checked(self) -> tuple[PreTrainedModel, frozenset[str]]:
        model, missing = load_model(self._model_class, self._folder, self._config)
        refuse_missing(self._folder, [name for name in missing if not name.startswith(self._family.may_lack)])
        return model, missing

    def _arguments(self, model: Any) -> dict[str, Any]:
        """Position tables are stretched to other sizes than the checkpoint's, by models that need to be told so."""
        other_size = self._mode == "grid" or self._side != self._own_side
        takes = "interpolate_pos_encoding" in inspect.signature(type(model).forward).parameters
        return {"interpolate_pos_encoding": True} if other_size and takes else {}


def own_side(vision: PretrainedConfig, folder: Path) -> int:
    """The square's side that a checkpoint is made for, in pixels: of its configuration, else of its preprocessor, else 224."""
    size = getattr(vision, "image_size", None)
    file = folder / PREPROCESSOR
    if size is None and file.is_file():
        given = read_json(file)
        size = given.get("crop_size") or given.get("size")
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge")
    if isinstance(size, list | tuple) and size:
        size = size[0]
    return size if isinstance(size, int) and size > 0 else DEFAULT_SIDE_PX


def patch_px(vision: PretrainedConfig) -> int:
    """Side of what counts as one token, in pixels: a patch, or the stride of a model that has none.

    Models that merge patches from layer to layer (Swin), or use the word for their first layer's stride (ConvNeXt), count by the
    stride of their last layer, too.
    """
    size = getattr(vision, "patch_size", None)
    merges = hasattr(vision, "depths")
    return size if isinstance(size, int) and not merges else STRIDE_PX


def value_line(given: dict[str, Any], fallback: Statistics) -> tuple[np.ndarray, np.ndarray]:
    """Per channel, the line from a pixel's 0 to 255 to what the model sees: value = pixel * scale + shift.

    Args:
        given: of the checkpoint's preprocessor, see `checkpoints.SEEN_KEYS`; what it leaves out is as most have it.
        fallback: mean and deviation where it tells none.

    Returns:
        scale, shift: float64 (3,).
    """
    ones = np.ones(3)
    scale = ones * float(given.get("rescale_factor", 1 / 255)) if given.get("do_rescale", True) else ones
    shift = -ones if given.get("rescale_offset", False) else 0 * ones
    mean, deviation = (np.broadcast_to(given.get(f"image_{k}", v), 3) for k, v in zip(("mean", "std"), fallback, strict=True))
    if given.get("do_normalize", True):
        scale, shift = scale / deviation, (shift - mean) / deviation
    if given.get("include_top", False):  # EfficientNet: divided once more
        scale, shift = scale / deviation, shift / deviation
    return scale, shift
