"""What a report shows, as plain values: it knows neither tables nor HTML.

Pictures are named by their pixel_hash throughout; what they look like stands once, in `Report.images`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bannermap.report.analyses import Audience, Experiment, StrategyComparison, TrendFamily
from bannermap.report.ctr import wilson_interval


@dataclass(frozen=True)
class Image:
    """A picture as far as the report knows it.

    Attributes:
        drawn: side in pixels that was asked for -> WebP; without an entry where it could not be drawn.
        address: one of the addresses it came from.
        brightness: mean of its grey values, 0 to 1; null where it could not be drawn.
        sharpness: variance of the Laplacian of its grey values of 0 to 255; null where it could not be drawn.
        curtain: WebP that covers what the encoder hardly looks at, see `emphasis.curtain`; null where that is not known or asked.
    """

    drawn: Mapping[int, bytes] = field(default_factory=dict)
    address: str | None = None
    brightness: float | None = None
    sharpness: float | None = None
    curtain: bytes | None = None


@dataclass(frozen=True)
class Shown:
    """A picture in its place.

    Attributes:
        pixel_hash: which.
        banners: that show it.
        similarity: cosine to the medoid, or null.
    """

    pixel_hash: str
    banners: int
    similarity: float | None = None


@dataclass(frozen=True)
class FellOut:
    """Outliers of the group that a cluster was cut from.

    Attributes:
        banners: how many.
        pictures: those with most banners.
    """

    banners: int = 0
    pictures: Sequence[Shown] = ()


@dataclass(frozen=True)
class Pair:
    """Two nearly equal pictures of a cluster, see the tables `near_duplicates` and `duplicate_sets`.

    Attributes:
        cluster_id: theirs.
        a: pixel_hash.
        b: pixel_hash.
        cosine: -1 to 1.
        keeper: pixel_hash of the picture to keep, of their whole set; null where nothing is suggested.
        keeper_banner_id: its banner.
        reason: what decided.
        detail: the figures behind it.
    """

    cluster_id: str
    a: str
    b: str
    cosine: float
    keeper: str | None = None
    keeper_banner_id: str | None = None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Change:
    """A row of `cluster_lineage`, with the day of its clustering; ``event`` may also be ``given_to``, the other side of one."""

    dt: datetime.date
    event: str
    other: str | None
    banners: int
    fell_out: int | None = None


@dataclass(frozen=True)
class Cluster:
    """A cluster; attributes as in the tables `clusters` and `user_cluster_counts`, or as here.

    Attributes:
        path: ids of the groups that held it, coarsest first, itself last.
        advertisers: those with most banners, and how many banners.
        advertiser_count: all of them.
        pictures: medoid first, then by similarity to it.
        day_banners: its banners on each of `Report.day_axis`.
        changes: newest first.
        pairs: most similar first.
        pair_count: all of them.
        themes: number of themes -> slot.
        tags: words that set it apart, the most telling first; empty where none are known.
        audiences: users that it reaches more or less than others, the surest first.
    """

    cluster_id: str
    size: int
    nodes: int
    medoid: str
    cohesion: float
    threshold: float | None
    depth: int | None
    parent: str | None
    path: Sequence[str]
    born_dt: datetime.date | None
    first_seen_dt: datetime.date
    last_seen_dt: datetime.date
    advertisers: Sequence[tuple[str, int]] = ()
    advertiser_count: int = 0
    pictures: Sequence[Shown] = ()
    fell_out: FellOut = FellOut()
    day_banners: Sequence[int] = ()
    changes: Sequence[Change] = ()
    pairs: Sequence[Pair] = ()
    pair_count: int = 0
    themes: Mapping[int, int] = field(default_factory=dict)
    impressions: int | None = None
    clicks: int | None = None
    tags: Sequence[str] = ()
    audiences: Sequence[Audience] = ()

    @property
    def ctr(self) -> float | None:
        """Clicks per impression; null without impressions."""
        return (self.clicks or 0) / self.impressions if self.impressions else None

    @property
    def ctr_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of it; null also where clicks came without their impressions and outnumber them."""
        clicks = self.clicks or 0
        return wilson_interval(clicks, self.impressions) if self.impressions and clicks <= self.impressions else None


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
class Day:
    """A day's figures; those of the clustering are null where the day has none, those of changes where it has no lineage."""

    dt: datetime.date
    log_rows: int
    dau_banners: int
    mau_banners: int
    new_banners: int
    clusters: int | None = None
    outliers: int | None = None
    state: str | None = None
    changes: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Theme:
    """A row of `themes`; ``largest`` are the ids of its largest clusters."""

    k: int
    slot: int
    clusters: int
    banners: int
    largest: Sequence[str]


@dataclass(frozen=True)
class Outlier:
    """A picture in no cluster, and the largest cluster that was cut from the group it fell out of."""

    picture: Shown
    once_with: str | None = None


@dataclass(frozen=True)
class Duplicates:
    """Near duplicates of the whole clustering: sets, the banners beyond one per set, pairs shown, and all pairs by cosine."""

    sets: int = 0
    spare_banners: int = 0
    all_pairs: int = 0
    pairs: Sequence[Pair] = ()
    cosines: Sequence[tuple[float, int]] = ()


@dataclass(frozen=True)
class Report:
    """Everything that the pages show.

    Attributes:
        day: null for a folder of own images, which has no day.
        day_axis: days of `Cluster.day_banners`.
        sizes: over all clusters: exponent e -> clusters of 2^e to 2^(e + 1) - 1 banners.
        cohesions: over all clusters: lower edge of a bin -> clusters.
        all_clusters: also those that are not shown.
        has_lineage: whether the clustering has rows in `cluster_lineage`.
        search: metrics of the clustering's run; empty where the run is not known.
        thumbnail_px: side that cards' pictures were drawn for.
        icon_px: side that pictures of the list of all clusters were drawn for, where that has a page of its own.
        pair_px: side that pairs were drawn for.
        trends: by window and measure; empty where none are known.
        max_false_discoveries: among the trends, as a share; null where it is not known.
        experiments: of the newest day up to this one that has any.
        strategies: the newest comparison up to this day, by encoder.
    """

    day: datetime.date | None
    clustering_id: str
    encoder_id: str
    funnel: Sequence[Step]
    days: Sequence[Day]
    day_axis: Sequence[datetime.date]
    clusters: Sequence[Cluster]
    all_clusters: int
    sizes: Sequence[tuple[int, int]]
    cohesions: Sequence[tuple[float, int]]
    has_lineage: bool
    themes: Sequence[Theme]
    outliers: Sequence[Outlier]
    all_outliers: int
    duplicates: Duplicates
    failures: Sequence[Mapping[str, object]]
    rejects: Sequence[tuple[str, str, int]]
    runs: Sequence[tuple[str, float, str]]
    search: Mapping[str, float]
    images: Mapping[str, Image]
    thumbnail_px: int
    icon_px: int
    pair_px: int
    trends: Sequence[TrendFamily] = ()
    max_false_discoveries: float | None = None
    experiments: Sequence[Experiment] = ()
    strategies: Sequence[StrategyComparison] = ()

    @property
    def unit(self) -> str:
        """What is counted, in the singular."""
        return "banner" if self.day else "file"
