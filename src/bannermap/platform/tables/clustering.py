"""Tables of the clustering."""

from __future__ import annotations

from bannermap.platform.tables.declaration import Table
from bannermap.platform.tables.migrations import AddColumns

CELLS = Table(
    name="cells",
    about="How neighbours are looked for from a day on, until the next rebuild.",
    columns={
        "encoder_id": "string: see embeddings",
        "dt": "date: day on which they were learned",
        "cells_id": "string: see neighbours",
        "search": "string: JSON of the settings that they follow from; with others they are learned anew",
        "cell": "int: 0 .. cells - 1; a single 0 where every picture is searched against every other",
        "centroid": "array<float>: unit length; null where everything is searched",
    },
    key=("encoder_id", "dt", "cell"),
    partition_by=("encoder_id", "dt"),
)
NEIGHBOURS = Table(
    name="neighbours",
    about="Exact-scored nearest neighbours of each picture; a day holds only the lists that changed that day.",
    columns={
        "cells_id": "string: 'exact-' and k, or 'cells-' and a hash of the cells, of how many are asked, and of k",
        "encoder_id": "string: see embeddings",
        "dt": "date: day that made or changed the list",
        "src": "string: pixel_hash of the picture",
        "neighbours": "array<struct<dst:string,cosine:float>>: cosine descending, then dst; null: no longer clustered",
        "cells": "array<int>: cells that it asked, nearest first; empty where everything was searched",
        "vector_hash": "bigint: of the vector that was searched; with another one the picture is searched again",
    },
    key=("cells_id", "encoder_id", "dt", "src"),
    partition_by=("cells_id", "encoder_id", "dt"),
    version=2,
    migrations={2: AddColumns(("cells", "vector_hash"), "null: such lists are made anew by the next clustering")},
)
CLUSTERINGS = Table(
    name="clusterings",
    about="One row per clustering: a day's pictures, an encoder and settings. New input makes a new row, never another content.",
    columns={
        "clustering_id": "string: day and a hash of input, encoder_id, settings and the previous clustering",
        "dt": "date: as-of day; nothing later was read",
        "sequence": "int: 1 for the day's first clustering, 2 for the next; features take the newest",
        "previous_clustering_id": "string: the one whose ids it inherits; null for the first",
        "state": "string: current; stale where an earlier day was clustered anew since; superseded where its own day was",
        "encoder_id": "string: see embeddings",
        "settings": "string: JSON of the clustering settings",
        "nodes": "bigint: distinct pictures",
        "banners": "bigint: banners with a picture",
        "clusters": "bigint: clusters",
        "outliers": "bigint: banners that are in none",
    },
    key=("clustering_id",),
    version=2,
    migrations={
        2: AddColumns(
            ("previous_clustering_id", "state"),
            "no previous one; the newest of its day is current, others are superseded",
            "SELECT clustering_id, NULL AS previous_clustering_id, "
            "IF(sequence = max(sequence) OVER (PARTITION BY dt), 'current', 'superseded') AS state FROM {clusterings}",
        )
    },
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
        "themes": "map<int, string>: number of themes -> theme_id; an outlier's is the nearest",
        "duplicate_set_id": "string: see duplicate_sets; null where nothing is nearly the same",
        "is_retired": "boolean: not seen for clustering.retire_after_days; it stays until the next rebuild",
    },
    key=("clustering_id", "banner_id"),
    partition_by=("clustering_id",),
    version=3,
    migrations={
        2: AddColumns(("themes", "duplicate_set_id"), "null: neither was looked for"),
        3: AddColumns(("is_retired",), "null: it was not noted"),
    },
)
CLUSTERS = Table(
    name="clusters",
    about="One row per cluster.",
    columns={
        "clustering_id": "string: see clusterings",
        "cluster_id": "string: a hash of the clustering it was born in and its members; kept while it lives",
        "born_dt": "date: day of the clustering it was born in",
        "size": "bigint: banners",
        "nodes": "bigint: distinct pictures",
        "medoid": "string: pixel_hash of the picture nearest to all others",
        "cohesion": "double: mean cosine over all pairs of pictures, -1 to 1; 1 for a single one",
        "threshold": "double: cosine of the cut that made it",
        "depth": "int: step of the cut that made it, 0 for the start",
        "parent": "string: id of the group that was cut; null at the start",
        "themes": "map<int, string>: number of themes -> theme_id, see themes",
    },
    key=("clustering_id", "cluster_id"),
    partition_by=("clustering_id",),
    version=2,
    migrations={
        2: AddColumns(
            ("born_dt", "themes"),
            "born on the day of their clustering, since ids were not inherited; no themes",
            "SELECT clustering_id, cluster_id, dt AS born_dt, NULL AS themes "
            "FROM {clusters} JOIN {clusterings} USING (clustering_id)",
        )
    },
)
CLUSTER_LINEAGE = Table(
    name="cluster_lineage",
    about="What happened to each cluster since the previous clustering; banners that changed their cluster are all in here.",
    columns={
        "clustering_id": "string: see clusterings",
        "cluster_id": "string: a cluster of this clustering; of a retired one, its last id",
        "event": "string: created, kept, merged_from (banners came from another), split_from (it is a part of another), retired",
        "other_cluster_id": "string: merged_from and split_from: the cluster of the previous clustering; else null",
        "banners": "bigint: created: its size; kept: that stayed; merged_from, split_from: that came; retired: that it had",
        "fell_out": "bigint: kept and retired: banners of the previous clustering that are in no cluster now; else null",
    },
    key=("clustering_id", "cluster_id", "event", "other_cluster_id"),
    partition_by=("clustering_id",),
)
THEMES = Table(
    name="themes",
    about="Fixed numbers of themes: k-means over centroids of clusters, weighted by size; every cluster and outlier has one.",
    columns={
        "clustering_id": "string: see clusterings",
        "k": "int: number of themes asked for",
        "slot": "int: 1 to k; a theme keeps its slot while it lives",
        "theme_id": "string: a hash of the clustering it was born in, k and its number there; kept while it lives",
        "born_dt": "date: day of the clustering it was born in",
        "clusters": "bigint: clusters in it",
        "banners": "bigint: banners in it, outliers too",
        "centroid": "array<float>: unit length",
    },
    key=("clustering_id", "k", "slot"),
    partition_by=("clustering_id",),
)
NEAR_DUPLICATES = Table(
    name="near_duplicates",
    about="Pairs of nearly equal pictures of one cluster: edges of the neighbour graph from clustering.min_duplicate_cosine on.",
    columns={
        "clustering_id": "string: see clusterings",
        "cluster_id": "string: see clusters",
        "set_id": "string: see duplicate_sets",
        "pixel_hash_a": "string: the smaller of the two",
        "pixel_hash_b": "string: the greater",
        "cosine": "float: -1 to 1",
    },
    key=("clustering_id", "pixel_hash_a", "pixel_hash_b"),
    partition_by=("clustering_id",),
)
DUPLICATE_SETS = Table(
    name="duplicate_sets",
    about="Banners that are joined by near duplicates, or show the same pixels, and the one to keep; members: cluster_members.",
    columns={
        "clustering_id": "string: see clusterings",
        "set_id": "string: smallest pixel_hash of the set",
        "cluster_id": "string: see clusters",
        "pictures": "bigint: distinct pictures",
        "banners": "bigint: banners",
        "keeper_banner_id": "string: the suggestion: most pixels, then most bytes per pixel, then first seen, then smallest id",
        "keeper_pixel_hash": "string: its picture",
        "reason": "string: largest, best_quality, oldest or first_id: the first of these that decided",
        "detail": "string: the figures behind the reason",
    },
    key=("clustering_id", "set_id"),
    partition_by=("clustering_id",),
)
BANNER_ASSIGNMENTS = Table(
    name="banner_assignments",
    about="Banners of a day by a stored clustering, which stays as it is: each one's cluster, or why it has none.",
    columns={
        "dt": "date: day of the banners; nothing later was read",
        "clustering_id": "string: see clusterings; of this day or before; of a saved model, its model_id",
        "banner_id": "string: see banner_days",
        "pixel_hash": "string: the picture, as of the day; null where it has none",
        "cluster_id": "string: see clusters; null where it joins none",
        "reason": "string: member (a member with this picture, in a cluster or not), same_picture (a member shows these pixels), "
        "nearest_picture (similar enough to a clustered one), too_far (from all of them), no_vector (none by this encoder by "
        "the day), other_dimensions, not_finite or zero_vector (one that cannot be compared), model (a saved model placed it, "
        "in a cluster or in none)",
        "nearest_pixel_hash": "string: the most similar clustered picture, or the same; null for a member or without a vector",
        "nearest_banner_id": "string: the smallest member that shows it",
        "cosine": "float: to that picture, -1 to 1",
        "threshold": "double: cosine of the cut that made its own or the nearest picture's cluster; null without one",
        "similarity_to_medoid": "float: cosine to that of its cluster, -1 to 1; null without one",
        "themes": "map<int, string>: number of themes -> theme_id: its cluster's, or the nearest; null without a vector",
    },
    key=("dt", "clustering_id", "banner_id"),
    partition_by=("dt", "clustering_id"),
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
    columns={c: m for c, m in CLUSTERS.columns.items() if c not in ("clustering_id", "born_dt", "themes")},
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
