"""All strategies by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bannermap.lab.packages import check_package
from bannermap.lab.strategies import neighbourhoods, scikit, spark_ml
from bannermap.lab.strategies.interface import Strategy
from bannermap.lab.strategies.parameters import checked
from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import ClusteringSettings

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


def checked_parameters(name: str, parameters: Mapping[str, Any], configured: ClusteringSettings) -> dict[str, Any]:
    """A strategy's parameters as plain values of their types.

    Args:
        name: of the strategy.
        parameters: as configured.
        configured: what those of the recursive clustering are laid over.

    Raises:
        ConfigError: a key that there is not, one that is absent, or a value out of range.
    """
    return checked(name, STRATEGIES[name].parameters, parameters, configured)


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
