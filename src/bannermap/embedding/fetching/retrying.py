"""Which failures another attempt may mend, and how long to wait before it."""

from __future__ import annotations

import datetime
import email.utils
import hashlib
import math

from bannermap.embedding.statuses import Failure

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses of a bad moment; any other failure is the server's last word."""
FIRST_PAUSE_S = 0.25


class Transient(Failure):
    """A failure that another attempt may mend.

    Attributes:
        retry_after_s: seconds that the server asked to wait; 0 where it named none.
    """

    def __init__(self, status: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(status, message)
        self.retry_after_s = retry_after_s


def pause_s(address: str, attempt: int, retry_after_s: float) -> float:
    """Seconds before the next attempt: doubled with each, spread by half to one and a half, never less than the server asked.

    Args:
        address: spreads many addresses of one host, and one address the same way on every run.
        attempt: attempts made so far, from 1.
        retry_after_s: what the server asked for.
    """
    share = hashlib.sha256(f"{attempt} {address}".encode(errors="replace")).digest()[0] / 255
    return max(retry_after_s, FIRST_PAUSE_S * 2 ** (attempt - 1) * (0.5 + share))


def retry_after_s(value: str | None, now: datetime.datetime) -> float:
    """Seconds of a Retry-After header: a number or an HTTP date; 0 for none, a past one, or nonsense.

    Args:
        value: the header.
        now: with time zone, for dates.
    """
    if not value:
        return 0.0
    if value.strip().isascii() and value.strip().isdigit():
        seconds = float(value)
        return seconds if math.isfinite(seconds) else math.inf
    try:
        then = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    aware = then if then.tzinfo else then.replace(tzinfo=datetime.UTC)
    return max(0.0, (aware - now).total_seconds())
