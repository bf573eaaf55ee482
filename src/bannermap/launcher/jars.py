"""The Delta jars that the installed versions need, resolved once by the Ivy that Spark brings, into ``.venv/jars``."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from bannermap.launcher.maven import read_settings
from bannermap.launcher.problem import Problem
from bannermap.launcher.relay import Repository, serving

SCALA = "2.13"
IVY_SETTINGS = """<ivysettings>
  <settings defaultResolver="relay"/>
  <resolvers><ibiblio name="relay" m2compatible="true" root="{root}"/></resolvers>
</ivysettings>
"""


def jar_folder(home: Path) -> Path:
    """Where the jars lie."""
    return home / ".venv/jars"


def ensure_jars(home: Path, python: Path, java: Path) -> None:
    """Fetch the jars if they are not there.

    Args:
        home: the repository.
        python: of the environment, which knows the versions.
        java: to run Ivy.

    Raises:
        Problem: they could not be fetched.
    """
    target = jar_folder(home)
    if target.is_dir():
        return
    spark_jars, coordinates = installed_versions(python)
    print(f"[bannermap] fetching {':'.join(coordinates)}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        found = resolve(java, spark_jars, coordinates, Path(scratch))
        remove_known(found, spark_jars)
        shutil.copytree(found, target.with_suffix(".new"), dirs_exist_ok=True)
    target.with_suffix(".new").rename(target)


def fetch_once(target: Path, fetch: Callable[[Path], Path]) -> None:
    """Put a folder of jars into its place, whole or not at all.

    Args:
        target: the place; beside it is room to fetch.
        fetch: an empty folder -> the folder with the jars, below it.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        found = fetch(Path(scratch))
        with contextlib.suppress(OSError):  # another process was faster: both are the same
            found.rename(target)


def installed_versions(python: Path) -> tuple[Path, tuple[str, str, str]]:
    """Spark's jar folder and the coordinates of the Delta jar that fits the installed pyspark and delta-spark."""
    ask = "import importlib.metadata as m, pyspark; print(m.version('pyspark'), m.version('delta-spark'), pyspark.__path__[0])"
    printed = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True).stdout
    spark, delta, place = printed.strip().split(" ", 2)
    return Path(place) / "jars", delta_coordinates(spark, delta)


def delta_coordinates(spark_version: str, delta_version: str) -> tuple[str, str, str]:
    """Organisation, name and version; the name carries Spark's minor version."""
    minor = ".".join(spark_version.split(".")[:2])
    return "io.delta", f"delta-spark_{minor}_{SCALA}", delta_version


def remove_known(folder: Path, spark_jars: Path) -> None:
    """Drop jars of which Spark has its own version: two of one library on a class path are one too many."""
    known = {artifact_name(p) for p in spark_jars.glob("*.jar")}
    for jar in folder.glob("*.jar"):
        if artifact_name(jar) in known:
            jar.unlink()


def artifact_name(jar: Path) -> str:
    """File name without version: ``delta-storage-4.4.0.jar`` -> ``delta-storage``."""
    return re.sub(r"-\d[\w.\-]*$", "", jar.stem)


def central_address(spark_jars: Path) -> str:
    """The central repository's address, as Ivy has it."""
    with zipfile.ZipFile(next(spark_jars.glob("ivy-*.jar"))) as ivy:
        constants = ivy.read("org/apache/ivy/plugins/resolver/IBiblioResolver.class")
    return re.findall(rb"https://[\w./-]+/maven2/", constants)[0].decode()


def resolve(java: Path, spark_jars: Path, coordinates: tuple[str, str, str], scratch: Path) -> Path:
    """A folder with a jar and all that it needs.

    Args:
        java: to run Ivy.
        spark_jars: Spark's jar folder, which has Ivy.
        coordinates: organisation, name, version.
        scratch: an empty folder.

    Raises:
        Problem: something could not be fetched; the text says why.
    """
    return _retrieved(java, spark_jars, ["-dependency", *coordinates], ":".join(coordinates), scratch)


def resolve_module(java: Path, spark_jars: Path, module: str, title: str, scratch: Path) -> Path:
    """`resolve` for what one jar's coordinates cannot say: several jars, some without what they name.

    Args:
        java: as of `resolve`.
        spark_jars: as of `resolve`.
        module: text of an Ivy file.
        title: what it is, for messages.
        scratch: an empty folder.
    """
    (scratch / "ivy.xml").write_text(module)
    return _retrieved(java, spark_jars, ["-ivy", str(scratch / "ivy.xml")], title, scratch)


def _retrieved(java: Path, spark_jars: Path, wanted: list[str], title: str, scratch: Path) -> Path:
    maven = Path.home() / ".m2"
    settings = read_settings(maven / "settings.xml")
    address = settings.mirror or central_address(spark_jars)
    repository = Repository(address, settings, maven / "repository", scratch / "fetched")
    with serving(repository) as root:
        (scratch / "ivysettings.xml").write_text(IVY_SETTINGS.format(root=root))
        options = ["-settings", str(scratch / "ivysettings.xml"), "-cache", str(scratch / "cache"), "-confs", "default"]
        retrieve = ["-types", "jar", "-retrieve", f"{scratch}/jars/[artifact]-[revision].[ext]"]
        line = [str(java), "-cp", f"{spark_jars}/*", "org.apache.ivy.Main", *options, *wanted, *retrieve]
        done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode or not (scratch / "jars").is_dir():
        lines = repository.trouble[-1:] or (done.stdout + done.stderr).splitlines()[-12:]
        raise Problem(
            f"{title} could not be fetched:\n" + "\n".join(lines) + "\n"
            "Check the network, the proxy, or the mirror and its login in ~/.m2/settings.xml."
        )
    return scratch / "jars"
