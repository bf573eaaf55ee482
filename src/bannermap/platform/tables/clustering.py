"""Tables of the clustering."""

from __future__ import annotations

from bannermap.platform.tables.declaration import Table

NEIGHBOURS = Table(
    name="neighbours",
    about="Exact-scored nearest neighbours of each picture; a day holds only the lists that changed that day.",
    columns={
        "cells_id": "string: how candidates were found; 'exact' for exhaustive search",
        "encoder_id": "string: see embeddings",
        "dt": "date: day that made or changed the list",
        "src": "string: pixel_hash of the picture",
        "neighbours": "array<struct<dst:string,cosine:float>>: cosine descending, then dst ascending",
    },
    key=("cells_id", "encoder_id", "dt", "src"),
    partition_by=("cells_id", "encoder_id", "dt"),
)
CLUSTERINGS = Table(
    name="clusterings",
    about="One row per clustering: a day's pictures, an encoder and settings. New input makes a new row, never another content.",
    columns={
        "clustering_id": "string: day and a hash of input, encoder_id and settings",
        "dt": "date: as-of day; nothing later was read",
        "sequence": "int: 1 for the day's first clustering, 2 for the next; features take the newest",
        "encoder_id": "string: see embeddings",
        "settings": "string: JSON of the clustering settings",
        "nodes": "bigint: distinct pictures",
        "banners": "bigint: banners with a picture",
        "clusters": "bigint: clusters",
        "outliers": "bigint: banners that are in none",
    },
    key=("clustering_id",),
)
CLUSTER_MEMBERS = Table(
    name="cluster_members",
    about="One row per clustering and banner: its cluster, or none.",
    columns={
        "clustering_id": "string: see clusterings",
        "banner_id": "string: see banners",
        "pixel_hash": "string: the picture",
        "cluster_id": "string: null for an outlier",
        "path": "array<string>: ids of the groups that held it, coarsest first, its own cluster last",
        "similarity_to_medoid": "float: cosine, -1 to 1; null for an outlier",
        "is_outlier": "boolean: in no cluster",
    },
    key=("clustering_id", "banner_id"),
    partition_by=("clustering_id",),
)
CLUSTERS = Table(
    name="clusters",
    about="One row per cluster.",
    columns={
        "clustering_id": "string: see clusterings",
        "cluster_id": "string: a hash of its members",
        "size": "bigint: banners",
        "nodes": "bigint: distinct pictures",
        "medoid": "string: pixel_hash of the picture nearest to all others",
        "cohesion": "double: mean cosine over all pairs of pictures, -1 to 1; 1 for a single one",
        "threshold": "double: cosine of the cut that made it",
        "depth": "int: step of the cut that made it, 0 for the start",
        "parent": "string: id of the group that was cut; null at the start",
    },
    key=("clustering_id", "cluster_id"),
    partition_by=("clustering_id",),
)

FILE_MEMBERS = Table(
    name="members",
    about="cluster_banners on plain files: one row per content_hash.",
    columns={
        "content_hash": "string: the node",
        "cluster_id": "string: null for an outlier",
        "is_outlier": "boolean: in no cluster",
        "path": "array<string>: ids of the groups that held it, coarsest first, its own cluster last",
        "similarity_to_medoid": "float: cosine, -1 to 1; null for an outlier",
    },
    key=("content_hash",),
    format="parquet",
)
FILE_CLUSTERS = Table(
    name="file_clusters",
    about="cluster_banners on plain files: one row per cluster; the folder is `clusters`.",
    columns={c: m for c, m in CLUSTERS.columns.items() if c != "clustering_id"},
    key=("cluster_id",),
    format="parquet",
)
FILE_REJECTS = Table(
    name="file_rejects",
    about="cluster_banners on plain files: rows that cannot be clustered; the folder is `rejects`.",
    columns={"node_id": "string: content_hash", "reason": "string: typed reason"},
    key=(),
    format="parquet",
)
