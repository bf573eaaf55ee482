"""The training itself: steps of AdamW under a cosine schedule, most of them on half of the patches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from bannermap.training.loss import info_nce
from bannermap.training.network import PooledNetwork

WARMUP_SHARE = 0.03
"""Of the steps, over which the rate rises: full steps on random weights break attention."""
REPORT_STEPS = 100


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        steps: batches.
        learning_rate: greatest, of AdamW.
        weight_decay: of matrices; vectors (norms, biases) have none.
        temperature: see `info_nce`.
        kept_share: of the patches, until the last steps.
        full_share: of the steps, at the end, that see all patches.
        max_minutes: the schedule is hurried so that it ends by then; null: never.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    temperature: float
    kept_share: float
    full_share: float
    max_minutes: float | None


@dataclass(frozen=True)
class Progress:
    """Where training is.

    Attributes:
        step: batches done.
        share: of the schedule, 0 to 1.
        loss: mean since the last report, nats.
        images_per_second: since the beginning.
    """

    step: int
    share: float
    loss: float
    images_per_second: float


def train(network: PooledNetwork, pairs: Iterable[torch.Tensor], recipe: Recipe, report: Callable[[Progress], None]) -> Progress:
    """Train in place.

    Args:
        network: changed.
        pairs: batches, see `Pairs`.
        recipe: how.
        report: called every `REPORT_STEPS` steps and at the end.

    Returns:
        The last report: of the last step.
    """
    optimiser = _optimiser(network, recipe)
    torch.manual_seed(0)  # which patches are kept
    began, losses, last = time.monotonic(), [], Progress(0, 0.0, math.nan, 0.0)
    for step, batch in enumerate(pairs):
        share = _share(step, time.monotonic() - began, recipe)
        if share >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _rate(share)
        losses.append(_step(network, batch, optimiser, recipe, share))
        rate = (step + 1) * batch.shape[0] * batch.shape[1] / (time.monotonic() - began)
        last = Progress(step + 1, share, sum(losses) / len(losses), rate)
        if len(losses) == REPORT_STEPS:
            losses = []
            report(last)
    if losses:
        report(last)
    return last


def _share(step: int, seconds: float, recipe: Recipe) -> float:
    hurried = seconds / 60.0 / recipe.max_minutes if recipe.max_minutes else 0.0
    return max(step / recipe.steps, hurried)


def _rate(share: float) -> float:
    """Share of the greatest rate: a line up, then half a cosine down (Loshchilov and Hutter 2017)."""
    if share < WARMUP_SHARE:
        return (share + 1e-3) / WARMUP_SHARE
    return 0.5 * (1.0 + math.cos(math.pi * (share - WARMUP_SHARE) / (1.0 - WARMUP_SHARE)))


def _step(network: PooledNetwork, batch: torch.Tensor, optimiser: torch.optim.Optimizer, recipe: Recipe, share: float) -> float:
    kept = 1.0 if share >= 1.0 - recipe.full_share else recipe.kept_share
    with torch.autocast("cpu", torch.bfloat16):
        vectors = network(batch.flatten(0, 1), kept)
    first, second = vectors.float().chunk(2)
    loss = info_nce(first, second, recipe.temperature)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def _optimiser(network: PooledNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)
