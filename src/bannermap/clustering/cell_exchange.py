"""What travels between tasks when neighbours are looked for by cells, and what a task answers.

Each vector goes once to the task that holds its cell, where it is a candidate. One that asks goes to every task that holds a
cell which it asks; a new one also to the tasks that hold nodes with kept lists which ask its cell, to be offered to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.clustering.arrow import batch_of, large_chunks, matrix_of
from bannermap.clustering.cells import CellPlan
from bannermap.clustering.frames import CELL_ROWS, NEIGHBOUR_ROWS
from bannermap.clustering.neighbours import Block, NeighbourLists, best_of, improvements, make_block, search_block
from bannermap.clustering.reduction import Reduction
from bannermap.clustering.standing import KEPT, NEW, SURPLUS, Standing

QUERY_ROWS = 4096
"""Askers that a task searches at once; few would waste a matrix product, many its memory."""


class Role(IntEnum):
    """What a row of `CELL_ROWS` does in its task: candidates come first, then those that only ask or are offered."""

    LIVES_AND_ASKS = 0
    LIVES = 1
    ASKS = 2
    IS_OFFERED = 3


@dataclass(frozen=True)
class Exchange:
    """Who goes where.

    Attributes:
        plan: which task holds which cell.
        standing: of all nodes.
        offered_from: int64 (c + 1,), where the tasks of each cell start in ``offered_to``.
        offered_to: int64, tasks that hold nodes with kept lists which ask a cell; ascending for each cell.
        reduction: what tasks look through first.
    """

    plan: CellPlan
    standing: Standing
    offered_from: np.ndarray
    offered_to: np.ndarray
    reduction: Reduction | None = None


def exchange_of(
    plan: CellPlan, standing: Standing, asked: np.ndarray, home: np.ndarray, reduction: Reduction | None = None
) -> Exchange:
    """Find which tasks a new node is offered to.

    Args:
        plan: of all cells.
        standing: of all nodes.
        asked: int64 (p,), cells that nodes with kept lists ask.
        home: int64 (p,), where those nodes live.
        reduction: what tasks look through first.
    """
    cell, task = _tasks_of(asked, home, plan)
    pairs = np.unique(np.stack([cell, task]), axis=1) if len(cell) else np.empty((2, 0), np.int64)
    return Exchange(plan, standing, np.searchsorted(pairs[0], np.arange(len(plan.counts) + 1)), pairs[1], reduction)


def _tasks_of(what: np.ndarray, cells: np.ndarray, plan: CellPlan) -> tuple[np.ndarray, np.ndarray]:
    """Each entry of ``what`` once for each task that holds a part of its cell."""
    copies = plan.chunks[cells]
    return np.repeat(what, copies), np.repeat(plan.first_task[cells], copies) + _numbered(copies)


def sendings(node: np.ndarray, vector: pa.Array, cells: np.ndarray, exchange: Exchange) -> Iterator[pa.RecordBatch]:
    """`CELL_ROWS` of some nodes.

    Args:
        node: int64 (m,).
        vector: of each.
        cells: int64 (m, probes), asked cells, nearest first.
        exchange: who goes where.
    """
    kind = exchange.standing.kind[node]
    yield from _askers(np.flatnonzero(kind != KEPT), node, vector, cells, exchange)
    yield from _listeners(np.flatnonzero(kind == KEPT), node, vector, cells, exchange.plan)
    yield from _offers(np.flatnonzero(kind == NEW), node, vector, cells, exchange)


def _askers(rows: np.ndarray, node: np.ndarray, vector: pa.Array, cells: np.ndarray, x: Exchange) -> Iterator[pa.RecordBatch]:
    """One row for each task that holds a cell the node asks; one that is surplus lives nowhere."""
    plan = x.plan
    at, asked = np.repeat(rows, cells.shape[1]), cells[rows].ravel()
    copies = plan.chunks[asked]
    at, asked, chunk = np.repeat(at, copies), np.repeat(asked, copies), _numbered(copies)
    task = plan.first_task[asked] + chunk
    order = np.lexsort((asked, task, at))
    at, asked, task = at[order], asked[order], task[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(at) != 0) | (np.diff(task) != 0)][: len(at)])
    at, task, bounds = at[starts], task[starts], np.append(starts, len(asked))
    lives = (task == _home_task(node[at], cells[at, 0], plan)) & (x.standing.kind[node[at]] != SURPLUS)
    role = np.where(lives, Role.LIVES_AND_ASKS, Role.ASKS)
    return _rows_of(task, role, at, bounds, asked, node, vector, cells)


def _listeners(
    rows: np.ndarray, node: np.ndarray, vector: pa.Array, cells: np.ndarray, plan: CellPlan
) -> Iterator[pa.RecordBatch]:
    bounds = np.arange(len(rows) + 1) * cells.shape[1]
    role, task = np.full(len(rows), Role.LIVES), _home_task(node[rows], cells[rows, 0], plan)
    return _rows_of(task, role, rows, bounds, cells[rows].ravel(), node, vector, cells)


def _offers(rows: np.ndarray, node: np.ndarray, vector: pa.Array, cells: np.ndarray, x: Exchange) -> Iterator[pa.RecordBatch]:
    home = cells[rows, 0]
    copies = x.offered_from[home + 1] - x.offered_from[home]
    at = np.repeat(rows, copies)
    task = x.offered_to[np.repeat(x.offered_from[home], copies) + _numbered(copies)]
    return _rows_of(task, np.full(len(at), Role.IS_OFFERED), at, np.arange(len(at) + 1), cells[at, 0], node, vector, cells)


def _rows_of(
    task: np.ndarray,
    role: np.ndarray,
    at: np.ndarray,
    bounds: np.ndarray,
    values: np.ndarray,
    node: np.ndarray,
    vector: pa.Array,
    cells: np.ndarray,
) -> Iterator[pa.RecordBatch]:
    """Batches of `CELL_ROWS`; row i stands for ``node[at[i]]`` and names the cells ``values[bounds[i]:bounds[i + 1]]``."""
    lists = pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), pa.array(values.astype(np.int32)))
    for low in range(0, len(at), QUERY_ROWS):  # a list column of Arrow holds at most 2^31 values
        part = slice(low, low + QUERY_ROWS)
        yield batch_of(
            CELL_ROWS,
            task[part].astype(np.int32),
            role[part].astype(np.int32),
            cells[at[part], 0].astype(np.int32),
            lists[part],
            node[at[part]],
            vector.take(pa.array(at[part])),
        )


def _home_task(node: np.ndarray, home: np.ndarray, plan: CellPlan) -> np.ndarray:
    return plan.first_task[home] + node % plan.chunks[home]


def _numbered(copies: np.ndarray) -> np.ndarray:
    """0 .. copies - 1 for each."""
    return np.arange(copies.sum()) - np.repeat(np.cumsum(copies) - copies, copies)


@dataclass(frozen=True)
class Inhabitants:
    """Whom a task holds.

    Attributes:
        block: candidates, in parts by their cell.
        node: int64 (m,), of those with kept lists.
        vectors: float32 (m, d), theirs.
        listening: cell -> rows of ``node`` that ask it.
    """

    block: Block
    node: np.ndarray
    vectors: np.ndarray
    listening: dict[int, np.ndarray]


def answered(batches: Iterable[pa.RecordBatch], exchange: Exchange, k: int) -> Iterator[pa.RecordBatch]:
    """`NEIGHBOUR_ROWS` for one task's `CELL_ROWS`, sorted by role: the k best that it holds for each asker, and what enters
    the kept lists of those that it holds."""
    homes: list[pa.Table] = []
    here: Inhabitants | None = None
    standing = exchange.standing
    for chunk in large_chunks(batches, QUERY_ROWS):
        inside = int(pc.sum(pc.less_equal(chunk["role"], int(Role.LIVES))).as_py())
        homes += [chunk.slice(0, inside)] if inside else []
        if inside < chunk.num_rows:
            if here is None:
                here = inhabitants(homes, exchange.reduction)
                yield from _at_home(homes, here, standing, k)
            yield _batch(answers(chunk.slice(inside), here, standing, k))
    if here is None:
        yield from _at_home(homes, inhabitants(homes, exchange.reduction), standing, k)


def _at_home(homes: list[pa.Table], here: Inhabitants, standing: Standing, k: int) -> Iterator[pa.RecordBatch]:
    """Answers to those that live here and ask. ``homes`` ends empty: vectors of the others need not be held any longer."""
    asking = [home.filter(pc.equal(home["role"], int(Role.LIVES_AND_ASKS))) for home in homes]
    homes.clear()
    yield from (_batch(answers(home, here, standing, k)) for home in asking)


def inhabitants(homes: list[pa.Table], reduction: Reduction | None) -> Inhabitants:
    """Of the rows of `CELL_ROWS` that live here."""
    if not homes:
        nobody = np.empty((0, 0), np.float32)
        return Inhabitants(make_block(nobody, np.empty(0, np.int64)), np.empty(0, np.int64), nobody, {})
    whole = pa.concat_tables(homes)
    cell, node, vectors = whole["home"].to_numpy(), whole["node"].to_numpy(), matrix_of(whole["vector"])
    block = make_block(vectors, node, reduction, cell)
    kept = whole["role"].to_numpy() == Role.LIVES
    row, asked = _listed(whole.filter(pa.array(kept)))
    order = np.argsort(asked, kind="stable")
    cells, starts = np.unique(asked[order], return_index=True)
    listening = {int(c): rows for c, rows in zip(cells, np.split(row[order], starts[1:]), strict=True)} if len(cells) else {}
    return Inhabitants(block, node[kept], vectors[kept] if kept.any() else vectors[:0], listening)


def answers(rows: pa.Table, here: Inhabitants, standing: Standing, k: int) -> NeighbourLists:
    """What comes of some rows of `CELL_ROWS`: the k best of the asked cells that are here, and offers that are taken."""
    role = rows["role"].to_numpy()
    asking = rows.filter(pa.array((role == Role.LIVES_AND_ASKS) | (role == Role.ASKS)))
    offered = rows.filter(pa.array(role == Role.IS_OFFERED))
    found = [NeighbourLists.none(), *_nearest_here(asking, here, k), *_taken(offered, here, standing, k)]
    return best_of(found, k)


def _nearest_here(asking: pa.Table, here: Inhabitants, k: int) -> Iterator[NeighbourLists]:
    vectors, node = matrix_of(asking["vector"]), asking["node"].to_numpy()
    row, cell = _listed(asking)
    if len(node):
        asked = {int(c): row[cell == c] for c in np.unique(cell)}
        yield search_block(vectors, node, here.block, k, asked)


def _taken(offered: pa.Table, here: Inhabitants, standing: Standing, k: int) -> Iterator[NeighbourLists]:
    vectors, node, cell = matrix_of(offered["vector"]), offered["node"].to_numpy(), offered["home"].to_numpy()
    for c in np.unique(cell):
        if int(c) in here.listening:
            listen = here.listening[int(c)]
            block = make_block(vectors[cell == c], node[cell == c])
            yield improvements(here.vectors[listen], here.node[listen], standing, block, k)


def _listed(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """(row, cell) of every entry of the cells' lists."""
    lists = rows["cells"].combine_chunks()
    lists = pa.concat_arrays(lists.chunks) if isinstance(lists, pa.ChunkedArray) else lists
    return pc.list_parent_indices(lists).to_numpy(), lists.flatten().to_numpy()


def _batch(lists: NeighbourLists) -> pa.RecordBatch:
    return batch_of(NEIGHBOUR_ROWS, lists.src, lists.dst, lists.cosine)
