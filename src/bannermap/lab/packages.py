"""What the extra `lab` brings, and a clear word where it is not there."""

from __future__ import annotations

import importlib.util

from bannermap.platform.errors import ConfigError


def check_package(asking: str, module: str, package: str, instead: str) -> None:
    """Have a package, without loading it.

    Args:
        asking: the setting that needs it, with its value.
        module: to be found.
        package: its name for people.
        instead: what else can be done than to install it.

    Raises:
        ConfigError: it is absent.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"{asking}, which needs {package}, and that is not there. Install the extra with pip install 'bannermap[lab]', or "
            f"{instead}."
        )
