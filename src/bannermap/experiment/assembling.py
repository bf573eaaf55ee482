"""From collected rows to the arrays of the experiment, and what the rows themselves say about time."""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bannermap.experiment.cluster_features import NONE, FeatureChoice, Histories, cluster_features
from bannermap.experiment.evaluation import FEATURES, FUTURE, Impressions
from bannermap.experiment.models import hashed
from bannermap.experiment.timeline import DAY_US
from bannermap.platform.tables import EVENT_TYPES, WINDOWS_DAYS, window_column, window_columns

if TYPE_CHECKING:
    import pandas as pd

SLICES = ("app_id", "campaign_id", "placement_id")
Codes = dict[tuple[object, object], int]
KINDS = {FEATURES: "present", FUTURE: "future"}


@dataclass(frozen=True)
class LateBegin:
    """Events that begin after windows that were counted, so that these cannot be held against them.

    Attributes:
        begin: first day of the events.
        wanted: first day of the longest windows.
        publications: joined ones whose windows begin before the events.
        joined: all joined ones.
    """

    begin: datetime.date
    wanted: datetime.date
    publications: int
    joined: int


@dataclass(frozen=True)
class Collected:
    """What Spark hands to the driver.

    Attributes:
        rows: impressions with ``clicked`` and, for present and future, publication, cluster and slot, see `transforms`.
        histories: see `transforms.history_counts`.
        raw: see `transforms.raw_totals`.
        checked: publications whose counts ``raw`` can be held against: those that no later revision corrects, and
            whose windows the events hold wholly.
        late_begin: what could not be held against the events; None where everything was.
    """

    rows: pd.DataFrame
    histories: pd.DataFrame
    raw: pd.DataFrame
    checked: frozenset[int]
    late_begin: LateBegin | None = None


@dataclass(frozen=True)
class Breach:
    """Rows that joined what they must not have: how many, and of which days.

    Attributes:
        what: in words.
        by_day: day -> rows.
    """

    what: str
    by_day: dict[str, int]


def impressions_of(rows: pd.DataFrame) -> Impressions:
    """Labels, days, users and hashed context of collected impressions."""
    hour = (rows["event_us"].to_numpy() % DAY_US) // 3_600_000_000
    columns = {name: rows[name].to_numpy(object) for name in (*SLICES, "banner_id")}
    _, users = np.unique(rows["user_id"].to_numpy(str), return_inverse=True)
    slices = {name: np.array([v if isinstance(v, str) else None for v in columns[name]], object) for name in SLICES}
    days = rows["event_us"].to_numpy() // DAY_US
    return Impressions(days, users, rows["clicked"].to_numpy(bool), hashed({**columns, "hour": hour}), slices)


def variants_of(collected: Collected, choice: FeatureChoice) -> dict[str, np.ndarray]:
    """The features that a server could have had; and those of the impression's own day, if every day has them: with some days
    alone a model would learn which days those are."""
    histories, keys, clusters = _histories(collected.histories)
    found = {}
    for variant, kind in KINDS.items():
        rows = collected.rows
        if variant == FUTURE and rows[kind].isna().any():
            continue
        history = _codes(list(zip(_numbers(rows[kind]), rows["user_id"], strict=True)), keys)
        cluster = _codes(list(zip(_numbers(rows[kind]), rows[f"{kind}_cluster"], strict=True)), clusters)
        found[variant] = cluster_features(histories, history, cluster, _numbers(rows[f"{kind}_slot"]), choice)
    return found


def breaches(collected: Collected) -> list[Breach]:
    """What the joined rows themselves say against the order of time.

    - A row's own as-of day and ``available_at`` against the impression that joined it.
    - A history that counts more events in its longest window than the partials of exactly these days hold: the rest can only come
      from days outside. Fewer is right, since late events raise the partials and never a publication. A revision that a later one
      corrects is not held against them: the log itself may have shrunk. Nor is a window that begins before the events do.
    """
    joined = collected.rows.merge(
        collected.histories.groupby(["publication", "user_id"], as_index=False).agg(
            as_of=("as_of", "max"), available_us=("available_us", "max"), **{c: (c, "sum") for c in _longest()}
        ),
        left_on=["present", "user_id"],
        right_on=["publication", "user_id"],
    ).merge(collected.raw, on=["publication", "user_id"], how="left")
    day, moment = joined["event_us"] // DAY_US, joined["event_us"]
    as_of = joined["as_of"].to_numpy("datetime64[D]").astype(np.int64)
    excess = joined[_longest()].sum(axis=1) > joined["raw_events"].astype("float64").fillna(0.0)
    tests = {
        "joined features of their own day or a later one": day.to_numpy() <= as_of,
        "joined features before available_at": (moment < joined["available_us"]).to_numpy(),
        "joined counts of events from outside their windows": (
            excess & joined["publication"].isin(list(collected.checked))
        ).to_numpy(),
    }
    days = day.to_numpy().astype("datetime64[D]").astype(str)
    return [Breach(what, dict(sorted(Counter(days[bad]).items()))) for what, bad in tests.items() if bad.any()]


def _longest() -> list[str]:
    return [window_column(e, max(WINDOWS_DAYS)) for e in EVENT_TYPES]


def _histories(frame: pd.DataFrame) -> tuple[Histories, Codes, Codes]:
    """Histories as arrays; and the codes of (publication, user) and of (publication, cluster)."""
    publication = _numbers(frame["publication"])
    pairs = list(zip(publication, frame["user_id"], strict=True))
    own = list(zip(publication, frame["cluster_id"], strict=True))
    keys: Codes = {key: n for n, key in enumerate(dict.fromkeys(pairs))}
    clusters: Codes = {key: n for n, key in enumerate(dict.fromkeys(p for p in own if isinstance(p[1], str)))}
    counts = frame[window_columns()].to_numpy(np.int64).reshape(-1, len(WINDOWS_DAYS), len(EVENT_TYPES))
    return Histories(_codes(pairs, keys), _codes(own, clusters), _numbers(frame["slot"]), counts, len(keys)), keys, clusters


def _codes(keys: list[tuple[object, object]], known: Codes) -> np.ndarray:
    return np.array([known.get(key, NONE) for key in keys], np.int64)


def _numbers(column: pd.Series) -> np.ndarray:
    """int64; `NONE` for null."""
    return column.astype("float64").fillna(NONE).to_numpy().astype(np.int64)
