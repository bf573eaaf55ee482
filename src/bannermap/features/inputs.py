"""What features are made from: sums of partials and assignments, and the assignments as integers for tasks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from bannermap.features import transforms as t
from bannermap.features.assignments import Assignments, coded
from bannermap.features.digests import RowSums
from bannermap.platform.errors import PublicationError
from bannermap.platform.runs import JobContext
from bannermap.platform.tables import CLUSTER_MEMBERS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def assignment_sums(context: JobContext, clustering_ids: Collection[str]) -> dict[Any, RowSums]:
    """Sums of clusterings' assignments; a clustering without a banner in a cluster is not there."""
    members = t.inside_clusters(context.warehouse.read_or_empty(CLUSTER_MEMBERS))
    mine = members.where(F.col("clustering_id").isin(sorted(clustering_ids)))
    return t.sums_by(mine, "clustering_id", t.ASSIGNMENT_COLUMNS)


def coded_clusterings(context: JobContext, clustering_ids: Sequence[str], themes: Sequence[int]) -> Assignments:
    """Clusters of each clustering, then each number of themes of each: with c clusterings, assignment n counts by the clusters of
    clustering n, assignment c * (1 + m) + n by its themes where there are ``themes[m]`` of them.

    Raises:
        InputError: there are no members of clusterings.
        PublicationError: a clustering has a banner in two clusters.
    """
    members = context.warehouse.read(CLUSTER_MEMBERS, "cluster_banners")
    forms = [(c, t.clustered_banners(members, c)) for c in clustering_ids]
    forms += [(c, t.themed_banners(members, c, number)) for number in themes for c in clustering_ids]
    # One after the other: the driver then holds the ids of one assignment as strings, whatever their number.
    return coded(_collected(clustering_id, frame) for clustering_id, frame in forms)


def _collected(clustering_id: str, frame: DataFrame) -> pa.Table:
    """An assignment.

    Tasks look up one cluster for each banner, so no figure of what they count would show a second one.
    """
    rows = frame.toArrow()
    assignment = rows.cast(pa.schema([(name, pa.large_string()) for name in rows.column_names]))
    repeated = len(assignment) - pc.count_distinct(assignment["banner_id"]).as_py()
    if repeated:
        raise PublicationError(
            f"Features by clustering {clustering_id} were not published: cluster_members puts {repeated} banners into a second "
            "cluster, and events count by one. Nothing was published; make the clustering anew with cluster_banners."
        )
    return assignment
