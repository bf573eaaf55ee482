"""Peak memory of processes and all that they started, sampled from /proc."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

INTERVAL_S = 0.2
PEAK_MEMORY = "peak_memory_mb"
"""Begins the names of metrics that tell the memory of a phase."""


@dataclass
class Peak:
    """Greatest sum of resident memory so far, MB; pages that processes share count for each; 0 where there is no /proc."""

    mb: float = 0.0


@contextmanager
def peak_memory(roots: list[int]) -> Iterator[Peak]:
    """Watch process ids and their children, five times a second."""
    peak, done = Peak(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(roots, peak, done), daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def jvm_process(spark: SparkSession) -> int:
    """Process id of the driver's JVM, which may be the parent of this process or its child."""
    jvm: Any = spark.sparkContext._jvm
    return int(jvm.java.lang.ProcessHandle.current().pid())


def _watch(roots: list[int], peak: Peak, done: threading.Event) -> None:
    while not done.wait(INTERVAL_S):
        peak.mb = max(peak.mb, sum(_rss_mb(pid) for pid in family(roots)))


def parents_of_all() -> dict[int, int]:
    """Process -> the one that started it, of all that are there now."""
    parents: dict[int, int] = {}
    for process in (p for p in Path("/proc").iterdir() if p.name.isdigit()):
        with suppress(OSError):  # it may have ended since
            after_name = (process / "stat").read_bytes().rpartition(b")")[2]  # a name may hold anything
            parents[int(process.name)] = int(after_name.split()[1])
    return parents


def family(roots: list[int], parents: dict[int, int] | None = None) -> list[int]:
    """Processes and all that they started, each once, those that started others before these.

    Args:
        roots: the processes.
        parents: of `parents_of_all`; None reads it.
    """
    children: dict[int, list[int]] = {}
    for pid, parent in (parents_of_all() if parents is None else parents).items():
        children.setdefault(parent, []).append(pid)
    found = list(dict.fromkeys(roots))
    for pid in found:
        found += [child for child in children.get(pid, []) if child not in found]
    return found


def _rss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)
