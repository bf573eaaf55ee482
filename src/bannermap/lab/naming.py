"""Names of comparisons, and which of a day's results is the newest: by numbers, since no job reads the clock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from bannermap.platform.config import settings_json
from bannermap.platform.settings import Settings


def comparison_hash(settings: Settings, encoders: Iterable[str]) -> str:
    """12 hexadecimal digits, of all that a comparison's outcome follows from but its pictures.

    Args:
        settings: the section `lab`, and `clustering`, which the recursive clustering and the neighbour search go by.
        encoders: whose vectors are compared; they may come from elsewhere than `lab`.
    """
    text = "\n".join([settings_json(settings.lab), settings_json(settings.clustering), *encoders])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def next_sequence(numbers: Mapping[str, int | None], name: str) -> int:
    """1 for the first of a day; the newest keeps its number when it is made again, any other gets the next.

    Args:
        numbers: name -> number of those that there are; null where it was not noted.
        name: of what is made.
    """
    newest = max((n for n in numbers.values() if n), default=0)
    return newest if newest and numbers.get(name) == newest else newest + 1
