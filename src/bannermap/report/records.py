"""Clusters as the compact records that a page's script draws from: short keys, pictures by number, ids only where they are shown.

Nothing here is markup: the script puts every text where it belongs as text.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bannermap.report.analyses import Audience
from bannermap.report.model import Change, Cluster, Image, Pair, Report, Shown
from bannermap.report.names import brief_id

MAX_SIBLINGS = 8
CURTAIN_OF = "curtain of "
"""Before a pixel_hash: the curtain over that picture, where pictures are counted that fit."""
EVENTS = ("created", "kept", "merged_from", "split_from", "given_to", "retired")


@dataclass
class Pool:
    """The pictures and names that one page embeds, each once; a picture that is not allowed is -1."""

    images: Mapping[str, Image]
    side: int
    allowed: frozenset[str] | None = None
    files: list[str] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    _number: dict[str, int] = field(default_factory=dict)

    def named(self, name: str) -> int:
        """Where the name stands among ``names``."""
        return self.names.setdefault(name, len(self.names))

    def number(self, pixel_hash: str) -> int:
        """Where the picture stands in ``files``."""
        data = encoded(self.images, pixel_hash, self.side)
        if data is None or (self.allowed is not None and pixel_hash not in self.allowed):
            return -1
        if pixel_hash not in self._number:
            self._number[pixel_hash] = len(self.files)
            self.files.append(data)
        return self._number[pixel_hash]


@dataclass(frozen=True)
class Places:
    """Where each cluster lies.

    Attributes:
        rank: cluster_id -> position among all shown.
        per_page: clusters per page; 0 where all are on the first page.
    """

    rank: Mapping[str, int]
    per_page: int

    def page(self, cluster_id: str) -> int:
        """Number of its page, 1 for the first; 0 for the overview."""
        return self.rank[cluster_id] // self.per_page + 1 if self.per_page else 0

    def name(self, cluster_id: str) -> list[Any]:
        """Its id, of a hash the beginning, by which links find a cluster too; and its page where it is shown."""
        return [brief_id(cluster_id), *([self.page(cluster_id)] if cluster_id in self.rank else [])]


def encoded(images: Mapping[str, Image], name: str, side: int) -> str | None:
    """The picture, or the curtain over it, in base64; null where there is none."""
    image = images.get(name.removeprefix(CURTAIN_OF), Image())
    data = image.curtain if name.startswith(CURTAIN_OF) else image.drawn.get(side)
    return base64.b64encode(data).decode() if data else None


def summary(cluster: Cluster, report: Report, places: Places, pool: Pool) -> dict[str, Any]:
    """What a card shows, and what is sorted and searched by."""
    record: dict[str, Any] = {
        "id": cluster.cluster_id,
        "g": places.page(cluster.cluster_id),
        "s": cluster.size,
        "n": cluster.nodes,
        "c": round(cluster.cohesion, 4),
        "f": _day(report, cluster.born_dt or cluster.first_seen_dt),
        "a": [pool.named(name) for name, _ in cluster.advertisers],
        "ac": cluster.advertiser_count,
        "m": pool.number(cluster.medoid),
        "th": [[k, slot] for k, slot in sorted(cluster.themes.items())],
        "tg": [pool.named(tag) for tag in cluster.tags],
    }
    return record | _rate(cluster)


def _rate(cluster: Cluster) -> dict[str, Any]:
    if cluster.ctr is None:
        return {}
    interval = cluster.ctr_interval
    bounds = [round(b, 6) for b in interval] if interval else None
    return {"i": cluster.impressions, "k": cluster.clicks, "r": round(cluster.ctr, 6), "w": bounds}


def detail(cluster: Cluster, report: Report, places: Places, pool: Pool, siblings: Sequence[Cluster]) -> dict[str, Any]:
    """What opens behind a card."""
    others = [c for c in siblings if c.cluster_id != cluster.cluster_id]
    return {
        "t": None if cluster.threshold is None else round(cluster.threshold, 4),
        "d": cluster.depth,
        "path": [brief_id(group) for group in cluster.path[:-1]],
        "seen": [_day(report, cluster.first_seen_dt), _day(report, cluster.last_seen_dt)],
        "p": [_shown(p, report, pool) for p in cluster.pictures if _is_there(p.pixel_hash, pool)],
        "em": [[pool.number(p), pool.number(c), i] for i, p, c in looked_at(cluster, report) if pool.number(c) >= 0],
        "sib": [[*places.name(c.cluster_id), c.size, pool.number(c.medoid)] for c in others[:MAX_SIBLINGS]],
        "sn": len(others),
        "fo": cluster.fell_out.banners,
        "fop": [_shown(p, report, pool) for p in cluster.fell_out.pictures if _is_there(p.pixel_hash, pool)],
        "adv": [banners for _, banners in cluster.advertisers],
        "days": list(cluster.day_banners),
        "lin": [_change(change, report, places) for change in cluster.changes] if report.day else [],
        "dup": [_pair(report, pair, pool) for pair in cluster.pairs if _both(pair, pool)],
        "dn": cluster.pair_count,
        "au": [_audience(a) for a in cluster.audiences],
    }


def looked_at(cluster: Cluster, report: Report) -> list[tuple[int, str, str]]:
    """Pictures that can be shown as the encoder looks at them: their position in the cluster, themselves, their curtains."""
    images = [(i, p.pixel_hash, report.images.get(p.pixel_hash, Image())) for i, p in enumerate(cluster.pictures)]
    return [(i, h, CURTAIN_OF + h) for i, h, image in images if image.curtain and report.thumbnail_px in image.drawn]


def wanted(cluster: Cluster, siblings: Sequence[Cluster], report: Report) -> list[str]:
    """Its pictures in the order in which they matter: the medoid, then members, pairs, what fell out and siblings in turn.

    Last, the curtains over them: they are the first to go where there is no room.
    """
    sheet = [(2 * i, 0, p.pixel_hash) for i, p in enumerate(cluster.pictures)]
    pairs = [(2 * i + 3, j, h) for i, pair in enumerate(cluster.pairs) for j, h in enumerate((pair.a, pair.b))]
    lost = [(2 * i + 5, 0, p.pixel_hash) for i, p in enumerate(cluster.fell_out.pictures)]
    others = [c for c in siblings if c.cluster_id != cluster.cluster_id][:MAX_SIBLINGS]
    beside = [(2 * i + 7, 0, c.medoid) for i, c in enumerate(others)]
    ordered = [(-1, 0, cluster.medoid), *sheet, *pairs, *lost, *beside]
    pictures = dict.fromkeys(h for _, _, h in sorted(ordered, key=lambda w: w[:2]))
    return [*pictures, *(c for _, _, c in looked_at(cluster, report))]


def _is_there(pixel_hash: str, pool: Pool) -> bool:
    """A picture that could not be drawn is shown as a placeholder; one that has no room is left out and counted."""
    return pool.allowed is None or pixel_hash in pool.allowed or encoded(pool.images, pixel_hash, pool.side) is None


def _both(pair: Pair, pool: Pool) -> bool:
    return _is_there(pair.a, pool) and _is_there(pair.b, pool)


def _shown(picture: Shown, report: Report, pool: Pool) -> list[Any]:
    similarity = None if picture.similarity is None else round(picture.similarity, 3)
    name = file_name(report, picture.pixel_hash)
    return [pool.number(picture.pixel_hash), picture.banners, similarity, *([name] if name else [])]


def file_name(report: Report, pixel_hash: str) -> str | None:
    """Pictures of a folder are known by their files; those of a log by their banners."""
    address = report.images.get(pixel_hash, Image()).address
    return address if report.day is None else None


def keeper_name(report: Report, pair: Pair) -> str | None:
    """What the banner to keep is known by: its file where there are no banners."""
    return (file_name(report, pair.keeper) if pair.keeper else None) or pair.keeper_banner_id


def _change(change: Change, report: Report, places: Places) -> list[Any]:
    other = places.name(change.other) if change.other else None
    fell = [change.fell_out] if change.fell_out else []
    return [report.day_axis.index(change.dt), EVENTS.index(change.event), other or 0, change.banners, *fell]


def _audience(audience: Audience) -> list[Any]:
    lifts = (round(v, 2) for v in (audience.lift, audience.lift_low, audience.lift_high))
    return [audience.attribute, audience.value, audience.users, *lifts]


def _pair(report: Report, pair: Pair, pool: Pool) -> list[Any]:
    kept = {pair.a: 1, pair.b: 2}.get(pair.keeper or "", 0)
    why = [keeper_name(report, pair), pair.reason, pair.detail]
    return [pool.number(pair.a), pool.number(pair.b), round(pair.cosine, 4), kept, *why]


def _day(report: Report, day: datetime.date) -> str | None:
    """A folder of own images has no day, whatever its tables say."""
    return day.isoformat() if report.day else None


def script_json(value: object) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
