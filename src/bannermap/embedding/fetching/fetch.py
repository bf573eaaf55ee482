"""One address to bytes or a typed failure, within one deadline whatever the other side does."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bannermap.embedding.fetching.http import fetch_http
from bannermap.embedding.statuses import OK, Failure
from bannermap.platform.settings import FetchSettings


@dataclass(frozen=True)
class Fetched:
    """What came of one address.

    Attributes:
        status: ``ok``, or the typed reason.
        error: the message behind a reason.
        data: the bytes where ``ok``.
    """

    status: str
    error: str | None = None
    data: bytes | None = None

    @property
    def content_hash(self) -> str | None:
        """Sha256 of the bytes, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest() if self.data is not None else None


def fetch_all(addresses: Sequence[str | None], root: Path, settings: FetchSettings) -> list[Fetched]:
    """Fetch addresses side by side, in threads: fetching waits, it does not compute.

    Args:
        addresses: URLs, or paths relative to ``root``.
        root: the folder of local images; nothing outside it is read.
        settings: limits.

    Returns:
        One result per address, in order; never an exception.
    """
    with ThreadPoolExecutor(settings.threads_per_task) as pool:
        return list(pool.map(lambda address: fetch(address, root, settings), addresses))


def fetch(address: str | None, root: Path, settings: FetchSettings) -> Fetched:
    """Fetch one address; see `fetch_all`."""
    try:
        data = _bytes_of(address, root, settings)
        if not data:
            raise Failure("empty", "the body has no bytes")
        return Fetched(OK, data=data)
    except Failure as failure:
        return Fetched(failure.status, failure.message)
    except Exception as error:  # whatever a hostile address provokes ends as a row, never as a failed task
        return Fetched("fetch_error", f"{type(error).__name__}: {error}")


def _bytes_of(address: str | None, root: Path, settings: FetchSettings) -> bytes:
    if not address:
        raise Failure("no_address", "the banner names no image address")
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise Failure("invalid_address", str(error)) from None
    scheme = parts.scheme.lower() if "://" in address else "file"
    if scheme not in settings.schemes:
        raise Failure("unsupported_scheme", f"{scheme} is not among {', '.join(settings.schemes)}")
    if scheme == "file":
        path = Path(unquote(parts.path)) if "://" in address else Path(address)
        return _read_file(path, root, settings.max_bytes)
    return fetch_http(address, settings, deadline=time.monotonic() + settings.fetch_deadline_s)


def _read_file(path: Path, root: Path, max_bytes: int) -> bytes:
    """Bytes of a file below the root, links followed before the check."""
    folder = root.resolve()
    try:
        resolved = (folder / path).resolve()
    except (OSError, ValueError) as error:
        raise Failure("invalid_address", str(error)) from None
    if not resolved.is_relative_to(folder):
        raise Failure("outside_root", f"{path} does not lie below paths.images")
    if not resolved.is_file():
        raise Failure("not_found", f"there is no file {path}")
    with resolved.open("rb") as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise Failure("too_large", f"more than {max_bytes} bytes")
    return data
