"""Assignments of banners to clusters as integers, for tasks: several of them over one list of banners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bannermap.platform.tables import UNCLUSTERED


@dataclass(frozen=True)
class Assignments:
    """Several assignments; small integers and one copy of each name, to be sent to every task.

    Attributes:
        banner_ids: string (banners,), those that any assignment has a cluster for, each once.
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
        places = pc.index_in(self.banner_ids, value_set=banner_ids)
        known = pc.is_valid(places).to_numpy(zero_copy_only=False)
        codes[:, places.drop_null().to_numpy(zero_copy_only=False)] = self.clusters[:, known]
        return codes


def coded(assignments: Sequence[pa.Table]) -> Assignments:
    """Integers for assignments.

    Args:
        assignments: banner_id and cluster_id, strings without nulls, one row per banner.
    """
    banner_ids = _distinct([a["banner_id"] for a in assignments])
    cluster_ids = _distinct([*(a["cluster_id"] for a in assignments), pa.chunked_array([[UNCLUSTERED]], pa.string())])
    cluster_ids = cluster_ids.take(pc.array_sort_indices(cluster_ids))
    result = Assignments(banner_ids, cluster_ids, np.empty((len(assignments), len(banner_ids)), np.int32))
    result.clusters[:] = result.unclustered
    for number, assignment in enumerate(assignments):
        places = pc.index_in(assignment["banner_id"], value_set=banner_ids).to_numpy()
        result.clusters[number, places] = pc.index_in(assignment["cluster_id"], value_set=cluster_ids).to_numpy()
    return result


def _distinct(columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    chunks = [chunk.cast(pa.string()) for column in columns for chunk in column.chunks]
    return pc.unique(pa.chunked_array(chunks, pa.string()))
