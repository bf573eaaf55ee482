"""The pages as text: a report in, self-contained HTML files out; it knows neither tables nor Spark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any

from bannermap.platform.errors import ConfigError
from bannermap.platform.tables import NO_DAY
from bannermap.report import figures
from bannermap.report.budget import Fill, fill
from bannermap.report.model import Cluster, Report
from bannermap.report.names import brief_id, short_name
from bannermap.report.records import EVENTS, Places, Pool, detail, encoded, script_json, summary, wanted

INDEX = "index.html"
REFERENCE_BYTES = 24
"""What an entry of a picture takes beside the picture itself: numbers, quotes, commas."""


@dataclass(frozen=True)
class Pages:
    """The finished pages.

    Attributes:
        files: name -> HTML.
        fill: pictures per cluster that fitted, of all that were wanted.
    """

    files: Mapping[str, str]
    fill: Fill

    @property
    def total_bytes(self) -> int:
        """Size of all files together."""
        return sum(len(text.encode()) for text in self.files.values())


def page_name(number: int) -> str:
    """File of a page of clusters; the overview for 0."""
    return f"clusters-{number:03d}.html" if number else INDEX


def render(report: Report, clusters_per_page: int, max_total_bytes: int) -> Pages:
    """All pages; equal figures give equal pages.

    Every cluster shows its first r pictures, and the largest clusters one more, with as many as keep all pages together within
    ``max_total_bytes``.

    Args:
        report: what they show.
        clusters_per_page: more clusters than this get pages of their own, and the overview lists them all.
        max_total_bytes: of all pages.

    Raises:
        ConfigError: the text alone takes more than ``max_total_bytes``.
    """
    site = _Site(report, clusters_per_page, max_total_bytes)
    bare = site.pages(Fill(0, 0))
    room = max_total_bytes - bare.total_bytes
    while room > 0:
        pages = site.pages(fill(site.wanted, site.page_of, site.weight, room))
        if pages.total_bytes <= max_total_bytes:
            return pages
        room -= pages.total_bytes - max_total_bytes  # an entry took more than REFERENCE_BYTES
    if bare.total_bytes > max_total_bytes:
        raise ConfigError(
            f"The report of {len(report.clusters):,} clusters takes {bare.total_bytes:,} bytes without its pictures, and "
            f"report.max_total_bytes is {max_total_bytes:,}. Raise it, or lower report.max_clusters."
        )
    return bare


class _Site:
    """One report on its way to pages."""

    def __init__(self, report: Report, clusters_per_page: int, max_total_bytes: int) -> None:
        self.report, self.max_total_bytes = report, max_total_bytes
        split = len(report.clusters) > clusters_per_page
        rank = {c.cluster_id: i for i, c in enumerate(report.clusters)}
        self.places = Places(rank, clusters_per_page if split else 0)
        step = clusters_per_page if split else max(len(report.clusters), 1)
        self.chunks = [report.clusters[i : i + step] for i in range(0, len(report.clusters), step)]

    @cached_property
    def siblings(self) -> Mapping[str | None, list[Cluster]]:
        """Group that was cut -> the clusters that came of it."""
        found: dict[str | None, list[Cluster]] = defaultdict(list)
        for cluster in self.report.clusters:
            if cluster.parent is not None:
                found[cluster.parent].append(cluster)
        return found

    def beside(self, cluster: Cluster) -> list[Cluster]:
        """Clusters of the same parent, itself included."""
        return self.siblings.get(cluster.parent, [])

    @cached_property
    def wanted(self) -> list[list[str]]:
        """Per cluster: its pictures in order."""
        return [wanted(c, self.beside(c), self.report) for c in self.report.clusters]

    @cached_property
    def page_of(self) -> list[int]:
        """Per cluster: number of its page."""
        return [self.places.page(c.cluster_id) for c in self.report.clusters]

    @cached_property
    def weight(self) -> dict[str, int]:
        """Picture -> bytes in a page."""
        hashes = {h for pictures in self.wanted for h in pictures}
        return {h: len(encoded(self.report.images, h, self.report.thumbnail_px) or "") + REFERENCE_BYTES for h in hashes}

    def pages(self, fits: Fill) -> Pages:
        """All pages with the pictures that fit."""
        count = len(self.chunks) if self.places.per_page else 0
        base = {"report": self.report, "fill": fits, "page_count": count, "max_total_bytes": self.max_total_bytes}
        base["clustering"] = self.report.clustering_id.removeprefix(f"{NO_DAY}-")
        files = {}
        for number, chunk in enumerate(self.chunks, start=1):
            if self.places.per_page:
                files[page_name(number)] = _draw("clusters.html", {**base, "number": number, "data": self._data(chunk, fits)})
        data = self._list_of_all() if self.places.per_page else self._data(self.report.clusters, fits)
        return Pages({INDEX: _draw("index.html", {**base, "number": 0, "data": data, **self.overview}), **files}, fits)

    @cached_property
    def overview(self) -> dict[str, Any]:
        """What the overview shows beside the clusters."""
        return figures.overview(self.report, self.places)

    def _data(self, clusters: Sequence[Cluster], fits: Fill) -> dict[str, Any]:
        ranks = [self.places.rank[c.cluster_id] for c in clusters]
        allowed = frozenset(h for rank in ranks for h in self.wanted[rank][: fits.of(rank)])
        pool = Pool(self.report.images, self.report.thumbnail_px, allowed)
        cards = [summary(c, self.report, self.places, pool) for c in clusters]
        details = [detail(c, self.report, self.places, pool, self.beside(c)) for c in clusters]
        return self._common(pool) | {"cards": cards, "details": details}

    def _list_of_all(self) -> dict[str, Any]:
        pool = Pool(self.report.images, self.report.icon_px)
        cards = [summary(c, self.report, self.places, pool) for c in self.report.clusters]
        return self._common(pool) | {"cards": cards}

    def _common(self, pool: Pool) -> dict[str, Any]:
        axis = [d.isoformat() for d in self.report.day_axis]
        told = {"axis": axis, "dated": self.report.day is not None, "lineage": self.report.has_lineage, "events": EVENTS}
        return told | {"images": pool.files, "names": list(pool.names)}


def _draw(template: str, values: Mapping[str, Any]) -> str:
    from jinja2 import DictLoader, Environment, StrictUndefined

    names = ("base.html", "index.html", "sections.html", "clusters.html", "browser.html")
    loader = DictLoader({name: _file(name) for name in names})
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals["unit"] = values["report"].unit
    environment.filters |= {"n": lambda value: f"{value:,}", "brief": brief_id, "short": short_name}
    style, script = _file("page.css"), _file("browser.js") + _file("detail.js")
    data = script_json(values["data"])
    return environment.get_template(template).render(**values, page_name=page_name, style=style, script=script, data_json=data)


def _file(name: str) -> str:
    return (resources.files("bannermap.report") / "templates" / name).read_text()
