"""The environment in ``.venv``: pinned, made again only when the pins change, and whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bannermap.launcher.jars import ensure_jars
from bannermap.launcher.problem import Problem

STAMP = "bannermap-stamp.json"
PINS = "conf/constraints.txt"


def python_path(home: Path) -> Path:
    """The interpreter of the environment, there or not."""
    return home / ".venv/bin/python"


def ensure(home: Path, extras: Sequence[str], java: Path) -> Path:
    """Make the environment if it is absent, cut short, of other pins or another place, or lacks an extra.

    Args:
        home: the repository.
        extras: of pyproject.toml.
        java: to fetch the jars.

    Returns:
        Its interpreter.

    Raises:
        Problem: it could not be made; the text has the end of pip's.
    """
    folder, wanted = home / ".venv", {"pins": pins_digest(home), "extras": sorted(extras)}
    if _is_whole(home, extras):
        return python_path(home)  # without the lock: in an image, say, the user may not write here
    with alone(home):
        made = _stamp(folder)
        if made.get("pins") != wanted["pins"] or not _is_wanted_python(python_path(home)):
            _make(folder)
            made = {}
        if not set(extras) <= set(made.get("extras", [])) or not made:
            everything = sorted({*extras, *made.get("extras", [])})
            (folder / STAMP).unlink(missing_ok=True)
            _install(home, everything)
            ensure_jars(home, python_path(home), java)
            # Last: an environment without a stamp was cut short and is made again.
            (folder / STAMP).write_text(json.dumps({**wanted, "extras": everything}))
    return python_path(home)


def _is_whole(home: Path, extras: Sequence[str]) -> bool:
    made = _stamp(home / ".venv")
    fits = made.get("pins") == pins_digest(home) and set(extras) <= set(made.get("extras", []))
    return fits and _is_wanted_python(python_path(home))


def pins_digest(home: Path) -> str:
    """A hash of what decides the environment: the pins, the declared dependencies and the place, which its scripts hold."""
    declared = (home / "pyproject.toml").read_text().split("[tool.", 1)[0]
    text = f"{home.resolve()}\n{declared}\n{(home / PINS).read_text()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp(folder: Path) -> dict:
    try:
        return dict(json.loads((folder / STAMP).read_text()))
    except (OSError, ValueError):
        return {}


def _is_wanted_python(python: Path) -> bool:
    """Whether the environment's Python is there and, where one was named, has its version."""
    if not python.exists():  # also a link to a Python that was removed
        return False
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return "BANNERMAP_PYTHON" not in os.environ or (python.parent / version).exists()


def _make(folder: Path) -> None:
    say(f"making the environment in {folder} (some minutes, once; again only when {PINS} changes)")
    (folder / STAMP).unlink(missing_ok=True)  # first: with it, another launch would take what is left for whole
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True, symlinks=True)
    except (subprocess.CalledProcessError, OSError) as error:
        raise Problem(f"{folder} could not be made: {error}. Debian keeps venv apart: apt-get install python3-venv.") from None


def _install(home: Path, extras: Sequence[str]) -> None:
    target = f"{home}[{','.join(extras)}]" if extras else str(home)
    say("installing packages" + (f" with {', '.join(extras)}" if extras else ""))
    line = [str(python_path(home)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(home / PINS)]
    done = subprocess.run([*line, "--editable", target], capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise Problem(
            f"pip could not install the packages. Its last lines:\n{tail}\nCheck the network, or pip's mirror and proxy settings."
        )


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Two launches at once must not make one environment together.

    Raises:
        Problem: this user may not write there.
    """
    try:
        lock = (home / ".venv.lock").open("w")
    except OSError as error:
        raise Problem(
            f"What jobs need has to be made in {home}, where this user may not write ({error.strerror}). "
            "Run the job there once as the owner."
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(message: str) -> None:
    """A line of the launcher's own."""
    print(f"[bannermap] {message}", flush=True)
