"""Jars of servers that tests talk to, into ``.venv/test-jars``: beside those of Spark, whose class path they never enter."""

from __future__ import annotations

from pathlib import Path

from bannermap.launcher.jars import fetch_once, installed_versions, resolve

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
        spark_jars, _ = installed_versions(python)
        fetch_once(target, lambda scratch: resolve(java, spark_jars, MONGODB, scratch))
    return target
