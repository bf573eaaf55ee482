"""Where a model runs, at which precision, and how many pictures it takes at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from bannermap.platform.settings import EncoderSettings

Row = TypeVar("Row")
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "defaultcpuallocator")


def task_device() -> str:
    """The device of the Spark task that asks, else of the process: ``cuda:N``, ``cuda`` or ``cpu``.

    The address that Spark gave to the task decides, since tasks beside it have other GPUs; without one, any GPU that torch sees.
    """
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    address = _task_gpu()
    return "cuda" if address is None else f"cuda:{_visible_number(address)}"


def precision_of(settings: EncoderSettings) -> Literal["fp32", "bf16"]:
    """The type of a model's weights and activations, from the settings alone: the driver, which has other devices than the tasks,
    names it in encoder_id."""
    if settings.precision == "auto":
        return "bf16" if settings.gpu_per_task else "fp32"
    return settings.precision


def limit_threads() -> None:
    """Take as many threads as OMP_NUM_THREADS says, which Spark sets to the cores of a task; torch's own choice without it."""
    import torch

    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) and torch.get_num_threads() != int(given):
        torch.set_num_threads(int(given))


class TokenBatches:
    """Forward passes of bounded size over pictures of several shapes.

    A pass that does not fit into memory is halved and repeated, and later passes keep to the size that fitted: memory of a
    device does not grow while a process lives.
    """

    def __init__(self, max_batch_tokens: int) -> None:
        """Start with the configured size.

        Args:
            max_batch_tokens: of one pass; a picture of more is a pass of its own.
        """
        self.max_batch_tokens = max_batch_tokens

    def forward(
        self,
        inputs: Sequence[np.ndarray],
        tokens_of: Callable[[tuple[int, ...]], int],
        forward: Callable[[np.ndarray], Sequence[Row]],
    ) -> list[Row]:
        """What a model makes of all inputs, in their order.

        Args:
            inputs: arrays; those of equal shape share passes.
            tokens_of: shape of one input -> its tokens.
            forward: (n, *shape) -> n rows.

        Raises:
            RuntimeError: of ``forward``; one that tells of memory only when a single input did not fit.
        """
        shapes: dict[tuple[int, ...], list[int]] = {}
        for place, one in enumerate(inputs):
            shapes.setdefault(one.shape, []).append(place)
        rows: dict[int, Row] = {}
        for shape, places in shapes.items():
            rows |= self._of_one_shape(inputs, places, tokens_of(shape), forward)
        return [rows[place] for place in range(len(inputs))]

    def _of_one_shape(
        self, inputs: Sequence[np.ndarray], places: list[int], tokens: int, forward: Callable[[np.ndarray], Sequence[Row]]
    ) -> dict[int, Row]:
        done: dict[int, Row] = {}
        at = 0
        while at < len(places):
            here = places[at : at + max(1, self.max_batch_tokens // tokens)]
            try:
                rows = forward(np.stack([inputs[p] for p in here]))
            except RuntimeError as error:  # torch.cuda.OutOfMemoryError is one; a CPU gives no other class
                if len(here) == 1 or not _tells_of_memory(error):
                    raise
                self.max_batch_tokens = len(here) // 2 * tokens
                release_cached_memory()
                continue
            done |= zip(here, rows, strict=True)
            at += len(here)
        return done


def _tells_of_memory(error: RuntimeError) -> bool:
    return any(words in str(error).lower() for words in OUT_OF_MEMORY)


def release_cached_memory() -> None:
    """Give back to the device what torch keeps of it: after a pass that failed, or when a model has left."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _task_gpu() -> str | None:
    """The address of the GPU that Spark gave to this task; None outside a task, or where tasks get none."""
    if "pyspark" not in sys.modules:
        return None
    from pyspark import TaskContext

    task = TaskContext.get()
    gpu = task.resources().get("gpu") if task else None
    return str(gpu.addresses[0]) if gpu and gpu.addresses else None


def _visible_number(address: str) -> int:
    """How torch counts the device: by place among CUDA_VISIBLE_DEVICES where that names it, else by its own number."""
    visible = [v.strip() for v in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    if address in visible:
        return visible.index(address)
    return int(address) if address.isdigit() else 0
