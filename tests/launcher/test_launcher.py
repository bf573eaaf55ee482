"""The launcher: what it would run, what it refuses, and how it reads Maven's settings."""

from __future__ import annotations

import http.server
import os
import shlex
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
import zipfile
from functools import partial
from pathlib import Path

import pyspark
import pytest
from conftest import ROOT

from bannermap.launcher import environment, jars, maven
from bannermap.launcher.command import parse
from bannermap.launcher.problem import Problem

LAUNCHER = str(ROOT / "spark-submit.sh")


def launch(*arguments, **variables) -> subprocess.CompletedProcess:
    environment = {**os.environ, "BANNERMAP_PYTHON": sys.executable, **variables}
    return subprocess.run([LAUNCHER, *arguments], capture_output=True, text=True, env=environment)


def test_alone_it_lists_every_job_with_a_line():
    done = launch()
    jobs = {p.stem for p in (ROOT / "jobs").glob("*.py")} | {"test"}
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert done.returncode == 0 and set(listed) == jobs


def test_options_go_to_whom_they_belong():
    given = ["--master", "local[3]", "cluster_banners", "--date", "2026-01-01", "--conf", "spark.a=b c", "--set", "x.y=1"]
    done = launch(*given, "--deploy-mode=client", "--properties-file", "p", "--print-command")
    line = shlex.split(done.stdout)
    at = line.index(str(ROOT / "jobs/cluster_banners.py"))
    assert line[at + 1 :] == ["--date", "2026-01-01", "--set", "x.y=1"]
    assert line[0].endswith("bin/spark-submit")
    for pair in (["--master", "local[3]"], ["--conf", "spark.a=b c"], ["--properties-file", "p"]):
        assert pair[1] == line[line.index(pair[0]) + 1]
    assert "--deploy-mode=client" in line[:at]
    assert "--driver-memory" not in line[:at]  # a properties file may say it


def test_jars_that_are_given_join_ours():
    line = shlex.split(launch("demo", "--jars", "mine.jar", "--print-command").stdout)
    assert line[line.index("--jars") + 1].endswith("mine.jar") and line.count("--jars") == 1


def test_mistakes_get_one_sentence():
    unknown = launch("cluster_banner", "--print-command")
    assert (unknown.returncode, "Did you mean 'cluster_banners'?" in unknown.stderr) == (2, True)
    with pytest.raises(Problem, match="needs a value"):
        parse(["--master"])


