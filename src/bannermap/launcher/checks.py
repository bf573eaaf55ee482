"""Is there a Java to run on, and do the tests pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from bannermap.launcher.problem import Problem

LEAST_JAVA = 17
MEND = "install a JDK or JRE 17 or newer (Debian: apt-get install default-jre-headless) or point JAVA_HOME at one"
BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")
"""What tests of a file share is made once; in the order that tests/conftest.py gives, the longest first."""


def check_java() -> Path:
    """The Java that Spark will run on: of JAVA_HOME, else of PATH.

    Raises:
        Problem: there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin/java") if home else shutil.which("java")
    if not found or not Path(found).exists():
        raise Problem(f"Spark needs Java {LEAST_JAVA} and {found or 'no java on PATH'} was not found: {MEND}.")
    try:
        printed = subprocess.run([found, "-version"], capture_output=True, text=True)
    except OSError as error:
        raise Problem(f"Spark needs Java {LEAST_JAVA} and {found} does not run ({error.strerror}): {MEND}.") from None
    version = re.search(r'version "(?:1\.)?(\d+)', printed.stderr + printed.stdout)
    if not version or int(version[1]) < LEAST_JAVA:
        raise Problem(f"Spark needs Java {LEAST_JAVA} and {found} is {version[1] if version else 'of unknown version'}: {MEND}.")
    return Path(found)


def run_tests(home: Path, python: Path, options: list[str]) -> int:
    """Style, types, import contracts and all tests; with options, pytest with them alone.

    Args:
        home: the repository.
        python: of the environment.
        options: for pytest.

    Returns:
        The first exit code that is not 0.
    """
    bin_folder = python.parent
    workers = str(max(2, min(4, (os.cpu_count() or 2) - 1)))  # each has a Spark of its own
    everything = [
        [str(bin_folder / "ruff"), "check", "--no-cache", "."],  # its cache outlives a module's becoming first-party
        [str(bin_folder / "ruff"), "format", "--check", "."],
        [str(bin_folder / "mypy")],
        [str(bin_folder / "lint-imports")],
        [str(bin_folder / "hadolint"), "conf/docker/Dockerfile"],
        [str(python), "-m", "pytest", "-n", workers, *BY_FILE, "--durations", "25"],
    ]
    for line in [[str(python), "-m", "pytest", *options]] if options else everything:
        print(f"[bannermap] {Path(line[0]).name} {' '.join(line[1:])}", flush=True)
        code = subprocess.run(line, cwd=home).returncode
        if code:
            return code
    return 0
