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
    return slot_column(window_column(event_type, window_days), slot)


def slot_column(value: str, slot: int) -> str:
    """Name of a value of one slot: ``('clicks_7d', 3)`` -> ``clicks_7d_c03``."""
    return f"{value}_c{slot:02d}"


def share_column(event_type: str, window_days: int) -> str:
    """Name of a share of a user's events: ``('click', 7)`` -> ``click_share_7d``."""
    return f"{event_type}_share_{window_days}d"


def recency_column(event_type: str) -> str:
    """Name of the days since the last event: ``click`` -> ``days_since_click``."""
    return f"days_since_{event_type}"


def list_column(window_days: int) -> str:
    """Name of the fixed-length list of one window: ``7`` -> ``features_7d``."""
    return f"features_{window_days}d"


def window_columns() -> list[str]:
    """All windowed counts, shortest window first, then request, impression, click."""
    return [window_column(e, w) for w in WINDOWS_DAYS for e in EVENT_TYPES]
