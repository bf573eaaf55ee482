"""What can befall the machine of a job that is started meanwhile: no space left, another clock."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
"""The library that moves a process's clock; empty where it is not installed."""
SKEWED = {"LD_PRELOAD": str(*FAKETIME[:1]), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}
"""Without the last, waits of a JVM end at once, again and again."""
SLEEP = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
"""Python's own sleep fails under SKEWED: the library does not know the call that it makes."""


@contextlib.contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """Files of processes that start meanwhile cannot grow beyond a size: what they write finds no space."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def other_clock(days: int, folder: Path) -> Iterator[str]:
    """Processes that start meanwhile see a clock that is days ahead, or behind; a folder of modules that they need."""
    modules, former = folder / "modules", dict(os.environ)
    modules.mkdir(exist_ok=True)
    (modules / "sitecustomize.py").write_text(SLEEP)
    os.environ.update(SKEWED | {"FAKETIME": f"{days:+d}d"})
    try:
        yield str(modules)
    finally:
        os.environ.clear()
        os.environ.update(former)
