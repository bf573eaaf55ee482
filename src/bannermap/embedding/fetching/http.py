"""Fetching over HTTP(S) from hosts that may be hostile.

A name is resolved once, its address is checked, and the connection goes to the address that was checked, so that a second
answer of the name server cannot lead elsewhere. Redirects are followed by hand and checked the same way. Every wait is cut to
what is left of the one deadline.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import socket
import threading
import time
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3

from bannermap.embedding.statuses import Failure
from bannermap.platform.settings import FetchSettings

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
FIRST_BACKOFF_S = 0.25
CHUNK_BYTES = 65536
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: these lead to the IPv4 address in their last 32 bits, which may be a private one."""


class _Transient(Failure):
    """A failure that another attempt may mend, and how long the server asked to wait."""

    def __init__(self, status: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(status, message)
        self.retry_after_s = retry_after_s


def fetch_http(url: str, settings: FetchSettings, deadline: float) -> bytes:
    """The body of a URL.

    Args:
        url: http or https.
        settings: limits.
        deadline: `time.monotonic` value at which everything ends.

    Raises:
        Failure: typed; transient ones only after the last attempt.
    """
    for attempt in range(settings.attempts):
        try:
            return _follow(url, settings, deadline)
        except _Transient as failure:
            wait = max(failure.retry_after_s, FIRST_BACKOFF_S * 2**attempt * (0.5 + _jitter(url, attempt)))
            if attempt + 1 == settings.attempts or time.monotonic() + wait >= deadline:
                raise Failure(failure.status, failure.message) from None
            time.sleep(wait)
    raise Failure("connection_error", "no attempt was made")


def checked_address(host: str, port: int, allow_private: bool) -> str:
    """The address to connect to; every address of the name has to be a public one.

    Raises:
        Failure: the name does not resolve, or leads to a private, loopback, link-local, reserved or multicast address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _Transient("connection_error", f"{host} does not resolve: {error}") from None
    addresses = [str(entry[4][0]).split("%")[0] for entry in found]
    if not allow_private:
        for address in addresses:
            _refuse_private(host, ipaddress.ip_address(address))
    return addresses[0]


def _refuse_private(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    inner = _embedded(address)
    if not address.is_global or not inner.is_global or address.is_multicast or inner.is_multicast:
        raise Failure("forbidden_address", f"{host} leads to {address}, which is not public; see fetch.allow_private_addresses")


def _embedded(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address inside a mapped, 6to4 or NAT64 one, where packets would end up; else the address itself."""
    if isinstance(address, ipaddress.IPv6Address) and address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address


def _follow(url: str, settings: FetchSettings, deadline: float) -> bytes:
    for _ in range(settings.max_redirects + 1):
        parts = urlsplit(url)
        if parts.scheme not in settings.schemes or parts.scheme not in ("http", "https"):
            raise Failure("unsupported_scheme", f"a redirect leads to {parts.scheme}")
        if not parts.hostname:
            raise Failure("invalid_address", f"{url} names no host")
        answer = _request(parts, settings, deadline)
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise Failure("too_many_redirects", f"more than {settings.max_redirects}")


def _request(parts: SplitResult, settings: FetchSettings, deadline: float) -> bytes | str:
    """The body, or the address that a redirect names."""
    pool = _pool(parts, settings, deadline)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": settings.user_agent}
    try:
        response = pool.urlopen(
            "GET", target, headers=headers, redirect=False, retries=False, preload_content=False, decode_content=False
        )
        try:
            return _answer(response, settings, deadline)
        finally:
            response.close()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        status = "timeout" if _left(deadline) <= 0 or isinstance(error, urllib3.exceptions.TimeoutError) else "connection_error"
        raise _Transient(status, f"{type(error).__name__}: {error}") from None
    finally:
        pool.close()


def _pool(parts: SplitResult, settings: FetchSettings, deadline: float) -> urllib3.HTTPConnectionPool:
    """A connection to the checked address that names the host it was asked for, in TLS too."""
    host, secure = str(parts.hostname), parts.scheme == "https"
    try:
        port = parts.port or (443 if secure else 80)
    except ValueError as error:
        raise Failure("invalid_address", str(error)) from None
    address = checked_address(host, port, settings.allow_private_addresses)
    left = _left(deadline)
    if left <= 0:
        raise Failure("timeout", f"the deadline of {settings.fetch_deadline_s} s passed")
    timeout = urllib3.Timeout(connect=min(settings.connect_timeout_s, left), read=left)
    pool = urllib3.HTTPConnectionPool(address, port, timeout=timeout)
    if secure:
        names: dict[str, Any] = {"server_hostname": host, "assert_hostname": host, "cert_reqs": "CERT_REQUIRED"}
        pool = urllib3.HTTPSConnectionPool(address, port, timeout=timeout, **names)
    pool.ConnectionCls = _ending_at(deadline, pool.ConnectionCls)
    return pool


def _ending_at(deadline: float, connection: Any) -> Any:
    """A connection class whose socket is shut at the deadline: a server that sends a byte now and then, in its header or its
    body, never lets a read time out."""

    class EndingConnection(connection):
        def connect(self) -> None:
            super().connect()
            self.watchdog = threading.Timer(max(_left(deadline), 0.0), _shut, [self.sock])
            self.watchdog.daemon = True
            self.watchdog.start()

        def close(self) -> None:
            if hasattr(self, "watchdog"):
                self.watchdog.cancel()
            super().close()

    return EndingConnection


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side may have been faster
        sock.shutdown(socket.SHUT_RDWR)


def _answer(response: urllib3.BaseHTTPResponse, settings: FetchSettings, deadline: float) -> bytes | str:
    if response.status in REDIRECTS and response.headers.get("Location"):
        return str(response.headers["Location"])
    if response.status in RETRIED_STATUSES:
        raise _Transient("http_error", f"status {response.status}", _retry_after(response.headers.get("Retry-After")))
    if response.status in (404, 410):
        raise Failure("not_found", f"status {response.status}")
    if response.status != 200:
        raise Failure("http_error", f"status {response.status}")
    return _body(response, settings, deadline)


def _body(response: urllib3.BaseHTTPResponse, settings: FetchSettings, deadline: float) -> bytes:
    parts, size, chunk = [], 0, b"-"
    while chunk:
        chunk = response.read1(CHUNK_BYTES) if hasattr(response, "read1") else response.read(CHUNK_BYTES)
        # Also after the last chunk: a body without a length ends where its socket was shut, and would pass for whole.
        if _left(deadline) <= 0:
            raise Failure("timeout", f"the deadline of {settings.fetch_deadline_s} s passed after {size} bytes")
        size += len(chunk)
        if size > settings.max_bytes:
            raise Failure("too_large", f"more than {settings.max_bytes} bytes")
        parts.append(chunk)
    return b"".join(parts)


def _left(deadline: float) -> float:
    return deadline - time.monotonic()


def _retry_after(value: str | None) -> float:
    """Seconds of a Retry-After header; a date or nonsense counts as none."""
    return float(value) if value and value.isdigit() else 0.0


def _jitter(url: str, attempt: int) -> float:
    """A share of 0 to 1 that spreads retries of many addresses and is the same on every run."""
    return hashlib.sha256(f"{attempt}{url}".encode()).digest()[0] / 255
