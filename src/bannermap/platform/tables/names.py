"""Names that several tables share, and the rules by which feature columns are named."""

from __future__ import annotations

import datetime

EVENT_TYPES = ("request", "impression", "click")
WINDOWS_DAYS = (1, 7, 15, 30)
BANNER_ATTRIBUTES = ("image_url", "advertiser_id", "landing_url", "text")
UNCLUSTERED = "unclustered"
NO_DAY = datetime.date(1970, 1, 1)
"""The day of a folder of own images, which has none: it is a key like any other, and never shown to people."""


def count_column(event_type: str) -> str:
    """Name of the count of one event type in a partial: ``request`` -> ``requests``."""
    return f"{event_type}s"


def window_column(event_type: str, window_days: int) -> str:
    """Name of a windowed count: ``('request', 7)`` -> ``requests_7d``."""
    return f"{count_column(event_type)}_{window_days}d"


def wide_column(event_type: str, window_days: int, slot: int) -> str:
    """Name of a wide feature: ``('click', 7, 3)`` -> ``clicks_7d_c03``."""
    return f"{window_column(event_type, window_days)}_c{slot:02d}"


def list_column(window_days: int) -> str:
    """Name of the fixed-length list of one window: ``7`` -> ``features_7d``."""
    return f"features_{window_days}d"


def window_columns() -> list[str]:
    """All windowed counts, shortest window first, then request, impression, click."""
    return [window_column(e, w) for w in WINDOWS_DAYS for e in EVENT_TYPES]
