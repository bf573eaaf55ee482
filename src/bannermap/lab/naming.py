"""Names of comparisons and of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from bannermap.platform.config import settings_json
from bannermap.platform.settings import Settings


def file_name(text: str) -> str:
    """The text as part of a path: what is no letter, digit or one of ``-_.`` is an underscore."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)


def comparison_hash(settings: Settings, encoders: Iterable[str]) -> str:
    """12 hexadecimal digits, of all that a comparison's outcome follows from but its pictures.

    Args:
        settings: the section `lab`, and `clustering`, which the recursive clustering and the neighbour search go by.
        encoders: whose vectors are compared; they may come from elsewhere than `lab`.
    """
    text = "\n".join([settings_json(settings.lab), settings_json(settings.clustering), *encoders])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
