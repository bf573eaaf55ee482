"""Columns of the frames that no table holds."""

from __future__ import annotations

from bannermap.platform.tables import Table

ENTRIES = Table(
    name="entries",
    about="What documents are made of: one row per member, and one per cluster that comes before its members.",
    columns={
        "cluster_id": "string: see clusters",
        "page": "int: number of the cluster's document that holds the row, from 0",
        "banner_id": "string: null in the row of the cluster itself",
        "pixel_hash": "string: see cluster_members",
        "similarity_to_medoid": "float: see cluster_members",
        "duplicate_set_id": "string: see cluster_members",
        "is_retired": "boolean: see cluster_members",
        "header": "string: JSON of what the cluster's first document says beside its members; null in rows of members",
    },
    key=("cluster_id", "page", "banner_id"),
)
WRITTEN = Table(
    name="written",
    about="What one task wrote.",
    columns={
        "documents": "bigint: written and acknowledged",
        "members": "bigint: within these",
        "bytes": "bigint: of these documents, as BSON",
        "repeated": "bigint: operations that were tried again",
        "problem": "string: why the task gave up; null where it wrote everything",
    },
    key=(),
)
