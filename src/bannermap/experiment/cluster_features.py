"""A row's features from its user's windowed counts: in the banner's cluster, its theme, over everything, and in each theme.

For each window w and event type e, with n the user's count there:

- ``log_{block}_{e}s_{w}d`` = ln(1 + n), for the blocks cluster, theme and all;
- ``share_{block}_{e}s_{w}d`` = n over the user's count over everything, 0 where that is 0, for cluster and theme;
- ``ctr_{block}_{w}d`` = clicks over impressions, 0 without impressions and at most 1, for cluster, theme and all;
- ``log_theme{slot}_{e}s_{w}d`` = ln(1 + n) for each of the k themes, whichever the banner's is, for the block themes;
- ``share_theme{slot}_{e}s_{w}d`` = n over the user's count over everything, for each of them, for the block theme_shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bannermap.platform.tables import EVENT_TYPES, WINDOWS_DAYS, window_column

BLOCKS = ("cluster", "theme", "all", "themes", "theme_shares")
OF_EACH_THEME = {"themes": "log_theme", "theme_shares": "share_theme"}
NONE = -1
"""Code of no history, no cluster; slot of no theme."""


@dataclass(frozen=True)
class Histories:
    """Windowed counts of some (as-of day, user) histories, one row per cluster of each.

    Attributes:
        history: int64 (pairs,), number of the history, 0 or more, in any order.
        cluster: int64 (pairs,), code of the cluster, 0 or more; `NONE` for unclustered.
        slot: int64 (pairs,), slot of its theme, 1 to k; `NONE` for none.
        counts: int64 (pairs, windows, events), as `WINDOWS_DAYS` and `EVENT_TYPES`.
        number: histories.
    """

    history: np.ndarray
    cluster: np.ndarray
    slot: np.ndarray
    counts: np.ndarray
    number: int


@dataclass(frozen=True)
class FeatureChoice:
    """Which features are made.

    Attributes:
        blocks: of `BLOCKS`.
        events: of `EVENT_TYPES`.
        windows: of `WINDOWS_DAYS`, days.
        themes: k, number of slots.
    """

    blocks: Sequence[str] = BLOCKS[:4]
    events: Sequence[str] = EVENT_TYPES
    windows: Sequence[int] = WINDOWS_DAYS
    themes: int = 10


def feature_names(choice: FeatureChoice) -> list[str]:
    """Names in the order of `cluster_features`' columns."""
    windows = [window_column(e, w) for w in choice.windows for e in choice.events]
    names = []
    for block in _in_order(choice):
        if block in OF_EACH_THEME:
            names += [f"{OF_EACH_THEME[block]}{slot:02d}_{c}" for slot in range(1, choice.themes + 1) for c in windows]
            continue
        names += [f"log_{block}_{c}" for c in windows]
        names += [f"share_{block}_{c}" for c in windows] if block != "all" else []
        names += [f"ctr_{block}_{w}d" for w in choice.windows]
    return names


def cluster_features(
    histories: Histories, row_history: np.ndarray, row_cluster: np.ndarray, row_slot: np.ndarray, choice: FeatureChoice
) -> np.ndarray:
    """The features of impressions; a row without a history, or whose banner has no cluster, counts 0 there.

    Args:
        histories: of the users.
        row_history: int64 (n,), the history that an impression joins; `NONE` for none.
        row_cluster: int64 (n,), code of its banner's cluster in that history's clustering; `NONE` for none.
        row_slot: int64 (n,), slot of its banner's theme; `NONE` for none.
        choice: which features.

    Returns:
        float32 (n, features), columns as `feature_names`.
    """
    total = _by_key(histories, histories.history, histories.number)
    themes = _by_key(histories, histories.history * choice.themes + histories.slot - 1, histories.number * choice.themes)
    known = row_history != NONE
    everything = _taken(total, np.where(known, row_history, NONE))
    place = {
        "cluster": _taken(histories.counts, _own_pairs(histories, row_history, row_cluster)),
        "theme": _taken(themes, np.where(known & (row_slot != NONE), row_history * choice.themes + row_slot - 1, NONE)),
        "all": everything,
    }
    columns: list[np.ndarray] = []
    for block in _in_order(choice):
        if block in OF_EACH_THEME:
            columns += _theme_columns(themes, row_history, everything if block == "theme_shares" else None, choice)
        else:
            columns += _block_columns(place[block], everything if block != "all" else None, choice)
    return np.concatenate(columns, axis=1) if columns else np.zeros((len(row_history), 0), np.float32)


