"""Lines on what goes on: text for people, or JSON for a collector of logs, with the run that says it."""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
from collections.abc import Iterator

TEXT, JSON = "text", "json"
_form = TEXT
_facts: dict[str, str] = {}
"""Of the process, not of a thread: threads that report progress speak for the run, too."""


def choose(form: str) -> None:
    """How lines are written from now on.

    Args:
        form: `TEXT` or `JSON`.
    """
    global _form
    _form = form


@contextlib.contextmanager
def said_of(**facts: str) -> Iterator[None]:
    """Name what lines are about meanwhile, as run_id, job, dt and phase."""
    before = dict(_facts)
    _facts.update(facts)
    try:
        yield
    finally:
        _facts.clear()
        _facts.update(before)


def write(message: str, level: str = "info") -> None:
    """A line: information on standard output, errors on the error stream. JSON has time (UTC), level, message and `said_of`.

    Args:
        message: what happened; it may have several lines, which are one in JSON.
        level: info or error.
    """
    line = f"[bannermap] {message}"
    if _form == JSON:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "level": level, **_facts, "message": message})
    print(line, file=sys.stderr if level == "error" else sys.stdout, flush=True)
