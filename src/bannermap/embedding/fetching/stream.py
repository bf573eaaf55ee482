"""Many addresses to bytes, side by side, while the caller decodes what has come: an event loop in a thread of its own.

The caller's thread pulls the input and takes results; everything else happens in the loop's thread, so that no state is shared
but one queue. Addresses are pulled only as far ahead as results may wait, and a fetch starts only where its result has room: a
slow caller stops the fetching, and memory stays within ``queued_bytes`` plus ``concurrency_per_task`` times ``max_bytes``.
"""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bannermap.embedding.fetching.connecting import Lookup
from bannermap.embedding.fetching.fetch import Fetched, Fetcher
from bannermap.platform.settings import FetchSettings

CLOSING_S = 10.0
"""Seconds that closing waits for the loop to end its connections; the thread is a daemon, so no process ever waits longer."""


def stream_fetched(
    addresses: Iterable[str | None],
    root: Path,
    settings: FetchSettings,
    lookup: Lookup | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[tuple[int, Fetched]]:
    """Fetch addresses side by side; closing the generator ends all that is in flight.

    Args:
        addresses: URLs, or paths relative to ``root``; pulled in the caller's thread, at most ``queued_images`` plus
            ``concurrency_per_task`` ahead of what was taken.
        root: the folder of local images; nothing outside it is read.
        settings: limits.
        lookup: another resolver of names than the system's.
        tls: another trust than the system's.

    Yields:
        Position in the input, from 0, and what came of it, in the order in which they end; one for each address.
    """
    ahead, window = 0, settings.queued_images + settings.concurrency_per_task
    pending = enumerate(addresses)
    loop = _FetchLoop(Fetcher, root, settings, lookup, tls)
    try:
        taken = None
        while True:
            pulled = list(islice(pending, window - ahead))
            ahead += len(pulled)
            if not ahead:
                return
            loop.give(pulled, taken)
            position, taken = loop.take()
            yield position, taken
            ahead -= 1
    finally:
        loop.close()


def fetch_all(addresses: Sequence[str | None], root: Path, settings: FetchSettings) -> list[Fetched]:
    """`stream_fetched` for a few addresses: one result for each, in order."""
    found = dict(stream_fetched(addresses, root, settings))
    return [found[i] for i in range(len(addresses))]


class _FetchLoop:
    """An event loop in a daemon thread that fetches what it is given, as far as results have room.

    Args:
        fetcher: made inside the loop, of the further arguments.
        arguments: root, settings and what else it takes.
    """

    def __init__(self, fetcher: Any, *arguments: Any) -> None:
        self._settings: FetchSettings = arguments[1]
        self._results: queue.SimpleQueue[tuple[int, Fetched] | BaseException] = queue.SimpleQueue()
        self._waiting: deque[tuple[int, str | None, str]] = deque()
        self._parked: dict[str, deque[tuple[int, str | None, str]]] = {}
        self._of_host: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._queued, self._queued_bytes = 0, 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(fetcher, arguments), name="fetching", daemon=True)
        self._thread.start()
        self._ready.wait()

    def give(self, addresses: Sequence[tuple[int, str | None]], taken: Fetched | None) -> None:
        """Further addresses, and the result that was used up since (from the caller's thread)."""
        self._call(self._accept, addresses, taken)

    def take(self) -> tuple[int, Fetched]:
        """The next result, waited for.

        Raises:
            BaseException: what ended the loop, which is a fault of this program, never of an address.
        """
        result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """Cancel what is in flight and end the thread."""
        self._call(self._stop)
        self._thread.join(CLOSING_S)

    def _call(self, function: Any, *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except (RuntimeError, AttributeError):
            return  # the loop has ended, and `take` says why

    def _run(self, fetcher: Any, arguments: Any) -> None:
        try:
            asyncio.run(self._serve(fetcher, arguments))
        except BaseException as error:
            self._results.put(error)
        finally:
            self._ready.set()

    async def _serve(self, fetcher: Any, arguments: Any) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        self._fetcher = fetcher(*arguments)
        self._ready.set()
        try:
            await self._stopped.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._fetcher.close()

    def _stop(self) -> None:
        self._stopped.set()

    def _accept(self, addresses: Sequence[tuple[int, str | None]], taken: Fetched | None) -> None:
        if taken is not None:
            self._queued -= 1
            self._queued_bytes -= len(taken.data or b"")
        self._waiting.extend((position, address, _host(address)) for position, address in addresses)
        self._start()

    def _start(self) -> None:
        """Start fetches while there is room for them and for their results."""
        s = self._settings
        while (
            len(self._tasks) < s.concurrency_per_task
            and len(self._tasks) + self._queued < s.queued_images
            and self._queued_bytes < s.queued_bytes
            and (item := self._next())
        ):
            self._of_host[item[2]] += 1
            task = self._loop.create_task(self._fetch(*item))
            self._tasks.add(task)

    def _next(self) -> tuple[int, str | None, str] | None:
        """The next address whose host may bear one more; those of busy hosts step aside until one of theirs has ended."""
        while self._waiting:
            item = self._waiting.popleft()
            if not item[2] or self._of_host[item[2]] < self._settings.per_host:
                return item
            self._parked.setdefault(item[2], deque()).append(item)
        return None

    async def _fetch(self, position: int, address: str | None, host: str) -> None:
        fetched = await self._fetcher.fetch(address)
        self._results.put((position, fetched))
        self._queued += 1
        self._queued_bytes += len(fetched.data or b"")
        self._tasks.discard(asyncio.current_task())  # type: ignore[arg-type]
        self._leave(host)
        self._start()

    def _leave(self, host: str) -> None:
        self._of_host[host] -= 1
        if not self._of_host[host]:
            del self._of_host[host]
        if host in self._parked:
            self._waiting.appendleft(self._parked[host].popleft())
            if not self._parked[host]:
                del self._parked[host]


def _host(address: str | None) -> str:
    """The host that an http(s) address names; empty where no host has to be spared."""
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return ""
    return parts.netloc.lower() if parts.scheme in ("http", "https") else ""