def density(features: np.ndarray) -> float:
    """Share of rows that have any feature other than 0; nan without rows."""
    return float((features != 0).any(axis=1).mean()) if len(features) else float("nan")


def _in_order(choice: FeatureChoice) -> Iterator[str]:
    return (block for block in BLOCKS if block in choice.blocks)


def _by_key(histories: Histories, key: np.ndarray, count: int) -> np.ndarray:
    """Counts summed by a key; pairs without a theme are left out where the key would be that of one."""
    sums = np.zeros((count, *histories.counts.shape[1:]), np.int64)
    inside = np.ones(len(key), bool) if key is histories.history else histories.slot != NONE
    np.add.at(sums, key[inside], histories.counts[inside])
    return sums


def _own_pairs(histories: Histories, row_history: np.ndarray, row_cluster: np.ndarray) -> np.ndarray:
    """int64 (n,): the pair that holds the row's history and cluster, `NONE` where there is none."""
    width = max(int(histories.cluster.max(initial=0)), int(row_cluster.max(initial=0))) + 1
    inside = np.flatnonzero(histories.cluster != NONE)
    keys = histories.history[inside] * width + histories.cluster[inside]
    order = np.argsort(keys, kind="stable")
    wanted = np.where((row_history != NONE) & (row_cluster != NONE), row_history * width + row_cluster, NONE)
    if not len(keys):
        return np.full(len(wanted), NONE)
    found = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order][found] == wanted, inside[order][found], NONE)


def _taken(counts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """int64 (n, windows, events): the counts of each row, 0 for `NONE`."""
    if not len(counts):
        return np.zeros((len(rows), *counts.shape[1:]), np.int64)
    return np.where((rows != NONE)[:, None, None], counts[np.maximum(rows, 0)], 0)


def _block_columns(counts: np.ndarray, everything: np.ndarray | None, choice: FeatureChoice) -> list[np.ndarray]:
    chosen = _chosen(counts, choice)
    columns = [_flat(np.log1p(chosen))]
    if everything is not None:
        columns.append(_flat(_ratio(chosen, _chosen(everything, choice))))
    shown, clicks = (counts[:, :, EVENT_TYPES.index(e)] for e in ("impression", "click"))
    windows = [WINDOWS_DAYS.index(w) for w in choice.windows]
    return [*columns, np.minimum(_ratio(clicks, shown)[:, windows], 1.0).astype(np.float32)]


def _theme_columns(
    themes: np.ndarray, row_history: np.ndarray, everything: np.ndarray | None, choice: FeatureChoice
) -> list[np.ndarray]:
    """Of each theme logarithms of counts, or shares of everything where that is given."""
    known = row_history != NONE
    rows = [np.where(known, row_history * choice.themes + slot, NONE) for slot in range(choice.themes)]
    counts = [_chosen(_taken(themes, r), choice) for r in rows]
    if everything is None:
        return [_flat(np.log1p(c)) for c in counts]
    return [_flat(_ratio(c, _chosen(everything, choice))) for c in counts]


def _chosen(counts: np.ndarray, choice: FeatureChoice) -> np.ndarray:
    windows, events = [WINDOWS_DAYS.index(w) for w in choice.windows], [EVENT_TYPES.index(e) for e in choice.events]
    return counts[:, windows][:, :, events]


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).astype(np.float32)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.where(below > 0, above / np.maximum(below, 1), 0.0)
