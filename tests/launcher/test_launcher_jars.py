"""The jars: Maven's settings, and a real Ivy that gets them through mirrors, logins, proxies and a local repository."""

from __future__ import annotations

import base64
import http.server
import os
import shutil
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

import pyspark
import pytest

from bannermap.launcher import checks, jars, maven, server_jars
from bannermap.launcher.problem import Problem
from bannermap.launcher.relay import Repository, serving

SPARK_JARS = Path(pyspark.__path__[0]) / "jars"
USER, PASSWORD = "me", 'p$w&"d:x'
# The opener of `urlopen` keeps the proxies of its first use.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SETTINGS = """<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">
  <mirrors><mirror><id>other</id><mirrorOf>jcenter</mirrorOf><url>http://wrong</url></mirror>
  <mirror><id>not</id><mirrorOf>*,!central</mirrorOf><url>http://wrong</url></mirror>
  <mirror><id>ours</id><mirrorOf>central,apache</mirrorOf><url>http://mirror.example/repo/</url></mirror></mirrors>
  <servers><server><id>ours</id><username>me</username><password>${env.A_PASSWORD}</password></server></servers>
  <proxies><proxy><host>off</host><active>false</active></proxy>
  <proxy><protocol>https</protocol><host>p.example</host><port>3128</port><username>u@x</username><password>a/b</password>
  <nonProxyHosts>localhost|*.internal</nonProxyHosts></proxy></proxies>
</settings>"""


def test_mirror_login_and_proxy_of_maven_are_read(tmp_path, monkeypatch):
    assert maven.read_settings(tmp_path / "none.xml") == maven.MavenSettings()
    monkeypatch.setenv("A_PASSWORD", 'a&"b')
    (tmp_path / "settings.xml").write_text(SETTINGS)
    found = maven.read_settings(tmp_path / "settings.xml")
    assert (found.mirror, found.user, found.password) == ("http://mirror.example/repo", "me", 'a&"b')
    assert found.proxies == dict.fromkeys(("http", "https"), "http://u%40x:a%2Fb@p.example:3128")
    assert found.bypasses_proxy("Repo.internal") and not found.bypasses_proxy("mirror.example")
    (tmp_path / "settings.xml").write_text("<settings>")
    with pytest.raises(Problem, match="is not XML"):
        maven.read_settings(tmp_path / "settings.xml")


class Files(http.server.SimpleHTTPRequestHandler):
    """A folder, for those who know the login if one is wanted."""

    login: str | None = None

    def do_GET(self):
        if self.login and self.headers.get("Authorization") != self.login:
            self.send_error(401)
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


class Proxy(http.server.BaseHTTPRequestHandler):
    """A proxy that wants a login and leads every host to one server."""

    server_port: int

    def do_GET(self):
        if self.headers.get("Proxy-Authorization") != LOGIN:
            self.send_error(407)
            return
        try:
            with DIRECT.open(f"http://127.0.0.1:{self.server_port}{urlsplit(self.path).path}") as answer:
                self.send_response(200)
                self.end_headers()
                shutil.copyfileobj(answer, self.wfile)
        except urllib.error.HTTPError as error:
            self.send_error(error.code)

    def log_message(self, *_):
        pass


@contextmanager
def listening(handler):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@pytest.fixture
def remote(tmp_path) -> Path:
    """A Maven repository: ``wanted`` needs ``extra`` and a library that Spark has too."""
    known = jars.artifact_name(next(SPARK_JARS.glob("slf4j-api-*.jar")))
    for group, name, needs in (("a", "wanted", [("b", known), ("b", "extra")]), ("b", known, []), ("b", "extra", [])):
        publish(tmp_path / "remote", group, name, needs)
    return tmp_path / "remote"


@pytest.fixture
def maven_home(tmp_path, monkeypatch) -> Path:
    """The folder ``~/.m2`` of somebody without any proxy."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    (tmp_path / "home/.m2").mkdir(parents=True)
    return tmp_path / "home/.m2"


def use_mirror(maven_home: Path, url: str, servers: str = "") -> None:
    mirror = f"<mirror><id>m</id><mirrorOf>*</mirrorOf><url>{url}</url></mirror>"
    (maven_home / "settings.xml").write_text(f"<settings><mirrors>{mirror}</mirrors><servers>{servers}</servers></settings>")


def resolved(tmp_path: Path) -> set[str]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = jars.resolve(checks.check_java(), SPARK_JARS, ("a", "wanted", "1.0"), scratch)
    jars.remove_known(found, SPARK_JARS)
    return {p.name for p in found.iterdir()}


