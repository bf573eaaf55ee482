"""Jars of servers that tests talk to, into ``.venv/test-jars``: beside those of Spark, whose class path they never enter."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path

from bannermap.launcher.jars import resolve

MONGODB = ("de.bwaldvogel", "mongo-java-server", "1.47.0")
"""Speaks MongoDB's wire protocol and keeps everything in memory; version 8 of the protocol, which pymongo takes up to 4.17."""


def server_jars(home: Path) -> Path:
    """Where the jars lie."""
    return home / ".venv/test-jars"


def ensure_server_jars(home: Path, python: Path, java: Path) -> Path:
    """The folder with the jars, fetched if they are not there.

    Args:
        home: the repository.
        python: of the environment, which has Spark's Ivy.
        java: to run Ivy.

    Raises:
        Problem: they could not be fetched.
    """
    target = server_jars(home)
    if not target.is_dir():
        print(f"[bannermap] fetching {':'.join(MONGODB)}, for tests", flush=True)
        ask = "import pyspark; print(pyspark.__path__[0])"
        place = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            found = resolve(java, Path(place) / "jars", MONGODB, Path(scratch))
            with contextlib.suppress(OSError):  # another process was faster: both are the same
                found.rename(target)
    return target
