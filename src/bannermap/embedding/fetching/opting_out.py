"""The X-Robots-Tag header: what the owner of an image allows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
"""Directives that have a colon of their own; any other word before a colon names a robot."""
ROBOT = re.compile(r"[a-z_][\w.*-]*|\*")
"""A date has commas and colons of its own, and its part before a colon ends in an hour: ``25 jun 2010 15`` is no robot."""


def opted_out(headers: Iterable[str], user_agent: str, directives: Collection[str]) -> str | None:
    """The first directive of the headers that is ours to respect.

    Args:
        headers: values of all X-Robots-Tag headers: ``[robot:] directive, directive ...``.
        user_agent: ours; directives for other robots than its first word do not count.
        directives: those respected, lower case.

    Returns:
        The directive, or None where there is none.
    """
    ours = user_agent.split("/")[0].split()[0].lower() if user_agent.strip() else ""
    for header in headers:
        robot = ours
        for part in header.lower().split(","):
            name, colon, rest = (text.strip() for text in part.partition(":"))
            if colon and name not in WITH_VALUE and (name == ours or ROBOT.fullmatch(name)):
                robot, name = name, rest
            if robot in (ours, "*") and name in directives:
                return name
    return None
