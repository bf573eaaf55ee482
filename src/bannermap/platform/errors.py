"""Errors that a person can act on: each message says what is wrong, why it matters, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BannermapError(Exception):
    """Base of all errors raised on purpose; the launcher prints its text without a traceback."""

    exit_code = 1


class ConfigError(BannermapError):
    """A setting or a command line that cannot be right; raised before Spark starts."""

    exit_code = 2


class InputError(BannermapError):
    """An input that is absent, empty or of another shape than declared; nothing was written."""

    exit_code = 3


class QualityError(BannermapError):
    """A result that is worse than the settings allow; it was not published."""

    exit_code = 4


class PublicationError(QualityError):
    """Features that the gate refused: they contradict themselves, or differ too much from those before; none was published."""

    exit_code = 5


class ServiceError(BannermapError):
    """A service that is away, or that did not do what it was asked; what was there before is as it was, so run the job again."""

    exit_code = 6


class BusyError(BannermapError):
    """Another run is at work on what this one wants; what was committed before is whole, so run the job again after it."""

    exit_code = 7


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name: `` Did you mean 'x'?`` or the list of what is known.

    Args:
        name: what was given.
        known: the names that exist.

    Returns:
        A sentence that starts with a space, ready to be appended to a message.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else f" Known: {', '.join(names)}."
