"""The command ``spark-submit.sh``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bannermap.launcher import checks, command, environment, s3_jars, server_jars
from bannermap.launcher.masters import Place
from bannermap.launcher.packing import ensure_packed
from bannermap.launcher.problem import Problem
from bannermap.launcher.sending import needs_archive


def main(arguments: list[str]) -> int:
    """List the jobs, run the tests, or become spark-submit."""
    home = Path(os.environ["BANNERMAP_HOME"])
    try:
        return _run(home, arguments)
    except Problem as problem:
        print(f"[bannermap] {problem}", file=sys.stderr, flush=True)
        return 2


def _run(home: Path, arguments: list[str]) -> int:
    wanted = command.parse(arguments)
    if wanted.job is None:
        print(command.listing(home))
        return 0 if not arguments or set(arguments) & {"-h", "--help"} else 2
    if wanted.job == command.TEST:
        java = checks.check_java()
        python = environment.ensure(home, ("lint", "test"), java)
        _fetch_for_tests(home, python, java)
        return checks.run_tests(home, python, wanted.job_options)
    command.check_job(home, wanted.job)
    place = command.place(home, wanted)
    python = environment.python_path(home) if wanted.print_only else _made(home, wanted.job, place)
    if not wanted.print_only and command.names_s3(home, wanted):
        s3_jars.ensure_s3_jars(home, python, checks.check_java())
    line, variables = command.spark_submit(home, python, wanted, place)
    if wanted.print_only:
        if not python.exists():
            print("[bannermap] without the environment, which the first run makes, its jars are not named", file=sys.stderr)
        print(command.quoted(line))
        return 0
    sys.stdout.flush()
    return os.execve(line[0], line, {**os.environ, **variables})


def _fetch_for_tests(home: Path, python: Path, java: Path) -> None:
    """Jars that only some tests need, at the same time: it is mostly waiting."""

    def told(fetch: Callable[[Path, Path, Path], Path], what: str) -> None:
        try:
            fetch(home, python, java)
        except Problem as problem:
            print(f"[bannermap] {problem}\nTests against {what} are skipped.", file=sys.stderr, flush=True)

    with ThreadPoolExecutor() as pool:
        list(pool.map(told, (server_jars.ensure_server_jars, s3_jars.ensure_s3_jars), ("a MongoDB server", "S3")))


def _made(home: Path, job: str, place: Place) -> Path:
    """The environment's Python, with the job's extras; where executors need the environment too, its archive is there then."""
    packed = needs_archive(place)
    extras = ("pack", *command.extras_of_all(home)) if packed else command.extras_of(home, job)
    python = environment.ensure(home, extras, checks.check_java())
    if packed:
        ensure_packed(home, python)
    return python


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
