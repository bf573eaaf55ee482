"""Why there is no picture: typed reasons, as they stand in image_fetches.status."""

from __future__ import annotations

OK = "ok"

FETCH_FAILURES = (
    "no_address",
    "invalid_address",
    "unsupported_scheme",
    "outside_root",
    "not_found",
    "forbidden_address",
    "timeout",
    "connection_error",
    "http_error",
    "too_many_redirects",
    "too_large",
    "empty",
    "fetch_error",
)
DECODE_FAILURES = (
    "not_an_image",
    "unsupported_format",
    "truncated",
    "too_many_pixels",
    "too_many_frames",
    "decode_timeout",
    "decode_error",
)
STATUSES = (OK, *FETCH_FAILURES, *DECODE_FAILURES)


class Failure(Exception):
    """A typed failure of one image; it becomes a row.

    Attributes:
        status: one of `STATUSES`.
        message: what happened, for people.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message[:500]
