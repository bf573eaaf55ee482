"""All strategies by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bannermap.lab.packages import check_package
from bannermap.lab.strategies import neighbourhoods, scikit, spark_ml
from bannermap.lab.strategies.interface import Strategy
from bannermap.platform.errors import ConfigError

ALL = (*neighbourhoods.STRATEGIES, *spark_ml.STRATEGIES, *scikit.STRATEGIES)
GPU = "gpu"
STRATEGIES: Mapping[str, Strategy] = {s.name: s for s in ALL}


def check_strategies(names: Iterable[str]) -> None:
    """Have the packages that strategies need.

    Raises:
        ConfigError: one is absent.
    """
    for name in names:
        needs = STRATEGIES[name].needs
        if needs:
            check_package(f"lab.strategies names {name}", needs, needs, "leave it out of lab.strategies")


def check_mode(mode: str) -> None:
    """Have a GPU where the mode asks for one.

    Raises:
        ConfigError: there is none that torch can use.
    """
    if mode != GPU:
        return
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(
            "lab.mode is gpu, and torch finds no GPU on the driver's machine (torch.cuda.is_available() says so). "
            "Start the job where there is one, or take lab.mode=comprehensive, which tries the same on the processors."
        )


def device_of(mode: str) -> str | None:
    """Where strategies that can shall work: the device of torch, None for the processors."""
    return "cuda" if mode == GPU else None
