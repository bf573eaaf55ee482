"""What can be known to be wrong with fetching before Spark starts, beyond the ranges of single settings."""

from __future__ import annotations

from bannermap.embedding.statuses import OK, STATUSES
from bannermap.platform.errors import ConfigError, nearest
from bannermap.platform.settings import Settings


def check_fetching(settings: Settings) -> None:
    """Refuse statuses to try again that do not exist.

    Raises:
        ConfigError: what, and how to mend it.
    """
    for status in settings.fetch.retry_also:
        if status == OK:
            raise ConfigError(f"fetch.retry_also names {OK}: nothing is tried again once it is there. Take it out.")
        if status not in STATUSES:
            raise ConfigError(f"fetch.retry_also: there is no status {status}.{nearest(status, STATUSES)}")
