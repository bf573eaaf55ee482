"""Figures of feature rows for the gate, from Arrow batches in one pass: sums that add up over batches and tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.features import gate
from bannermap.features.arrow import by_target
from bannermap.platform.tables import EVENT_TYPES, UNCLUSTERED, WINDOWS_DAYS, window_column, window_columns

FIGURE_COLUMNS = "target int, figure string, value bigint"
JUDGED_COLUMNS = ("user_id", "cluster_ids", *window_columns())


def figure_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The figures of all rows of a task, by target.

    Args:
        batches: target and `JUDGED_COLUMNS`, as in `USER_FEATURES`.

    Yields:
        One batch of target, figure and value.
    """
    sums: Counter[tuple[int, str]] = Counter()
    for target, rows in by_target(batches):
        sums.update({(target, figure): value for figure, value in figures_of(rows).items()})
    targets, figures = (pa.array([key[n] for key in sums], kind) for n, kind in enumerate((pa.int32(), pa.string())))
    yield pa.RecordBatch.from_arrays([targets, figures, pa.array(list(sums.values()), pa.int64())], FIGURE_NAMES)


def figures_of(batch: pa.RecordBatch) -> dict[str, int]:
    """Figures of some rows: those of `gate.Sums` without `gate.REPEATED_USERS`, which no part of a frame can tell.

    A row whose lists are absent or of different lengths counts as one missing value for each of them and for nothing else.
    """
    lists = [batch.column(c) for c in JUDGED_COLUMNS[1:]]
    lengths = np.column_stack([_lengths(column) for column in lists])
    wrong = lengths != lengths[:, :1]
    wrong[:, 0] = lengths[:, 0] < 0
    whole = ~wrong.any(axis=1)
    users = batch.column("user_id")
    missing = int(wrong.sum()) + users.null_count
    kept = [column.filter(pa.array(whole)).flatten() for column in lists]
    owner = np.repeat(np.arange(int(whole.sum())), lengths[whole, 0])
    missing += sum(values.null_count for values in kept)
    counts = np.column_stack([_filled(values) for values in kept[1:]])
    figures = {gate.USERS: batch.num_rows, gate.NO_VALUES: missing, gate.REPEATED_CLUSTERS: _repeated(owner, kept[0])}
    unclustered = pc.fill_null(pc.equal(kept[0], UNCLUSTERED), False).to_numpy(zero_copy_only=False)
    return figures | _count_figures(counts.reshape(-1, len(WINDOWS_DAYS), len(EVENT_TYPES)), unclustered)


def _count_figures(counts: np.ndarray, unclustered: np.ndarray) -> dict[str, int]:
    """Figures of counts, int64 (pairs, windows, events), and of whether each pair lies under no cluster, bool (pairs,)."""
    month = counts[:, -1]
    clicks, impressions = (month[:, EVENT_TYPES.index(e)] for e in ("click", "impression"))
    clicked = clicks > 0
    figures = {
        gate.NEGATIVE: int((counts < 0).sum()),
        gate.SHRINKING: int((np.diff(counts, axis=1) < 0).sum()),
        gate.CLICKED_PAIRS: int(clicked.sum()),
        gate.OVERCLICKED_PAIRS: int((clicked & (clicks > impressions)).sum()),
    }
    for w, window in enumerate(WINDOWS_DAYS):
        for e, event in enumerate(EVENT_TYPES):
            name = window_column(event, window)
            figures[name] = int(counts[:, w, e].sum())
            figures[gate.unclustered_figure(name)] = int(counts[unclustered, w, e].sum())
    return figures


def _lengths(column: pa.ListArray) -> np.ndarray:
    """Length of each list, -1 for null."""
    return pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)


def _filled(values: pa.Array) -> np.ndarray:
    return pc.fill_null(values, 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _repeated(owner: np.ndarray, clusters: pa.Array) -> int:
    """Entries that name a cluster again which their row named before, in any order."""
    codes = clusters.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    keys = owner * (int(codes.max(initial=0)) + 2) + codes
    return len(keys) - len(np.unique(keys))


FIGURE_NAMES = [c.split()[0] for c in FIGURE_COLUMNS.split(", ")]
