"""Strategies behind one interface: what each needs, which parameters are worth trying, and its fit."""

from __future__ import annotations

from bannermap.lab.strategies.interface import Fitted, Strategy, Tools
from bannermap.lab.strategies.registry import STRATEGIES, check_mode, check_strategies, checked_parameters, device_of

__all__ = ["STRATEGIES", "Fitted", "Strategy", "Tools", "check_mode", "check_strategies", "checked_parameters", "device_of"]
