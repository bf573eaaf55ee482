"""Lines on what goes on: text for people, or JSON for a collector of logs, with the run that says it."""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
from collections.abc import Iterator

TEXT, JSON = "text", "json"
_form = TEXT
_said: list[dict[str, str]] = []
"""What lines are about, the innermost last. Of the process: threads that report progress speak for the run, too."""


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
    _said.append(facts)
    try:
        yield
    finally:  # this very one: runs of two threads end in any order
        _said[:] = [others for others in _said if others is not facts]


def write(message: str, level: str = "info") -> None:
    """A line: information on standard output, errors on the error stream. JSON has time (UTC), level, message and `said_of`.

    Args:
        message: what happened; it may have several lines, which are one in JSON.
        level: info or error.
    """
    line = f"[bannermap] {message}"
    if _form == JSON:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        about = {name: fact for facts in list(_said) for name, fact in facts.items()}
        line = json.dumps({"time": now, "level": level, **about, "message": message})
    print(line, file=sys.stderr if level == "error" else sys.stdout, flush=True)
