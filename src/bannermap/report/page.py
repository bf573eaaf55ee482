"""The page as text: figures in, one self-contained HTML file out; it knows neither tables nor Spark."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources


@dataclass(frozen=True)
class Picture:
    """A thumbnail.

    Attributes:
        thumbnail: WebP, or null.
        banners: that show it.
        similarity: cosine to the medoid, or null.
    """

    thumbnail: bytes | None
    banners: int
    similarity: float | None = None

    @property
    def source(self) -> str | None:
        """The thumbnail as a data address."""
        return f"data:image/webp;base64,{base64.b64encode(self.thumbnail).decode()}" if self.thumbnail else None


@dataclass(frozen=True)
class Card:
    """A cluster on the page; attributes as in the tables `clusters` and `user_cluster_counts`."""

    cluster_id: str
    size: int
    nodes: int
    cohesion: float
    threshold: float
    depth: int
    first_seen_dt: datetime.date
    last_seen_dt: datetime.date
    advertisers: Sequence[tuple[str, int]]
    pictures: Sequence[Picture]
    impressions: int | None = None
    clicks: int | None = None

    @property
    def ctr(self) -> float | None:
        """Clicks per impression, 0 to 1; null without impressions."""
        return (self.clicks or 0) / self.impressions if self.impressions else None


@dataclass(frozen=True)
class Step:
    """One bar of the funnel.

    Attributes:
        name: what is counted.
        count: how many.
        note: what was lost on the way here, and why.
    """

    name: str
    count: int
    note: str = ""


@dataclass(frozen=True)
class Page:
    """Everything that the page shows; all text is escaped when it is drawn."""

    day: datetime.date
    clustering_id: str
    encoder_id: str
    funnel: Sequence[Step]
    days: Sequence[dict[str, object]]
    cards: Sequence[Card]
    all_clusters: int
    outliers: Sequence[Picture]
    all_outliers: int
    failures: Sequence[dict[str, object]]
    rejects: Sequence[tuple[str, str, int]]
    runs: Sequence[tuple[str, float, str]] = field(default=())


def render(page: Page) -> str:
    """The page as HTML, with style and script inside; equal figures give an equal page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["n"] = lambda value: f"{value:,}"
    template = environment.from_string(_file("page.html"))
    widest = max((step.count for step in page.funnel), default=0) or 1
    return template.render(page=page, style=_file("page.css"), script=_file("page.js"), widest=widest)


def _file(name: str) -> str:
    return (resources.files("bannermap.report") / name).read_text()
