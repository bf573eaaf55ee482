"""One attempt over HTTP(S) at a host that may be hostile: redirects by hand, each checked like a first address; a cap on bytes
while they come; every oddity typed."""

from __future__ import annotations

import datetime
import ssl
from typing import Any

import aiohttp
from yarl import URL

from bannermap.embedding.fetching.addresses import AddressPolicy, WebAddress, redirected, web_address
from bannermap.embedding.fetching.connecting import CheckedResolver, Lookup, Threads, connector
from bannermap.embedding.fetching.opting_out import opted_out
from bannermap.embedding.fetching.retrying import RETRIED_STATUSES, Transient, retry_after_s
from bannermap.embedding.statuses import Failure
from bannermap.platform.settings import FetchSettings

REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpSource:
    """A pool of connections to checked addresses; made and used inside one event loop.

    Args:
        settings: limits.
        threads: where names are resolved.
        lookup: another resolver than the system's.
        tls: another trust than the system's.
    """

    def __init__(
        self, settings: FetchSettings, threads: Threads, lookup: Lookup | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._policy = AddressPolicy.of(settings.allow_private_addresses, settings.allowed_networks)
        resolver = CheckedResolver(self._policy, threads, settings.connect_timeout_s, lookup)
        limit = settings.concurrency_per_task
        self._session = aiohttp.ClientSession(
            connector=connector(self._policy, resolver, limit, min(settings.per_host, limit), tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            # No proxy of the environment: it would resolve names by itself, past the policy.
            trust_env=False,
            # A body that was compressed though nobody asked is refused, so nothing can unfold into memory.
            auto_decompress=False,
            headers={"User-Agent": settings.user_agent, "Accept-Encoding": "identity", "Accept": "*/*"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s, sock_read=settings.read_timeout_s),
        )

    async def read(self, address: str) -> bytes:
        """The body behind an address.

        Raises:
            Failure: typed; `Transient` where another attempt may help.
        """
        try:
            return await self._follow(web_address(address))
        except aiohttp.ClientError as error:
            raise _typed(error) from None
        except TimeoutError as error:
            raise Transient("timeout", f"no answer within a limit: {error}") from None
        except OSError as error:
            raise Transient("connection_error", f"{type(error).__name__}: {error}") from None

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    async def _follow(self, address: WebAddress) -> bytes:
        for _ in range(self._settings.max_redirects + 1):
            answer = await self._ask(address)
            if isinstance(answer, bytes):
                return answer
            address = redirected(address, answer, self._settings.schemes)
        raise Failure("too_many_redirects", f"more than {self._settings.max_redirects}")

    async def _ask(self, address: WebAddress) -> bytes | str:
        """The body, or the address that a redirect names."""
        if ":" in address.host or address.host.replace(".", "").isdigit():
            self._policy.check(address.host, address.host)
        async with self._session.get(URL(address.url, encoded=True), allow_redirects=False) as response:
            try:
                return await self._answer(response)
            except BaseException:
                response.close()  # what is left of it is not waited for
                raise

    async def _answer(self, response: aiohttp.ClientResponse) -> bytes | str:
        status, location = response.status, response.headers.get("Location")
        if status in REDIRECTS and location:
            return location
        if status in RETRIED_STATUSES:
            asked = retry_after_s(response.headers.get("Retry-After"), datetime.datetime.now(datetime.UTC))
            raise Transient("http_error", f"status {status}" + (f", again in {asked:g} s" if asked else ""), asked)
        if status in (404, 410):
            raise Failure("not_found", f"status {status}")
        if status != 200:
            raise Failure("access_denied" if status in (401, 403) else "http_error", f"status {status}")
        self._check_wishes(response)
        return await self._body(response)

    def _check_wishes(self, response: aiohttp.ClientResponse) -> None:
        agent, wishes = self._settings.user_agent, self._settings.opt_out_directives
        wish = opted_out(response.headers.getall("X-Robots-Tag", []), agent, wishes)
        if wish:
            raise Failure("opted_out", f"X-Robots-Tag says {wish}")
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", ""):
            raise Failure("unsupported_encoding", f"{encoding}, though only identity was asked for")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        most = self._settings.max_bytes
        if (response.content_length or 0) > most:
            raise Failure("too_large", f"{response.content_length} bytes announced, the limit is {most}")
        parts, size = [], 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > most:
                raise Failure("too_large", f"more than {most} bytes")
            parts.append(chunk)
        return b"".join(parts)


def _typed(error: aiohttp.ClientError) -> Failure:
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, aiohttp.ServerTimeoutError):
        return Transient("timeout", message)
    if isinstance(error, aiohttp.ClientSSLError):
        return Failure("tls_error", message)
    if isinstance(error, aiohttp.ClientPayloadError):
        return Transient("truncated_body", message) if _ended_early(error) else Failure("bad_response", message)
    if isinstance(error, aiohttp.ClientConnectionError):
        return Transient("connection_error", message)
    if isinstance(error, aiohttp.InvalidURL):
        return Failure("invalid_address", message)
    return Failure("bad_response", message)


def _ended_early(error: Any) -> bool:
    """Whether a body ended before its announced length or its last chunk; broken chunks are another matter."""
    causes = " ".join(f"{type(e).__name__} {e}" for e in (error, error.__cause__, error.__context__) if e)
    return "Not enough data" in causes or "ContentLengthError" in causes or "not completed" in causes
