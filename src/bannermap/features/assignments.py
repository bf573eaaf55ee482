"""Assignments of banners to clusters as integers, for tasks: several of them over one list of banners."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.platform.tables import UNCLUSTERED


@dataclass(frozen=True)
class Assignments:
    """Several assignments; small integers and one copy of each name, to be sent to every task.

    Attributes:
        banner_ids: large_string (banners,), those that any assignment has a cluster for, each once.
        cluster_ids: string (clusters,), ascending, with `UNCLUSTERED`; a cluster's code is its place here.
        clusters: int32 (assignments, banners), code of each banner's cluster.
    """

    banner_ids: pa.Array
    cluster_ids: pa.Array
    clusters: np.ndarray

    @property
    def unclustered(self) -> int:
        """Code of `UNCLUSTERED`."""
        return int(pc.index(self.cluster_ids, UNCLUSTERED).as_py())

    def of_banners(self, banner_ids: pa.Array) -> np.ndarray:
        """Codes of other banners' clusters.

        Args:
            banner_ids: string (n,), each once.

        Returns:
            int32 (assignments, n + 1); the last column is for events that name no banner.
        """
        codes = np.full((len(self.clusters), len(banner_ids) + 1), self.unclustered, np.int32)
        # This way round: an index of the few banners of a task, not of all that there are.
        places = pc.index_in(self.banner_ids, value_set=banner_ids.cast(self.banner_ids.type))
        known = pc.is_valid(places).to_numpy(zero_copy_only=False)
        codes[:, places.drop_null().to_numpy(zero_copy_only=False)] = self.clusters[:, known]
        return codes


class _Names:
    """Distinct strings, in the order in which they came.

    Attributes:
        values: large_string, since ids of many banners are more bytes than 32-bit offsets reach.
    """

    def __init__(self, *known: str) -> None:
        self.values = pa.array(known, pa.large_string())

    def places(self, column: pa.ChunkedArray) -> np.ndarray:
        """The place of each string; those that were not known come to be."""
        column = column.cast(self.values.type)
        found = pc.index_in(column, value_set=self.values)
        unknown = column.filter(pc.is_null(found)) if len(self.values) else column
        places = np.array(pc.fill_null(found, -1).to_numpy(), np.int32)
        if len(unknown):
            chunks = unknown.dictionary_encode().chunks  # each has the dictionary of all
            places[places < 0] = np.concatenate([c.indices.to_numpy() for c in chunks]) + np.int32(len(self.values))
            self.values = pa.concat_arrays([self.values, chunks[0].dictionary])
        return places


def coded(assignments: Iterable[pa.Table]) -> Assignments:
    """Integers for assignments; of an iterator, one assignment at a time is held as strings.

    Args:
        assignments: banner_id and cluster_id, strings without nulls, one row per banner.
    """
    banners, clusters = _Names(), _Names(UNCLUSTERED)

    def row(assignment: pa.Table) -> np.ndarray:
        places, codes = banners.places(assignment["banner_id"]), clusters.places(assignment["cluster_id"])
        known = np.zeros(len(banners.values), np.int32)
        known[places] = codes
        return known

    # By map, which lets go of an assignment before it asks for the next; a loop's variable would keep it.
    rows = list(map(row, assignments))
    order = pc.array_sort_indices(clusters.values)
    ranks = np.empty(len(order), np.int32)
    ranks[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    return Assignments(banners.values, clusters.values.take(order).cast(pa.string()), _ranked(rows, ranks, len(banners.values)))


def _ranked(rows: list[np.ndarray], ranks: np.ndarray, banners: int) -> np.ndarray:
    """One array of all rows, each filled up for the banners that came after it; the rows are emptied on the way."""
    result = np.empty((len(rows), banners), np.int32)
    for number in reversed(range(len(rows))):
        row = rows.pop()
        result[number, : len(row)] = ranks[row]
        result[number, len(row) :] = ranks[0]
    return result
