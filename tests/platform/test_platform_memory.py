"""Processes and what they started, and the memory of all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bannermap.platform.memory import family, parents_of_all, peak_memory

TREE = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); import time; time.sleep(60)'])"


def test_a_family_is_a_process_and_all_below_it_each_once():
    parents = {5: 1, 6: 5, 7: 5, 8: 6, 9: 2, 1: 0}
    assert family([5], parents) == [5, 6, 7, 8] and family([9, 6, 9], parents) == [9, 6, 8] and family([4], parents) == [4]
    with subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # the grandchild is there
        found = family([os.getpid()])
        below = family([process.pid])
        for pid in reversed(below):
            os.kill(pid, 9)
    assert len(below) == 2 and set(below) < set(found) and parents_of_all()[os.getpid()] == os.getppid()


def test_a_process_that_ends_while_it_is_looked_at_is_passed_over(monkeypatch):
    process = subprocess.Popen(["true"])
    process.wait()
    listed = [Path(f"/proc/{pid}") for pid in (process.pid, os.getpid())]
    monkeypatch.setattr(Path, "iterdir", lambda self: iter([*listed, Path("/proc/self")]))
    assert parents_of_all() == {os.getpid(): os.getppid()}


def test_a_peak_outlives_what_held_it():
    holder = "held = bytearray(300_000_000); import time; time.sleep(1.5)"
    with peak_memory([os.getpid()]) as peak:
        subprocess.run([sys.executable, "-c", holder], check=True)
    assert peak.mb > 300
