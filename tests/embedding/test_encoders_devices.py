"""Forward passes of bounded size: any order of shapes, and memory that turns out smaller than hoped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bannermap.embedding.encoders import devices
from bannermap.embedding.encoders.devices import TokenBatches, precision_of, task_device


def tokens_of(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1]


def summed(batch: np.ndarray) -> np.ndarray:
    flat = batch.reshape(len(batch), -1).astype(np.int64)
    return np.c_[flat.sum(1), (flat * np.arange(flat.shape[1])).sum(1)]


class Limited:
    """A forward pass that refuses more than some tokens, and remembers what it was given."""

    def __init__(self, limit: int, error: Exception) -> None:
        self.limit, self.error, self.asked, self.taken = limit, error, [], []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        tokens = len(batch) * tokens_of(batch.shape[1:])
        self.asked.append(tokens)
        if tokens > self.limit:
            raise self.error
        self.taken.append(tokens)
        return summed(batch)


def mixed(seed: int, n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [(2, 3, 3), (4, 4, 3), (1, 7, 3)]
    return [rng.integers(0, 256, shapes[rng.integers(3)], dtype=np.uint8) for _ in range(n)]


ERRORS = (
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [16, 40, 10_000])
@pytest.mark.parametrize("error", ERRORS, ids=("gpu", "cpu"))
def test_any_limit_gives_the_vectors_of_single_passes_in_order(seed, limit, error):
    inputs, forward = mixed(seed, 57), Limited(limit, error)
    batches = TokenBatches(200)
    assert np.array_equal(batches.forward(inputs, tokens_of, forward), np.concatenate([summed(i[None]) for i in inputs]))
    assert max(forward.asked) <= 200 and len(forward.asked) - len(forward.taken) <= 4  # halvings from 200 to 16


def test_passes_are_as_large_as_allowed():
    forward = Limited(10_000, ERRORS[0])
    TokenBatches(50).forward([np.zeros((2, 5, 3), np.uint8)] * 12, tokens_of, forward)
    assert forward.taken == [50, 50, 20]


def test_a_picture_larger_than_a_pass_goes_alone():
    forward = Limited(10_000, ERRORS[0])
    TokenBatches(8).forward([np.zeros((4, 4, 3), np.uint8)] * 2, tokens_of, forward)
    assert forward.taken == [16, 16]


def test_the_size_that_fitted_is_kept():
    inputs, batches = [np.zeros((2, 5, 3), np.uint8)] * 20, TokenBatches(200)
    first, later = Limited(60, ERRORS[0]), Limited(60, ERRORS[0])
    batches.forward(inputs, tokens_of, first)
    batches.forward(inputs, tokens_of, later)
    assert first.asked[:3] == [200, 100, 50] and later.asked == later.taken == [50, 50, 50, 50]


def test_one_picture_that_does_not_fit_is_an_error():
    with pytest.raises(torch.cuda.OutOfMemoryError):
        TokenBatches(200).forward(mixed(0, 9), tokens_of, Limited(3, ERRORS[0]))


def test_other_errors_are_not_taken_for_memory():
    forward = Limited(10, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        TokenBatches(200).forward(mixed(0, 9), tokens_of, forward)
    assert len(forward.asked) == 1


@pytest.mark.parametrize(
    "setting, gpu_per_task, wanted",
    [("auto", 0.0, "fp32"), ("auto", 0.25, "bf16"), ("fp32", 1.0, "fp32"), ("bf16", 0.0, "bf16")],
)
def test_precision_follows_from_the_settings_alone(base_settings, setting, gpu_per_task, wanted):
    given = base_settings.encoder.model_copy(update={"precision": setting, "gpu_per_task": gpu_per_task})
    assert precision_of(given) == wanted


@pytest.mark.parametrize(
    "visible, address, wanted",
    [
        (None, None, "cuda"),
        (None, "3", "cuda:3"),
        ("4,6", "6", "cuda:1"),
        ("GPU-a,GPU-b", "GPU-b", "cuda:1"),
        ("4,6", "1", "cuda:1"),
    ],
)
def test_the_gpu_of_the_task(monkeypatch, visible, address, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "_task_gpu", lambda: address)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert task_device() == wanted


def test_without_a_gpu_it_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_task_gpu", lambda: "0")
    assert task_device() == "cpu"


def test_threads_are_those_of_the_task(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        devices.limit_threads()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