@pytest.mark.parametrize(
    ("text", "words"), [('openjdk version "11.0.2"', "is 11"), ('java version "1.8.0_292"', "is 8"), ("?", "unknown")]
)
def test_an_old_java_is_refused_with_the_mend(text, words, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").write_text(f"#!/bin/sh\necho '{text}' >&2\n")
    (tmp_path / "bin/java").chmod(0o755)
    done = launch("demo", JAVA_HOME=str(tmp_path))
    assert done.returncode == 2 and words in done.stderr and "openjdk-17" in done.stderr
    assert "was not found" in launch("demo", JAVA_HOME=str(tmp_path / "none")).stderr


def test_an_old_python_is_refused_with_the_mend(tmp_path):
    for name in ("python3.13", "python3.12", "python3.11", "python3", "python"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(["/bin/bash", LAUNCHER], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.returncode == 2 and "needs Python 3.11" in done.stderr and "BANNERMAP_PYTHON" in done.stderr


def test_the_environment_is_made_again_only_when_its_pins_change(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/constraints.txt").write_text("a==1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\nname='x'\n[tool.ruff]\nline-length = 1\n")
    first = environment.pins_digest(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname='x'\n[tool.ruff]\nline-length = 2\n")
    assert environment.pins_digest(tmp_path) == first
    (tmp_path / "conf/constraints.txt").write_text("a==2\n")
    assert environment.pins_digest(tmp_path) != first


def test_pins_hold_no_addresses_and_cover_what_is_declared():
    pins = (ROOT / "conf/constraints.txt").read_text().splitlines()
    assert all("==" in p and "://" not in p and "@" not in p for p in pins)
    names = {p.split("==")[0].lower().replace("_", "-") for p in pins}
    assert {"pyspark", "delta-spark", "torch", "transformers", "faiss-cpu", "pandas", "pyarrow", "boto3", "pymongo"} <= names


SETTINGS = """<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">
  <mirrors><mirror><id>other</id><mirrorOf>jcenter</mirrorOf><url>http://wrong</url></mirror>
  <mirror><id>ours</id><mirrorOf>central,apache</mirrorOf><url>{url}/</url></mirror></mirrors>
  <servers><server><id>ours</id><username>me</username><password>a&amp;"b</password></server></servers>
  <proxies><proxy><host>off</host><active>false</active></proxy>
  <proxy><active>true</active><host>proxy.example</host><port>3128</port><nonProxyHosts>localhost</nonProxyHosts></proxy></proxies>
</settings>"""


def test_mirror_credentials_and_proxy_of_maven_are_read(tmp_path):
    assert maven.read_settings(tmp_path / "none.xml") == maven.MavenSettings()
    (tmp_path / "settings.xml").write_text(SETTINGS.format(url="http://mirror.example/repo"))
    found = maven.read_settings(tmp_path / "settings.xml")
    assert (found.mirror, found.user, found.password) == ("http://mirror.example/repo", "me", 'a&"b')
    assert found.proxies["https.proxyHost"] == "proxy.example" and found.proxies["http.nonProxyHosts"] == "localhost"
    xml = ET.fromstring(maven.ivy_settings(found, tmp_path))
    assert xml.find(".//ibiblio").get("root") == "http://mirror.example/repo/"
    assert xml.find("credentials").attrib == {"host": "mirror.example", "username": "me", "passwd": 'a&"b'}


def test_proxy_variables_become_java_properties():
    variables = {"HTTPS_PROXY": "http://p.example:8080", "no_proxy": "localhost,.internal"}
    found = maven.proxy_properties_of_environment(variables)
    assert found == {"https.proxyHost": "p.example", "https.proxyPort": "8080", "http.nonProxyHosts": "localhost|*.internal"}
    assert maven.proxy_properties_of_environment({}) == {}


def test_coordinates_follow_the_installed_versions():
    assert jars.delta_coordinates("4.2.7", "4.4.0") == ("io.delta", "delta-spark_4.2_2.13", "4.4.0")
    assert jars.artifact_name(Path("delta-spark_4.2_2.13-4.4.0.jar")) == "delta-spark_4.2_2.13"
    assert jars.artifact_name(Path("slf4j-api-2.0.13.jar")) == "slf4j-api"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_jars_come_from_the_mirror_and_known_ones_are_dropped(tmp_path, monkeypatch):
    spark_jars = Path(pyspark.__path__[0]) / "jars"
    known = jars.artifact_name(next(spark_jars.glob("slf4j-api-*.jar")))
    for group, name, needs in (("a", "wanted", [("b", known), ("b", "extra")]), ("b", known, []), ("b", "extra", [])):
        publish(tmp_path / "repo", group, name, needs)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "repo"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / "home/.m2").mkdir(parents=True)
        url = f"http://127.0.0.1:{server.server_port}"
        mirror = f"<settings><mirrors><mirror><id>m</id><mirrorOf>*</mirrorOf><url>{url}</url></mirror></mirrors></settings>"
        (tmp_path / "home/.m2/settings.xml").write_text(mirror)
        (tmp_path / "scratch").mkdir()
        jars._resolve(spark_jars, ("a", "wanted", "1.0"), tmp_path / "scratch")
        server.shutdown()
    found = tmp_path / "scratch/jars"
    assert {p.name for p in found.iterdir()} == {"wanted-1.0.jar", f"{known}-1.0.jar", "extra-1.0.jar"}
    jars.remove_known(found, spark_jars)
    assert {p.name for p in found.iterdir()} == {"wanted-1.0.jar", "extra-1.0.jar"}


def publish(root: Path, group: str, name: str, needs: list[tuple[str, str]]) -> None:
    folder = root / group / name / "1.0"
    folder.mkdir(parents=True)
    entry = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>1.0</version></dependency>"
    wants = "".join(entry.format(*need) for need in needs)
    head = f"<modelVersion>4.0.0</modelVersion><groupId>{group}</groupId><artifactId>{name}</artifactId><version>1.0</version>"
    (folder / f"{name}-1.0.pom").write_text(f"<project>{head}<dependencies>{wants}</dependencies></project>")
    with zipfile.ZipFile(folder / f"{name}-1.0.jar", "w") as jar:
        jar.writestr("x", "y")
