"""One address to bytes or a typed failure, within one deadline whatever the other side does."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bannermap.embedding.fetching.addresses import scheme_of
from bannermap.embedding.fetching.connecting import Lookup, Threads
from bannermap.embedding.fetching.files import read_by_fsspec, read_local
from bannermap.embedding.fetching.http import HttpSource
from bannermap.embedding.fetching.retrying import Transient, pause_s
from bannermap.embedding.fetching.s3 import read_object
from bannermap.embedding.statuses import OK, Failure
from bannermap.platform.settings import FetchSettings

ABANDONED_PER_FETCH = 4
"""Threads per fetch in flight: calls that were given up at their deadline end by themselves, later."""


@dataclass(frozen=True)
class Fetched:
    """What came of one address.

    Attributes:
        status: ``ok``, or the typed reason.
        error: the message behind a reason.
        data: the bytes where ``ok``.
        attempts: requests that were made, redirects not counted; 0 where none was.
        seconds: from start to end, pauses included, waiting for a turn not.
    """

    status: str
    error: str | None = None
    data: bytes | None = None
    attempts: int = 0
    seconds: float = 0.0

    @property
    def content_hash(self) -> str | None:
        """Sha256 of the bytes, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest() if self.data is not None else None


class Fetcher:
    """Fetches from every source under one set of limits; made and used inside one event loop.

    Args:
        root: the folder of local images; nothing outside it is read.
        settings: limits.
        lookup: another resolver of names than the system's.
        tls: another trust than the system's.
    """

    def __init__(
        self, root: Path, settings: FetchSettings, lookup: Lookup | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._root, self._settings = root, settings
        self._threads = Threads(ABANDONED_PER_FETCH * settings.concurrency_per_task)
        self._http = HttpSource(settings, self._threads, lookup, tls)

    async def fetch(self, address: str | None) -> Fetched:
        """What came of an address; only cancellation leaves as an exception."""
        start, attempts = time.perf_counter(), [0]
        status, error, data = OK, None, None
        try:
            async with asyncio.timeout(self._settings.fetch_deadline_s):
                data = await self._attempted(address, attempts)
        except TimeoutError:
            status, error = "timeout", f"the deadline of {self._settings.fetch_deadline_s:g} s passed"
        except Failure as failure:
            status, error = failure.status, failure.message
        except Exception as unforeseen:  # whatever a hostile address provokes ends as a row, never as a failed task
            status, error = "fetch_error", f"{type(unforeseen).__name__}: {unforeseen}"[:500]
        return Fetched(status, error, data, attempts[0], time.perf_counter() - start)

    async def close(self) -> None:
        """End all connections."""
        await self._http.close()

    async def _attempted(self, address: str | None, attempts: list[int]) -> bytes:
        """Bytes of an address; ``attempts[0]`` counts, also for a failure."""
        if not address:
            raise Failure("no_address", "the banner names no image address")
        read = self._reader(address)
        end = time.monotonic() + self._settings.fetch_deadline_s
        while True:
            attempts[0] += 1
            try:
                data = await read(address)
            except Transient as failure:
                wait = pause_s(address, attempts[0], failure.retry_after_s)
                if attempts[0] == self._settings.attempts or time.monotonic() + wait >= end:
                    raise
                await asyncio.sleep(wait)
            else:
                if not data:
                    raise Failure("empty", "the body has no bytes")
                return data

    def _reader(self, address: str) -> Callable[[str], Awaitable[bytes]]:
        scheme = scheme_of(address)
        if scheme not in self._settings.schemes:
            raise Failure("unsupported_scheme", f"{scheme} is not among {', '.join(self._settings.schemes)}")
        if scheme in ("http", "https"):
            return self._http.read
        if scheme == "file":
            return self._local
        return self._s3 if scheme == "s3" else self._by_fsspec

    async def _local(self, address: str) -> bytes:
        return await self._threads.run(read_local, address, self._root, self._settings.max_bytes)

    async def _by_fsspec(self, address: str) -> bytes:
        return await self._threads.run(read_by_fsspec, address, scheme_of(address), self._settings.max_bytes)

    async def _s3(self, address: str) -> bytes:
        s = self._settings
        end = time.monotonic() + s.fetch_deadline_s
        return await self._threads.run(read_object, address, s.max_bytes, s.connect_timeout_s, s.read_timeout_s, end)
