"""Why there is no picture: typed reasons, as they stand in image_fetches.status."""

from __future__ import annotations

OK = "ok"
ENCODER_UNAVAILABLE = "encoder_unavailable"
"""Of a picture that is there and has no vector yet; in image_fetches it is ok, since nothing has to be fetched again."""
NO_BYTES = "no_bytes"
"""Of a picture that was fetched and whose bytes are stored no more, or spoilt; it is counted in runs and stands nowhere else."""

FETCH_FAILURES = (
    "no_address",
    "invalid_address",
    "unsupported_scheme",
    "outside_root",
    "forbidden_address",
    "unresolved_host",
    "connection_error",
    "tls_error",
    "timeout",
    "not_found",
    "access_denied",
    "opted_out",
    "http_error",
    "too_many_redirects",
    "bad_response",
    "truncated_body",
    "unsupported_encoding",
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
FINAL_FAILURES = (
    *("no_address", "invalid_address", "unsupported_scheme", "outside_root", "forbidden_address", "opted_out", "too_large"),
    *("unsupported_format", "too_many_pixels", "too_many_frames"),
)
"""Failures that no later day mends: they follow from the address, from the owner's wish, or from whole and readable bytes against
a setting. All others may have been a bad moment of a server, or a page shown in place of an image, and are tried again."""


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
