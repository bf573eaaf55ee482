"""Maven's ordinary settings, for the one thing that is fetched from a Maven repository: mirrors, credentials, proxies."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

CENTRAL = ("*", "central", "external:*")
MAVEN_PATTERN = "[organisation]/[module]/[revision]/[artifact]-[revision](-[classifier]).[ext]"


@dataclass(frozen=True)
class MavenSettings:
    """What ``~/.m2/settings.xml`` says that matters here.

    Attributes:
        mirror: address that stands in for the central repository, or null.
        user: for the mirror, or null.
        password: for the mirror, or null.
        proxies: Java system properties.
    """

    mirror: str | None = None
    user: str | None = None
    password: str | None = None
    proxies: dict[str, str] = field(default_factory=dict)


def read_settings(path: Path) -> MavenSettings:
    """Mirror and proxies of a settings file; nothing where there is none."""
    if not path.is_file():
        return MavenSettings()
    root = _without_namespaces(ET.parse(path).getroot())
    mirror = next((m for m in root.iterfind("mirrors/mirror") if _covers_central(m.findtext("mirrorOf", ""))), None)
    proxies: dict[str, str] = {}
    for proxy in root.iterfind("proxies/proxy"):
        if proxy.findtext("active", "true").strip() == "true":
            proxies |= _proxy_properties(proxy)
    if mirror is None:
        return MavenSettings(proxies=proxies)
    servers = {s.findtext("id", "").strip(): s for s in root.iterfind("servers/server")}
    server = servers.get(mirror.findtext("id", "").strip())
    user, password = (server.findtext(n) if server is not None else None for n in ("username", "password"))
    return MavenSettings(mirror.findtext("url", "").strip().rstrip("/"), user, password, proxies)


def proxy_properties_of_environment(environment: dict[str, str] | None = None) -> dict[str, str]:
    """Java system properties for HTTP_PROXY, HTTPS_PROXY and NO_PROXY, which Java does not read by itself."""
    variables = {k.lower(): v for k, v in (environment if environment is not None else dict(os.environ)).items()}
    found: dict[str, str] = {}
    for scheme in ("http", "https"):
        parts = urlsplit(variables.get(f"{scheme}_proxy", ""))
        if parts.hostname:
            found[f"{scheme}.proxyHost"] = parts.hostname
            found[f"{scheme}.proxyPort"] = str(parts.port or 80)
    if found and variables.get("no_proxy"):
        hosts = [h.strip() for h in variables["no_proxy"].split(",") if h.strip()]
        found["http.nonProxyHosts"] = "|".join("*" + h if h.startswith(".") else h for h in hosts)
    return found


def ivy_settings(settings: MavenSettings, local: Path) -> str:
    """Ivy's settings as XML: the local Maven repository first, then the mirror or the central repository.

    Args:
        settings: of Maven.
        local: ``~/.m2/repository``.
    """
    address = f" root={quoteattr(settings.mirror + '/')}" if settings.mirror else ""
    host = urlsplit(settings.mirror or "").hostname
    given = {"host": host, "username": settings.user, "passwd": settings.password}
    login = " ".join(f"{name}={quoteattr(value)}" for name, value in given.items() if value)
    credentials = f"<credentials {login}/>" if settings.user and host else ""
    return f"""<ivysettings>
  <settings defaultResolver="chain"/>
  {credentials}
  <resolvers>
    <chain name="chain" returnFirst="true">
      <filesystem name="local" m2compatible="true">
        <ivy pattern={quoteattr(f"{local}/{MAVEN_PATTERN}".replace("[ext]", "pom").replace("(-[classifier])", ""))}/>
        <artifact pattern={quoteattr(f"{local}/{MAVEN_PATTERN}")}/>
      </filesystem>
      <ibiblio name="remote" m2compatible="true"{address}/>
    </chain>
  </resolvers>
</ivysettings>
"""


def _proxy_properties(proxy: ET.Element) -> dict[str, str]:
    names = {"host": "proxyHost", "port": "proxyPort", "username": "proxyUser", "password": "proxyPassword"}
    values = {p: (proxy.findtext(n) or "").strip() for n, p in names.items()}
    found = {f"{scheme}.{p}": v for scheme in ("http", "https") for p, v in values.items() if v}
    skipped = (proxy.findtext("nonProxyHosts") or "").strip()
    return found | ({"http.nonProxyHosts": skipped} if skipped else {})


def _covers_central(mirror_of: str) -> bool:
    names = [n.strip() for n in mirror_of.split(",")]
    return any(n in CENTRAL for n in names) and "!central" not in names


def _without_namespaces(root: ET.Element) -> ET.Element:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root
