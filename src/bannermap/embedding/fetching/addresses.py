"""Which addresses may be asked: spellings brought to one form, and networks that are nobody's web server.

Nothing here resolves or connects; `connecting` applies it to what a name server answered and to each socket.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import idna

from bannermap.embedding.statuses import Failure

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(n)
    for n in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
    )
)
"""IANA's special-purpose registry, multicast and the reserved rest; written out, since Python's list grew between versions."""
GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
NOT_PUBLIC_V6 = tuple(ipaddress.IPv6Network(n) for n in ("2001::/23", "2001:db8::/32", "3fff::/20"))
"""Inside the global unicast range: Teredo, benchmarking and other protocols' own, and documentation."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: these lead to the IPv4 address in their last 32 bits, which may be a private one."""
OPAQUE = frozenset({"about", "blob", "cid", "data", "file", "ftp", "http", "https", "javascript", "mailto", "s3"})
"""Schemes that an address may name without ``//``; any other word before a colon is taken for a part of a file's name."""
PLAIN = re.compile(r"[A-Za-z0-9/._~%=&?-]*")
UNQUOTED = "%/:=&?~#+!$,;'@()*[]|"


@dataclass(frozen=True)
class AddressPolicy:
    """Which IP addresses a connection may go to.

    Attributes:
        allow_private: everything may be reached.
        allowed_networks: networks that may be reached though they are not public.
    """

    allow_private: bool = False
    allowed_networks: tuple[IPNetwork, ...] = ()

    @classmethod
    def of(cls, allow_private: bool, networks: Sequence[str]) -> AddressPolicy:
        """From settings; networks are in CIDR notation."""
        return cls(allow_private, tuple(ipaddress.ip_network(n) for n in networks))

    def allows(self, address: IPAddress) -> bool:
        """Whether a connection may go there."""
        reached = effective(address)
        return self.allow_private or is_public(address) or any(reached in network for network in self.allowed_networks)

    def check(self, host: str, address: str) -> None:
        """Refuse an address that a host's name leads to.

        Raises:
            Failure: ``forbidden_address``.
        """
        if not self.allows(ipaddress.ip_address(address.partition("%")[0])):
            raise Failure("forbidden_address", f"{host} leads to {address}, which is not public; see fetch.allowed_networks")


@dataclass(frozen=True)
class WebAddress:
    """An http(s) address in one form.

    Attributes:
        scheme: http or https.
        host: a name in ASCII without trailing dot, or an IP address in its canonical form, IPv6 without brackets.
        port: 1 to 65535.
        target: path and query, percent-encoded; escapes that are there stay as they are, since signatures may cover them.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def url(self) -> str:
        """The address as text, without user information and fragment."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.scheme == "https" else 80)
        return f"{self.scheme}://{host}{'' if usual else f':{self.port}'}{self.target}"


def effective(address: IPAddress) -> IPAddress:
    """Where packets end up: the IPv4 address inside a mapped, compatible, 6to4 or NAT64 one, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64 or int(address) >> 32 == 0:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the public internet, single host, by IANA's registries."""
    reached = effective(address)
    if isinstance(reached, ipaddress.IPv4Address):
        return not any(reached in network for network in NOT_PUBLIC_V4)
    return reached in GLOBAL_V6 and not any(reached in network for network in NOT_PUBLIC_V6)


def scheme_of(address: str) -> str:
    """Scheme of an address, lower case; ``file`` for a plain path."""
    name, colon, rest = address.strip().partition(":")
    return name.lower() if colon and (rest.startswith("//") or name.lower() in OPAQUE) else "file"


def web_address(address: str) -> WebAddress:
    """Bring an http(s) address to one form.

    Raises:
        Failure: ``invalid_address``: no host, user information, or a host, port or spelling that means nothing.
    """
    try:
        parts = urlsplit(address.strip())
        port, host, target = parts.port, parts.hostname, _target(parts)
    except ValueError as error:  # also of characters that are none
        raise Failure("invalid_address", str(error)) from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise Failure("invalid_address", f"{address} names no host, or no port that can be")
    if "@" in parts.netloc:
        raise Failure("invalid_address", "it holds a user name; credentials do not belong into a banner's address")
    return WebAddress(parts.scheme, canonical_host(host), port or (443 if parts.scheme == "https" else 80), target)


def redirected(base: WebAddress, location: str, schemes: Collection[str]) -> WebAddress:
    """Where a redirect leads, relative ones resolved.

    Args:
        base: what was asked.
        location: what it answered.
        schemes: that may be fetched; of these, a redirect may lead to http and https only.

    Raises:
        Failure: ``unsupported_scheme`` or ``invalid_address``.
    """
    try:
        target = urljoin(base.url, location.strip())
        scheme = urlsplit(target).scheme
    except ValueError as error:
        raise Failure("invalid_address", f"a redirect leads to {location}: {error}") from None
    allowed = [name for name in ("http", "https") if name in schemes]
    if scheme not in allowed:
        raise Failure("unsupported_scheme", f"a redirect leads to {scheme}, which is not among {', '.join(allowed)}")
    return web_address(target)


@lru_cache(maxsize=4096)
def canonical_host(host: str) -> str:
    """A host in one form: international names in ASCII, numbers in any base as four decimals, IPv6 in its short form.

    Raises:
        Failure: ``invalid_address``, or ``forbidden_address`` for a zone, which names a link of this machine.
    """
    if "%" in host:
        raise Failure("forbidden_address", f"{host} names a zone or is percent-encoded")
    if ":" in host:
        return _canonical_v6(host)
    name = host if host.isascii() else _ascii_name(host)
    name = name.removesuffix(".").lower()
    if _is_number(name):
        return _canonical_v4(name)
    if not re.fullmatch(r"[a-z0-9_.-]{1,253}", name) or ".." in name or name.startswith("."):
        raise Failure("invalid_address", f"{host} is no host name")
    return name


def _ascii_name(host: str) -> str:
    try:
        return idna.encode(host, uts46=True).decode()
    except (idna.IDNAError, UnicodeError) as error:
        # Full-width digits and dots spell an IP address, which is not a domain name but still means one.
        mapped = _mapped(host)
        if mapped and _is_number(mapped.removesuffix(".")):
            return mapped
        raise Failure("invalid_address", f"{host}: {error}") from None


def _mapped(host: str) -> str | None:
    try:
        mapped = idna.uts46_remap(host)
    except (idna.IDNAError, UnicodeError):
        return None
    mapped = mapped.replace("\u3002", ".")
    return mapped if mapped.isascii() else None


def _is_number(name: str) -> bool:
    """Whether a host's last label is a number, which no top-level domain is: then the whole is an IPv4 address, or nothing."""
    last = name.rpartition(".")[2]
    return bool(re.fullmatch(r"\d+|0x[0-9a-f]*", last))


def _canonical_v4(name: str) -> str:
    try:
        return str(ipaddress.IPv4Address(socket.inet_aton(name)))
    except (OSError, ValueError):
        raise Failure("invalid_address", f"{name} is no IPv4 address") from None


def _canonical_v6(host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError as error:
        raise Failure("invalid_address", str(error)) from None


def _target(parts: SplitResult) -> str:
    return _quoted(parts.path or "/") + (f"?{_quoted(parts.query)}" if parts.query else "")


def _quoted(text: str) -> str:
    return text if PLAIN.fullmatch(text) else quote(text, safe=UNQUOTED)
