"""Maven's ordinary settings, for the one thing that is fetched from a Maven repository: mirror, credentials, proxies."""

from __future__ import annotations

import fnmatch
import os
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from bannermap.launcher.problem import Problem

CENTRAL = ("*", "central", "external:*")


@dataclass(frozen=True)
class MavenSettings:
    """What ``~/.m2/settings.xml`` says that matters here.

    Attributes:
        mirror: address that stands in for the central repository, or null.
        user: for the mirror, or null.
        password: for the mirror, or null.
        proxies: scheme of the fetched address -> proxy's address, with its credentials.
        no_proxy: hosts that are reached without a proxy; ``*`` stands for any text.
    """

    mirror: str | None = None
    user: str | None = None
    password: str | None = None
    proxies: dict[str, str] = field(default_factory=dict)
    no_proxy: tuple[str, ...] = ()

    def bypasses_proxy(self, host: str) -> bool:
        """Whether a host is reached without a proxy."""
        return any(fnmatch.fnmatch(host.lower(), pattern.lower()) for pattern in self.no_proxy)


def read_settings(path: Path) -> MavenSettings:
    """Mirror and proxies of a settings file; nothing where there is none.

    Raises:
        Problem: the file is not XML.
    """
    if not path.is_file():
        return MavenSettings()
    try:
        root = _without_namespaces(ET.parse(path).getroot())
    except ET.ParseError as error:
        raise Problem(f"{path} is not XML: {error}. Mend it or move it away; Maven refuses it too.") from None
    proxies = [p for p in root.iterfind("proxies/proxy") if (_text(p, "active") or "true") == "true"]
    addresses = {_text(p, "protocol") or "http": _proxy_address(p) for p in reversed(proxies)}
    both = {scheme: addresses.get(scheme) or next(iter(addresses.values())) for scheme in ("http", "https") if addresses}
    skipped = tuple(h for p in proxies for h in (_text(p, "nonProxyHosts") or "").replace(",", "|").split("|") if h)
    mirror = next((m for m in root.iterfind("mirrors/mirror") if _covers_central(_text(m, "mirrorOf") or "")), None)
    if mirror is None:
        return MavenSettings(proxies=both, no_proxy=skipped)
    server = next((s for s in root.iterfind("servers/server") if _text(s, "id") == _text(mirror, "id")), None)
    user, password = (_text(server, name) if server is not None else None for name in ("username", "password"))
    return MavenSettings((_text(mirror, "url") or "").rstrip("/"), user, password, both, skipped)


def _text(element: ET.Element, name: str) -> str | None:
    """Text of a child with ``${env.NAME}`` filled in, as Maven does; null where it is empty."""
    text = (element.findtext(name) or "").strip()
    return re.sub(r"\$\{env\.(\w+)\}", lambda found: os.environ.get(found[1], found[0]), text) or None


def _proxy_address(proxy: ET.Element) -> str:
    user, password = (quote(_text(proxy, name) or "", safe="") for name in ("username", "password"))
    return f"http://{f'{user}:{password}@' if user else ''}{_text(proxy, 'host')}:{_text(proxy, 'port') or 8080}"


def _covers_central(mirror_of: str) -> bool:
    names = [n.strip() for n in mirror_of.split(",")]
    return any(n in CENTRAL for n in names) and "!central" not in names


def _without_namespaces(root: ET.Element) -> ET.Element:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root
