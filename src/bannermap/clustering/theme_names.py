"""Names and slots of themes: carried on by the rule of the clusters, so that a dense feature keeps its meaning."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bannermap.clustering.identity import NOBODY, ancestors, overlap_of

Old = tuple[str, datetime.date, int]
"""Id, day of birth and banners of a cluster or theme of the previous clustering."""


@dataclass(frozen=True)
class Theme:
    """A theme under the name that it lives by; attributes as in the table `themes`."""

    number: int
    theme_id: str
    slot: int
    born_dt: datetime.date
    banners: int


def aged(rows: Iterable[Old]) -> list[Old]:
    """Older first, then by id: the order in which `identity` numbers old clusters."""
    return sorted(rows, key=lambda r: (r[1], r[0]))


def named_themes(
    k: int,
    sizes: Mapping[int, int],
    old: Mapping[str, tuple[int, datetime.date, int]],
    shared: Sequence[tuple[str, int, int]],
    name: str,
    day: datetime.date,
) -> list[Theme]:
    """Themes by the rule of the clusters: an id, with its slot, is carried on; others get new ids and the free slots.

    Args:
        k: number of themes asked for.
        sizes: number of each theme -> banners.
        old: theme_id -> (slot, day of birth, banners).
        shared: (old theme_id, new number, banners).
        name: the new clustering's id.
        day: its day.
    """
    older = aged((theme, born, banners) for theme, (_, born, banners) in old.items())
    width = len(str(max(sizes, default=0)))
    labels = {number: str(number).zfill(width) for number in sizes}  # numbers as text sort like numbers
    overlap = overlap_of([(o, labels[n], b) for o, n, b in shared], older, [(labels[n], sizes[n]) for n in sorted(sizes)])
    inherited = dict(zip(sorted(sizes), ancestors(overlap).tolist(), strict=True))
    carried = {n: older[o][0] for n, o in inherited.items() if o != NOBODY}
    free = iter(sorted(set(range(1, k + 1)) - {old[theme][0] for theme in carried.values()}))
    themes = [Theme(n, t, old[t][0], old[t][1], sizes[n]) for n, t in carried.items()]
    fresh = sorted(set(sizes) - set(carried), key=lambda n: (-sizes[n], n))
    return sorted([*themes, *(Theme(n, _theme_id(k, name, n), next(free), day, sizes[n]) for n in fresh)], key=lambda t: t.slot)


def _theme_id(k: int, name: str, number: int) -> str:
    return f"k{k:02d}-{hashlib.sha256(f'{name}{chr(10)}{k}{chr(10)}{number}'.encode()).hexdigest()[:12]}"
