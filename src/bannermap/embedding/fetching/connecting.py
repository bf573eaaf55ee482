"""Names to sockets, under the address policy.

A name is resolved once, every address of the answer is checked, and the connection goes to one of those: aiohttp gets checked
addresses only. The socket itself is checked once more where it is made, so that an address which reaches the connector by another
way (a literal, a later version of aiohttp) is refused too.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from bannermap.embedding.fetching.addresses import AddressPolicy
from bannermap.embedding.fetching.retrying import Transient
from bannermap.embedding.statuses import Failure

Lookup = Callable[[str], list[str]]
"""A host's name to its IP addresses as text; blocks, and raises OSError where there are none."""
T = TypeVar("T")


class Threads:
    """Blocking calls beside an event loop, each in a daemon thread: one that hangs for ever delays neither others nor the exit.

    Args:
        most: threads at a time, abandoned ones included.
    """

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """The result of a call. Cancelled, the call is abandoned and goes on by itself.

        Raises:
            Failure: ``timeout``: all threads hang in earlier calls.
        """
        if not self._free.acquire(blocking=False):
            raise Failure("timeout", "all threads hang in calls that were abandoned at their deadline")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        threading.Thread(target=self._work, args=(loop, done, call, arguments), daemon=True).start()
        return await done

    def _work(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], call: Callable[..., T], arguments: Any) -> None:
        try:
            settle: tuple[Callable[[Any], None], Any] = done.set_result, call(*arguments)
        except Exception as error:
            settle = done.set_exception, error
        finally:
            self._free.release()
        try:
            loop.call_soon_threadsafe(lambda: None if done.done() else settle[0](settle[1]))
        except RuntimeError:
            return  # the loop was closed meanwhile: nobody waits


class CheckedResolver(AbstractResolver):
    """Answers aiohttp with addresses that the policy allows.

    Args:
        policy: which addresses may be reached.
        threads: where lookups block.
        timeout_s: seconds for one lookup.
        lookup: who knows the addresses; the system's own resolver unless given.
    """

    def __init__(self, policy: AddressPolicy, threads: Threads, timeout_s: float, lookup: Lookup | None = None) -> None:
        self._policy, self._threads, self._timeout_s = policy, threads, timeout_s
        self._lookup = lookup or system_lookup

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Addresses of a host, all of them checked.

        Raises:
            Failure: ``forbidden_address`` where any of them is; ``unresolved_host`` or ``timeout`` as transient failures.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._threads.run(self._lookup, host)
        except TimeoutError:
            raise Transient("timeout", f"{host} did not resolve within {self._timeout_s} s") from None
        except (OSError, UnicodeError) as error:
            raise Transient("unresolved_host", f"{host}: {error}") from None
        if not found:
            raise Transient("unresolved_host", f"{host} has no address")
        for address in found:
            self._policy.check(host, address)
        return [_resolved(host, port, address) for address in found]

    async def close(self) -> None:
        """Nothing to release."""


def system_lookup(host: str) -> list[str]:
    """Addresses of a host by the system's resolver, in its order."""
    entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def connector(policy: AddressPolicy, resolver: CheckedResolver, limit: int, per_host: int, tls: ssl.SSLContext | None) -> Any:
    """aiohttp's connector that connects to allowed addresses only (call it inside the loop).

    Args:
        policy: asked again for each socket.
        resolver: gives checked addresses.
        limit: connections in all.
        per_host: connections to one host.
        tls: trust; the system's certificates and ``SSL_CERT_FILE`` unless given.
    """

    def checked_socket(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        policy.check(str(address[0]), str(address[0]))
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    return aiohttp.TCPConnector(
        resolver=resolver,
        socket_factory=checked_socket,
        limit=limit,
        limit_per_host=per_host,
        ssl=tls or trusted(),
        ttl_dns_cache=60,  # seconds; the cached answer was checked
    )


@lru_cache(maxsize=1)
def trusted() -> ssl.SSLContext:
    """The system's trust; read once per process, since that takes tens of milliseconds."""
    return ssl.create_default_context()


def _resolved(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": numeric}