WANTED = {"wanted-1.0.jar", "extra-1.0.jar"}


@pytest.mark.slow
def test_jars_come_from_a_mirror_with_a_login(tmp_path, remote, maven_home):
    escaped = PASSWORD.replace("&", "&amp;")
    server = f"<server><id>m</id><username>{USER}</username><password>{escaped}</password></server>"
    with listening(partial(type("Closed", (Files,), {"login": LOGIN}), directory=str(remote))) as port:
        use_mirror(maven_home, f"http://127.0.0.1:{port}", server)
        assert resolved(tmp_path) == WANTED
        shutil.rmtree(tmp_path / "scratch")
        use_mirror(maven_home, f"http://127.0.0.1:{port}")
        with pytest.raises(Problem, match=r"answers 401(.|\n)*login in ~/.m2"):
            resolved(tmp_path)


@pytest.mark.slow
def test_jars_come_through_a_proxy_with_a_login(tmp_path, remote, maven_home, monkeypatch):
    use_mirror(maven_home, "http://repository.invalid")
    with (
        listening(partial(Files, directory=str(remote))) as port,
        listening(type("ToFiles", (Proxy,), {"server_port": port})) as proxy,
    ):
        monkeypatch.setenv("http_proxy", f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{proxy}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert resolved(tmp_path) == WANTED


@pytest.mark.slow
def test_the_local_repository_is_enough_without_a_network(tmp_path, remote, maven_home):
    use_mirror(maven_home, "http://127.0.0.1:9")
    shutil.copytree(remote, maven_home / "repository")
    assert resolved(tmp_path) == WANTED


@pytest.mark.slow
def test_a_local_repository_without_the_jars_does_no_harm(tmp_path, remote, maven_home):
    shutil.copytree(remote, maven_home / "repository", ignore=shutil.ignore_patterns("*.jar"))
    with listening(partial(Files, directory=str(remote))) as port:
        use_mirror(maven_home, f"http://127.0.0.1:{port}")
        assert resolved(tmp_path) == WANTED


def test_the_relay_serves_nothing_else(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "local").mkdir()
    (tmp_path / "local/file").write_text("y")
    repository = Repository("http://127.0.0.1:9", maven.MavenSettings(), tmp_path / "local", tmp_path / "cache")
    with serving(repository) as root:
        host = root.split("/")[2]
        assert DIRECT.open(f"{root}file").read() == b"y"
        for wrong in (
            f"http://{host}/file",
            f"http://{host}/x/file",
            f"{root}../secret",
            f"{root}%2e%2e/secret",
            f"{root}absent",
        ):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                DIRECT.open(wrong)


def test_the_central_repository_is_known_from_ivy():
    assert jars.central_address(SPARK_JARS).endswith("/maven2/")


def publish(root: Path, group: str, name: str, needs: list[tuple[str, str]]) -> None:
    folder = root / group / name / "1.0"
    folder.mkdir(parents=True)
    entry = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>1.0</version></dependency>"
    wants = "".join(entry.format(*need) for need in needs)
    head = f"<modelVersion>4.0.0</modelVersion><groupId>{group}</groupId><artifactId>{name}</artifactId><version>1.0</version>"
    (folder / f"{name}-1.0.pom").write_text(f"<project>{head}<dependencies>{wants}</dependencies></project>")
    with zipfile.ZipFile(folder / f"{name}-1.0.jar", "w") as jar:
        jar.writestr("x", "y")


def test_jars_of_test_servers_are_there_whole_or_not_at_all(tmp_path, monkeypatch):
    home, made = tmp_path / "home", []
    (home / ".venv").mkdir(parents=True)

    def resolve(java, spark_jars, coordinates, scratch):
        made.append(coordinates)
        (scratch / "jars").mkdir()
        (scratch / "jars/server.jar").write_bytes(b"x")
        if len(made) == 1:
            raise Problem("no network")
        return scratch / "jars"

    monkeypatch.setattr(server_jars, "resolve", resolve)
    with pytest.raises(Problem, match="no network"):
        server_jars.ensure_server_jars(home, Path(sys.executable), Path("java"))
    assert not list((home / ".venv").iterdir())
    for _ in range(2):
        found = server_jars.ensure_server_jars(home, Path(sys.executable), Path("java"))
    assert [p.name for p in found.iterdir()] == ["server.jar"] and made == [server_jars.MONGODB] * 2
    assert found != jars.jar_folder(home)  # whose jars go onto Spark's class path
