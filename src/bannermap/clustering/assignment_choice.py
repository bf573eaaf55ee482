"""Which stored clustering banners are assigned by: the one that is named, or the newest that still holds as of the day."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from bannermap.platform.errors import InputError, nearest

MENDED_BY = "Run cluster_banners again for its day, or name another in assignment.clustering_id."


@dataclass(frozen=True)
class Stored:
    """A row of `clusterings`, as far as it matters here.

    Attributes:
        clustering_id: its name.
        dt: as-of day.
        sequence: order among those of its day.
        state: current, stale or superseded.
        encoder_id: see embeddings.
        nodes: distinct pictures, at least 1.
    """

    clustering_id: str
    dt: datetime.date
    sequence: int
    state: str
    encoder_id: str
    nodes: int


@dataclass(frozen=True)
class Choice:
    """The clustering, and what a person should know of it; empty where nothing is odd."""

    clustering: Stored
    warning: str = ""


def chosen_clustering(known: Sequence[Stored], day: datetime.date, wanted: str | None, encoder_id: str | None) -> Choice:
    """The clustering to assign by; one of a later day never, since it has seen what the day cannot know.

    Args:
        known: all clusterings.
        day: of the banners.
        wanted: a clustering_id, or null for the newest current one.
        encoder_id: whose clustering it has to be; null for any, if there is but one encoder.

    Raises:
        InputError: there is none that fits; the message says why and how to mend it.
    """
    return _named(known, day, wanted, encoder_id) if wanted else _newest(known, day, encoder_id)


def _named(known: Sequence[Stored], day: datetime.date, wanted: str, encoder_id: str | None) -> Choice:
    found = next((c for c in known if c.clustering_id == wanted), None)
    if found is None:
        hint = nearest(wanted, [c.clustering_id for c in known]) if known else " Run cluster_banners first."
        raise InputError(f"assignment.clustering_id is {wanted!r}, and the table clusterings has none of that name.{hint}")
    if found.dt > day:
        raise InputError(
            f"assignment.clustering_id is {wanted!r}, of {found.dt}: it was made with what came after {day}, so what it says of "
            f"that day could not have been known then. Name one of {day} or before, or take a later --date."
        )
    if encoder_id and found.encoder_id != encoder_id:
        raise InputError(
            f"assignment.clustering_id is {wanted!r}, made of vectors by {found.encoder_id}, and clustering.encoder_id is "
            f"{encoder_id}; vectors of two encoders cannot be compared. Name a clustering by that encoder, or set "
            f"clustering.encoder_id to {found.encoder_id} or null."
        )
    return Choice(found, "" if found.state == "current" else f"{wanted} is {found.state}: {_meaning(found)}")


def _newest(known: Sequence[Stored], day: datetime.date, encoder_id: str | None) -> Choice:
    by_then = [c for c in known if c.dt <= day and encoder_id in (None, c.encoder_id)]
    encoders = sorted({c.encoder_id for c in by_then})
    if len(encoders) > 1:
        raise InputError(
            f"There are clusterings by {' and '.join(encoders)}, and vectors of two encoders cannot be compared. Set "
            "clustering.encoder_id to one of them, or name a clustering in assignment.clustering_id."
        )
    current = [c for c in by_then if c.state == "current"]
    if not current:
        raise InputError(_nothing_current(by_then, day, encoder_id))
    newest = max(current, key=lambda c: (c.dt, c.sequence))
    passed_over = sorted(str(c.dt) for c in by_then if c.dt > newest.dt and c.state == "stale")
    return Choice(newest, f"passed over as stale: {', '.join(passed_over)}. Run cluster_banners for them." if passed_over else "")


def _nothing_current(by_then: Sequence[Stored], day: datetime.date, encoder_id: str | None) -> str:
    whose = f" by {encoder_id}" if encoder_id else ""
    stale = sorted(str(c.dt) for c in by_then if c.state == "stale")
    if stale:
        return f"All clusterings of {day} or before{whose} are stale ({', '.join(stale)}). {MENDED_BY}"
    return f"There is no clustering of {day} or before{whose}. Run cluster_banners for such a day first."


def _meaning(clustering: Stored) -> str:
    if clustering.state == "stale":
        return "an earlier day was clustered anew since, so its ids do not carry on those of the day before"
    return f"a newer one of {clustering.dt} has taken its place"
