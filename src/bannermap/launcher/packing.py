"""The environment as one archive that Spark hands to every executor: pinned packages, the wheel of this checkout, conf.

Made from `.venv` without fetching anything: its packages are linked into an environment of their own, the wheel takes the place
of the editable install, and venv-pack makes the archive. `.venv-packed` keeps one for each state of pins and sources.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from bannermap.launcher.environment import alone, pins_digest, say
from bannermap.launcher.problem import Problem

ARCHIVE_NAME = "environment"
"""What executors see the unpacked archive as, in their working folder."""
PYTHON_THERE = f"./{ARCHIVE_NAME}/bin/python"
SOURCES = ("src", "pyproject.toml", "README.md", "LICENSE")
LEFT_OUT = (
    "__editable__*",  # the checkout, in place of which the wheel comes
    "bannermap-*.dist-info",
    "__pycache__",  # 600 MB, and of use only at the path where it was made
)
KEPT_S = 7 * 86400.0
SPARK_JARS = "pyspark/jars"
"""Left out too: who unpacks the archive has a Spark already."""


def packed_path(home: Path) -> Path:
    """The archive of the present pins and sources, there or not."""
    digest = hashlib.sha256(pins_digest(home).encode())
    for path in _source_files(home):
        digest.update(f"\n{path.relative_to(home)}\n".encode() + path.read_bytes())
    return home / ".venv-packed" / f"bannermap-{digest.hexdigest()[:16]}.tar.gz"


def ensure_packed(home: Path, python: Path) -> Path:
    """The archive, made if it is not there; others that no job was started with for some days are removed.

    Args:
        home: the repository.
        python: of its environment, with venv-pack and setuptools.

    Raises:
        Problem: it could not be made.
    """
    with alone(home):
        target = packed_path(home)
        if not target.exists():
            say(f"packing the environment for executors into {target} (minutes, once; again when pins or sources change)")
            target.parent.mkdir(exist_ok=True)
            pack(home, python.parent.parent, python, target)
        target.touch()
        _remove_unused(target.parent)
    return target


def pack(home: Path, environment: Path, python: Path, target: Path) -> None:
    """Make an archive of an environment and the checkout's wheel.

    Args:
        home: the repository.
        environment: a virtual environment with all packages.
        python: with pip, setuptools and venv-pack.
        target: the archive; there only when it is whole. On the disk of the environment it is made without a copy of it.

    Raises:
        Problem: a tool failed; the text has the end of what it said.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        staged = Path(scratch) / ARCHIVE_NAME
        _call([str(python), "-m", "venv", "--without-pip", str(staged)])
        packages = _site_packages(staged)
        _link_packages(_site_packages(environment), packages)
        install = ["install", "--no-deps", "--no-index", "--target", str(packages), "--upgrade"]
        _pip(python, *install, str(build_wheel(home, python, Path(scratch))))
        for part in ("jobs", "conf"):  # a driver in the cluster reads conf/base.yaml from here
            shutil.copytree(home / part, staged / part, ignore=shutil.ignore_patterns("__pycache__"))
        # Its temporary file is as large as the archive: not in /tmp, and moved by renaming.
        made = Path(scratch) / target.name
        line = ["-m", "venv_pack", "--prefix", str(staged), "--output", str(made), "--compress-level", "1", "--quiet"]
        _call([str(python), *line], TMPDIR=scratch)
        made.rename(target)


def build_wheel(home: Path, python: Path, folder: Path) -> Path:
    """The wheel of a checkout, from a copy of its sources: what an older build left beside them must not come along.

    Args:
        home: the repository.
        python: with pip and setuptools.
        folder: where it goes.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for part in SOURCES:
            source, copy = home / part, Path(scratch) / part
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(source, copy)
        _pip(python, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), scratch)
    (wheel,) = folder.glob("bannermap-*.whl")
    return wheel


def _remove_unused(folder: Path) -> None:
    """A job that still runs hands its archive to executors that come late."""
    for archive in folder.glob("bannermap-*.tar.gz"):
        if time.time() - archive.stat().st_mtime > KEPT_S:
            archive.unlink()


def _link_packages(source: Path, target: Path) -> None:
    """Hard links: no second copy of seven gigabytes."""

    def left_out(folder: str, names: list[str]) -> Iterable[str]:
        jars = {"jars"} if Path(folder) / "jars" == source / SPARK_JARS else set()
        return jars | {name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OUT)}

    shutil.copytree(source, target, symlinks=True, ignore=left_out, copy_function=_linked, dirs_exist_ok=True)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that knows no links
        shutil.copy2(source, target)


def _site_packages(environment: Path) -> Path:
    return next((environment / "lib").glob("python*/site-packages"))


def _source_files(home: Path) -> list[Path]:
    folders = [home / part for part in ("src", "jobs", "conf")]
    files = (p for folder in folders for p in folder.rglob("*") if p.is_file())
    return sorted(p for p in files if not any(part == "__pycache__" or part.endswith(".egg-info") for part in p.parts))


def _pip(python: Path, *words: str) -> None:
    _call([str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", *words])


def _call(line: list[str], **variables: str) -> None:
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **variables})
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise Problem(f"The environment could not be packed; {' '.join(line[1:4])} ended with {done.returncode}:\n{tail}")
