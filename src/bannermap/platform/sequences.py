"""Which of a day's results is the newest: by numbers, since no job reads the clock."""

from __future__ import annotations

from collections.abc import Mapping


def next_sequence(numbers: Mapping[str, int | None], name: str) -> int:
    """1 for the first of a day; the newest keeps its number when it is made again, any other gets the next.

    Args:
        numbers: name -> number of those that there are; null where it was not noted.
        name: of what is made.
    """
    newest = max((n for n in numbers.values() if n), default=0)
    return newest if newest and numbers.get(name) == newest else newest + 1
