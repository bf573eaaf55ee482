"""What the overview shows beside the clusters, ready for its template: charts, themes, outliers, pairs, picture quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bannermap.report import charts
from bannermap.report.analyses import Experiment, TrendFamily
from bannermap.report.model import Cluster, Day, Image, Pair, Report, Theme
from bannermap.report.names import short_name
from bannermap.report.records import Places, encoded, file_name, keeper_name

RATES_SHOWN = 25
TAGS_SHOWN = 4
MEASURES = {"impression_share": "share of all impressions", "ctr": "clicks per impression"}
CONSPICUOUS_SHOWN = 8
CHANGES = {"born": "created", "merged": "merged_from", "split": "split_from", "retired": "retired"}
"""What the page calls a change -> its event in `cluster_lineage`."""


@dataclass(frozen=True)
class Thumb:
    """A picture on the overview: null source where it could not be drawn, link to the cluster it belongs to."""

    source: str | None
    href: str | None
    caption: str
    title: str


def overview(report: Report, places: Places) -> dict[str, Any]:
    """Everything that the template of the overview draws, by name."""
    stage = _Stage(report, places)
    return {
        "widest": max((step.count for step in report.funnel), default=0) or 1,
        "charts": drawn_charts(report),
        "themes": {k: [stage.theme(t) for t in report.themes if t.k == k] for k in sorted({t.k for t in report.themes})},
        "trends": [stage.trends(family) for family in report.trends],
        "experiments": [{"experiment": e, "chart": gain_chart(e)} for e in report.experiments],
        "rates": [stage.rate(c) for c in _most_seen(report.clusters)],
        "outliers": [stage.outlier(o.picture.pixel_hash, o.picture.banners, o.once_with) for o in report.outliers],
        "pairs": [stage.pair(p) for p in report.duplicates.pairs],
        "conspicuous": stage.conspicuous(),
    }


def drawn_charts(report: Report) -> dict[str, str]:
    """Name -> SVG, of the charts that there are figures for."""
    found = {}
    if report.sizes:
        bins = [(_size_label(e), count) for e, count in report.sizes]
        found["sizes"] = charts.histogram("sizes", "Cluster sizes", bins, f"{report.unit}s of a cluster", "clusters")
    if report.cohesions:
        bins = [(f"{low:.2f}", count) for low, count in report.cohesions]
        found["cohesions"] = charts.histogram("cohesions", "Cohesion", bins, "mean cosine from", "clusters")
    if report.duplicates.cosines:
        bins = [(f"{low:.3f}", count) for low, count in report.duplicates.cosines]
        found["cosines"] = charts.histogram("cosines", "Near duplicates by cosine", bins, "cosine from", "pairs")
    rates = [
        (short_name(c.cluster_id), c.ctr, *c.ctr_interval)
        for c in _most_seen(report.clusters)
        if c.ctr is not None and c.ctr_interval
    ]
    if rates:
        found["rates"] = charts.rates("rates", "Click rate by cluster", rates, overall_rate(report.clusters))
    for family in report.trends:
        if family.shown:
            name = trend_chart(family)
            rows = [(short_name(t.cluster_id), t.trend, t.rate_before, t.rate) for t in family.shown]
            title = f"{MEASURES[family.measure]}, {family.window_days} days and the {family.window_days} before"
            found[name] = charts.changed_rates(name, title, rows, MEASURES[family.measure])
    for experiment in report.experiments:
        gains = _gains(experiment)
        if gains:
            name = gain_chart(experiment)
            found[name] = charts.gains(name, "What the features take off the log loss", gains)
    return found | (_day_charts(report.days) if report.day and len(report.days) > 1 else {})


def trend_chart(family: TrendFamily) -> str:
    """Name of its chart."""
    return f"trend-{family.measure}-{family.window_days}"


def gain_chart(experiment: Experiment) -> str:
    """Name of its chart."""
    return f"gain-{experiment.experiment_id}"


def _gains(experiment: Experiment) -> list[tuple[str, str, float, float, float]]:
    """Label, verdict, gain and its interval, over all rows."""
    found = []
    for c in experiment.compared:
        if c.slice_kind == "all" and c.gain is not None and c.gain_low is not None and c.gain_high is not None:
            label = f"{c.model.replace('_', ' ')}, {c.variant.replace('_', ' ')}"
            found.append((label, c.verdict, c.gain, c.gain_low, c.gain_high))
    return found


def overall_rate(clusters: Sequence[Cluster]) -> float:
    """Clicks per impression of all the clusters together; 0 without impressions."""
    return sum(c.clicks or 0 for c in clusters) / max(sum(c.impressions or 0 for c in clusters), 1)


def _day_charts(days: Sequence[Day]) -> dict[str, str]:
    ascending = sorted(days, key=lambda d: d.dt)
    label = {d.dt: f"{d.dt:%m-%d}" for d in days}
    counts: dict[str, tuple[str, Callable[[Day], int | None]]] = {
        "banners": ("Banners per day", lambda d: d.dau_banners),
        "clusters": ("Clusters per day", lambda d: d.clusters),
        "outliers": ("Outliers per day", lambda d: d.outliers),
    }
    found = {}
    for name, (title, figure) in counts.items():
        rows = [(label[d.dt], value) for d in ascending if (value := figure(d)) is not None]
        if rows:
            found[name] = charts.counts_by_day(f"day-{name}", title, rows, name)
    changed = [(label[d.dt], {kind: d.changes.get(e, 0) for kind, e in CHANGES.items()}) for d in ascending if d.changes]
    if changed:
        found["changes"] = charts.changes_by_day("day-changes", "Births, merges, splits and retired clusters", changed)
    return found


def _size_label(exponent: int) -> str:
    low, high = 2**exponent, 2 ** (exponent + 1) - 1
    return str(low) if low == high else f"{_short(low)}-{_short(high)}"


def _short(count: int) -> str:
    return f"{count / 1024:.0f}k" if count >= 1000 else str(count)


def _most_seen(clusters: Sequence[Cluster]) -> list[Cluster]:
    seen = [c for c in clusters if c.impressions]
    return sorted(seen, key=lambda c: (-(c.impressions or 0), c.cluster_id))[:RATES_SHOWN]


class _Stage:
    """Pictures and links of one report."""

    def __init__(self, report: Report, places: Places) -> None:
        self.report, self.places = report, places
        self.cluster = {c.cluster_id: c for c in report.clusters}
        self.home = {p.pixel_hash: c.cluster_id for c in report.clusters for p in c.pictures}

    def href(self, cluster_id: str | None) -> str | None:
        """Link to a cluster's detail; null where it is not shown."""
        if cluster_id is None or cluster_id not in self.places.rank:
            return None
        number = self.places.page(cluster_id)
        return f"{f'clusters-{number:03d}.html' if number else ''}#cluster-{cluster_id}"

    def thumb(self, pixel_hash: str, cluster_id: str | None, caption: str, side: int | None = None) -> Thumb:
        """A picture with its link."""
        data = encoded(self.report.images, pixel_hash, side or self.report.thumbnail_px)
        image = self.report.images.get(pixel_hash, Image())
        source = f"data:image/webp;base64,{data}" if data else None
        return Thumb(source, self.href(cluster_id), caption, image.address or "")

    def outlier(self, pixel_hash: str, banners: int, once_with: str | None) -> Thumb:
        """An outlier, named by its file where it has one."""
        count = f"×{banners}" if banners > 1 else ""
        return self.thumb(pixel_hash, once_with, " ".join(filter(None, (file_name(self.report, pixel_hash), count))))

    def theme(self, theme: Theme) -> dict[str, Any]:
        """A theme with the medoids of its largest clusters."""
        shown = [self.cluster[i] for i in theme.largest if i in self.cluster]
        return {"theme": theme, "pictures": [self.thumb(c.medoid, c.cluster_id, f"{c.size:,}") for c in shown]}

    def rate(self, cluster: Cluster) -> dict[str, Any]:
        """A row of the table of click rates."""
        return {"cluster": cluster, "href": self.href(cluster.cluster_id), "interval": cluster.ctr_interval}

    def trends(self, family: TrendFamily) -> dict[str, Any]:
        """The clusters of a window and measure that rise and fall, with their medoids and tags."""
        rows = []
        for trend in family.shown:
            cluster = self.cluster.get(trend.cluster_id)
            picture = self.thumb(cluster.medoid, cluster.cluster_id, "") if cluster else None
            rows.append(
                {
                    "trend": trend,
                    "name": short_name(trend.cluster_id),
                    "picture": picture,
                    "tags": cluster.tags[:TAGS_SHOWN] if cluster else (),
                }
            )
        return {"family": family, "measure": MEASURES[family.measure], "chart": trend_chart(family), "rows": rows}

    def pair(self, pair: Pair) -> dict[str, Any]:
        """Two pictures side by side."""
        sides = [self.thumb(h, None, "keep" if h == pair.keeper else "", self.report.pair_px) for h in (pair.a, pair.b)]
        return {"pair": pair, "sides": sides, "href": self.href(pair.cluster_id), "keeper": keeper_name(self.report, pair)}

    def conspicuous(self) -> Mapping[str, list[Thumb]]:
        """The darkest, brightest and most blurred of the pictures that this report drew."""
        drawn = sorted((h, i) for h, i in self.report.images.items() if i.brightness is not None and i.sharpness is not None)
        orders: dict[str, tuple[Callable[[Image], float], str]] = {
            "Darkest": (lambda i: i.brightness or 0.0, "brightness {:.2f}"),
            "Brightest": (lambda i: -(i.brightness or 0.0), "brightness {:.2f}"),
            "Most blurred": (lambda i: i.sharpness or 0.0, "sharpness {:.1f}"),
        }
        found = {}
        for title, (key, told) in orders.items():
            first = sorted(drawn, key=lambda entry: key(entry[1]))[:CONSPICUOUS_SHOWN]
            found[title] = [self.thumb(h, self.home.get(h), told.format(abs(key(image)))) for h, image in first]
        return found
