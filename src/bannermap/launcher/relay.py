"""A Maven repository on loopback that stands before the real one.

Ivy can log in only where the realm is known beforehand, knows no proxy that wants a password, and gives up on a jar whose
POM alone lies in the local repository. So it asks here, and Python fetches: from ``~/.m2/repository``, else from the
mirror or the central repository.
"""

from __future__ import annotations

import base64
import http.server
import secrets
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from bannermap.launcher.maven import MavenSettings

ATTEMPTS = 3
TIMEOUT_S = 60.0
CHECKSUMS = (".sha1", ".md5", ".sha256", ".sha512", ".asc")


@dataclass
class Repository:
    """Files of a Maven repository by their path.

    Attributes:
        address: of the remote repository.
        settings: of Maven.
        local: ``~/.m2/repository``.
        cache: folder for what was fetched.
        trouble: why files could not be fetched; a file that does not exist is no trouble.
    """

    address: str
    settings: MavenSettings
    local: Path
    cache: Path
    trouble: list[str] = field(default_factory=list)

    def file(self, path: str) -> Path | None:
        """The file, fetched if need be, or null.

        Args:
            path: relative, with slashes.
        """
        if ".." in PurePosixPath(path).parts:
            return None
        for folder in (self.local, self.cache):
            if (folder / path).is_file():
                return folder / path
        described = path.removesuffix(PurePosixPath(path).suffix)
        if path.endswith(CHECKSUMS) and (self.local / described).is_file():
            return None
        return None if self._unreachable() else self._fetched(path)

    def _unreachable(self) -> bool:
        # Hundreds of files would each wait for the timeout.
        return len(self.trouble) >= ATTEMPTS

    def _fetched(self, path: str) -> Path | None:
        target = self.cache / path
        target.parent.mkdir(parents=True, exist_ok=True)
        request = urllib.request.Request(f"{self.address.rstrip('/')}/{path}")
        if self.settings.user:
            login = base64.b64encode(f"{self.settings.user}:{self.settings.password or ''}".encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {login}")  # a redirect leads to another owner's host
        for _ in range(ATTEMPTS):
            try:
                with self._opener().open(request, timeout=TIMEOUT_S) as answer, target.open("wb") as file:
                    shutil.copyfileobj(answer, file)
                return target
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return None
                self.trouble.append(f"{request.full_url} answers {error.code} {error.reason}")
            except OSError as error:
                self.trouble.append(f"{request.full_url}: {getattr(error, 'reason', error)}")
            target.unlink(missing_ok=True)
        return None

    def _opener(self) -> urllib.request.OpenerDirector:
        direct = self.settings.bypasses_proxy(urlsplit(self.address).hostname or "")
        # None: the variables HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
        proxies = {} if direct else self.settings.proxies or None
        return urllib.request.build_opener(urllib.request.ProxyHandler(proxies))


@contextmanager
def serving(repository: Repository) -> Iterator[str]:
    """Serve a repository on loopback; the address has a secret, since it passes the mirror's credentials on."""
    secret = secrets.token_hex(16)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            head, _, rest = unquote(urlsplit(path).path).lstrip("/").partition("/")
            found = repository.file(rest) if head == secret and rest else None
            return str(found or repository.cache / "absent")

        def log_message(self, format: str, *args: object) -> None:
            """Ivy's questions are of no interest."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{secret}/"
        finally:
            server.shutdown()
