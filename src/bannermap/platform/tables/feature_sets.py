"""Feature sets: what one is made of, the names of its columns and its table, all from one definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bannermap.platform.tables.declaration import Table
from bannermap.platform.tables.features import FEATURE_RULE, USER_FEATURES
from bannermap.platform.tables.names import (
    count_column,
    list_column,
    recency_column,
    share_column,
    slot_column,
    window_column,
)

SET_PREFIX = "user_feature_set_"
RECENCY_LIST = "recency"


@dataclass(frozen=True)
class FeatureSet:
    """A set of features of each user, published as a table of its own.

    Attributes:
        name: of the set; small letters, digits and _.
        events: of `EVENT_TYPES`, in that order.
        windows_days: of `WINDOWS_DAYS`, shortest first.
        themes: number of themes that are counted by; None for the clusters themselves.
        layout: ``arrays`` aligned with cluster_ids; ``wide``, a column per value and slot; ``list``, one list per window.
        recency: with the days since the last event of each type.
        share: with the share of the user's events that fell into the cluster.
    """

    name: str
    events: tuple[str, ...]
    windows_days: tuple[int, ...]
    themes: int | None
    layout: str
    recency: bool
    share: bool

    @property
    def longest_days(self) -> int:
        """The longest window; also the recency of what did not happen in it."""
        return self.windows_days[-1]

    @property
    def counts(self) -> tuple[str, ...]:
        """Names of the counts: windows shortest first, then events."""
        return tuple(window_column(e, w) for w in self.windows_days for e in self.events)

    @property
    def shares(self) -> tuple[str, ...]:
        """Names of the shares in the order of the counts; none without ``share``."""
        return tuple(share_column(e, w) for w in self.windows_days for e in self.events) if self.share else ()

    @property
    def recencies(self) -> tuple[str, ...]:
        """Names of the recencies; none without ``recency``."""
        return tuple(recency_column(e) for e in self.events) if self.recency else ()

    @property
    def definition(self) -> dict[str, object]:
        """Everything that the numbers depend on, and nothing else: not the name."""
        return {
            "rule": FEATURE_RULE,
            "events": list(self.events),
            "windows_days": list(self.windows_days),
            "themes": self.themes,
            "layout": self.layout,
            "recency": self.recency,
            "share": self.share,
        }

    def table(self) -> Table:
        """The set's table: plain Parquet, one row per user of user_features."""
        columns = {"arrays": self._aligned, "wide": self._wide, "list": self._listed}[self.layout]()
        published = {c: USER_FEATURES.columns[c] for c in ("dt", "clustering_id", "revision", "user_id")}
        return Table(
            name=f"{SET_PREFIX}{self.name}",
            about=f"Feature set {self.name}: one row per user of user_features.",
            columns={**published, **columns, "available_at": USER_FEATURES.columns["available_at"]},
            key=USER_FEATURES.key,
            partition_by=USER_FEATURES.partition_by,
            format="parquet",
            definition=self.definition,
        )

    def _aligned(self) -> dict[str, str]:
        what = "clusters" if self.themes is None else "themes"
        return {
            "cluster_ids": f"array<string>: {what} with any count of the set, sorted",
            **{name: f"array<{type_}>: {about}, aligned with cluster_ids" for name, (type_, about) in self._values().items()},
        }

    def _wide(self) -> dict[str, str]:
        return {
            slot_column(name, slot): f"{type_}: {about}; slots as in wide_slots"
            for name, (type_, about) in self._values().items()
            for slot in range(1, (self.themes or 0) + 1)
        }

    def _listed(self) -> dict[str, str]:
        order = " of all slots, then ".join(map(count_column, self.events)) + " of all slots"
        more = f", then the shares of {order}" if self.share else ""
        lists = {list_column(w): f"array<float>: {order}{more}" for w in self.windows_days}
        recent = {RECENCY_LIST: f"array<float>: days since the last of {order}"} if self.recency else {}
        return {**lists, **recent}

    def _values(self) -> Mapping[str, tuple[str, str]]:
        """Value -> its type and meaning."""
        never = f"{self.longest_days} where there was none in as many days"
        return {
            **dict.fromkeys(self.counts, ("int", "count in the window")),
            **dict.fromkeys(self.shares, ("float", "share of the user's events of the window, 0 where there is none")),
            **dict.fromkeys(self.recencies, ("int", f"days since the last event, 0 on the as-of day; {never}")),
        }
