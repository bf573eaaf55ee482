"""The Delta jars that the installed versions need, fetched once by the Ivy that Spark brings, into ``.venv/jars``."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bannermap.launcher.maven import ivy_settings, proxy_properties_of_environment, read_settings
from bannermap.launcher.problem import Problem

SCALA = "2.13"


def jar_folder(home: Path) -> Path:
    """Where the jars lie."""
    return home / ".venv/jars"


def ensure_jars(home: Path, python: Path) -> None:
    """Fetch the jars if they are not there.

    Args:
        home: the repository.
        python: of the environment, which knows the versions.

    Raises:
        Problem: they could not be fetched.
    """
    target = jar_folder(home)
    if target.is_dir():
        return
    spark_jars, coordinates = installed_versions(python)
    print(f"[bannermap] fetching {':'.join(coordinates)}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        _resolve(spark_jars, coordinates, Path(scratch))
        remove_known(Path(scratch) / "jars", spark_jars)
        shutil.copytree(Path(scratch) / "jars", target.with_suffix(".new"), dirs_exist_ok=True)
    target.with_suffix(".new").rename(target)


def installed_versions(python: Path) -> tuple[Path, tuple[str, str, str]]:
    """Spark's jar folder and the coordinates of the Delta jar that fits the installed pyspark and delta-spark."""
    ask = "import importlib.metadata as m, pyspark; print(pyspark.__path__[0], m.version('pyspark'), m.version('delta-spark'))"
    place, spark, delta = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True).stdout.split()
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


def _resolve(spark_jars: Path, coordinates: tuple[str, str, str], scratch: Path) -> None:
    maven = read_settings(Path.home() / ".m2/settings.xml")
    (scratch / "ivysettings.xml").write_text(ivy_settings(maven, Path.home() / ".m2/repository"))
    properties = {**proxy_properties_of_environment(), **maven.proxies}
    java = ["java", *(f"-D{name}={value}" for name, value in properties.items()), "-cp", f"{spark_jars}/*", "org.apache.ivy.Main"]
    options = ["-settings", str(scratch / "ivysettings.xml"), "-cache", str(scratch / "cache"), "-confs", "default"]
    retrieve = ["-types", "jar", "-retrieve", f"{scratch}/jars/[artifact]-[revision].[ext]"]
    done = subprocess.run([*java, *options, "-dependency", *coordinates, *retrieve], capture_output=True, text=True)
    if done.returncode or not (scratch / "jars").is_dir():
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-12:])
        raise Problem(
            f"{':'.join(coordinates)} could not be fetched. Ivy's last lines:\n{tail}\n"
            "Check the network, or the mirror and proxy of ~/.m2/settings.xml."
        )
