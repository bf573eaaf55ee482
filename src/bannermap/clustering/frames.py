"""Frames that live between two steps of the clustering job, declared like tables; no reader knows them."""

from __future__ import annotations

from bannermap.platform.tables import Table


def _frame(name: str, about: str, key: tuple[str, ...], **columns: str) -> Table:
    return Table(name=name, about=about, columns=columns, key=key, format="frame")


NODES = _frame(
    "nodes",
    "The pictures to cluster, numbered in the order of their ids.",
    key=("node",),
    node="bigint: 0 .. n - 1, ascending with node_id",
    node_id="string: pixel_hash, or content_hash on plain files",
    banners="bigint: banners that show it",
    lane_a="bigint: first half of a hash of node_id",
    lane_b="bigint: second half",
    cells="array<int>: cells that an earlier search asked for it, nearest first; null for a new picture",
    vector="array<float>: unit length",
)
NODE_VECTORS = _frame(
    "node_vectors",
    "What the search needs of a node.",
    key=("node",),
    node="bigint: see nodes",
    vector="array<float>: unit length",
)
NEIGHBOUR_ROWS = _frame(
    "neighbour_rows",
    "Neighbour lists, flat.",
    key=("src", "dst"),
    src="bigint: node",
    dst="bigint: node",
    cosine="float: exact score",
)
EDGE_PACKS = _frame(
    "edge_packs",
    "Edges of a forest, many to a row and strongest first: Spark moves them as bytes.",
    key=("run", "low", "high"),
    run="int: number of the run that they belong to",
    low="binary: numbers of `forest.node_type`, the smaller nodes",
    high="binary: the larger nodes",
    cosine="binary: float32",
)
EDGE_RUNS = _frame(
    "edge_runs",
    "Files of edges that tasks have written, each stronger than all of the next.",
    key=("run",),
    run="int: number of the run, strongest first",
)
CELL_COUNTS = _frame(
    "cell_counts",
    "How many nodes of one task live in a cell.",
    key=("cell",),
    cell="bigint: number of the cell",
    nodes="bigint: that live there",
)
ASKED_CELLS = _frame(
    "asked_cells",
    "Which cells each node asks.",
    key=("node",),
    node="bigint: see nodes",
    cells="array<int>: nearest first; the first is where it lives",
)
CELL_TRAFFIC = _frame(
    "cell_traffic",
    "How many nodes that live in one cell ask another.",
    key=("asked", "home", "kind"),
    asked="int: number of the cell",
    home="int: number of the cell",
    kind="int: see standing",
    nodes="bigint",
)
CELL_ROWS = _frame(
    "cell_rows",
    "A node on its way to a task that holds cells which it asks, or nodes that it is offered to.",
    key=("task", "role", "node"),
    task="int: see cells.CellPlan",
    role="int: see cell_exchange.Role; candidates come first",
    home="int: cell that the node lives in",
    cells="array<int>: asked cells that this task holds, ascending; of a candidate with a kept list, all that it asks",
    node="bigint: see nodes",
    vector="array<float>: unit length",
)
PLACED_VECTORS = _frame(
    "placed_vectors",
    "Vectors at their position in the hierarchy's order.",
    key=("position",),
    position="bigint: 0 .. n - 1",
    node="bigint: see nodes",
    vector="array<float>: unit length",
)
LEVEL_SUMS = _frame(
    "level_sums",
    "Sums over one task's share of a component.",
    key=("level", "component"),
    level="int: see hierarchy",
    component="bigint: number of the component in its level",
    squared_norm="double: |sum x|^2 where the task held the whole component, else null",
    vector_sum="array<bigint>: fixed-point sum where it held a part, else null",
)
MEDOID_CANDIDATES = _frame(
    "medoid_candidates",
    "Best picture of one task's share of a cluster that several tasks hold.",
    key=("cluster", "node"),
    cluster="int: group number",
    score="double: sum of cosines to the others",
    node="bigint: see nodes",
    vector="array<float>: unit length",
)
NODE_CLUSTERS = _frame(
    "node_clusters",
    "Where each node ended.",
    key=("node",),
    node="bigint: see nodes",
    group_number="int: deepest group that holds it, -1 for none",
    similarity_to_medoid="float: null for an outlier",
    is_medoid="boolean: the picture nearest to all others of its cluster",
    theme_numbers="array<int>: per number of themes asked for, the nearest theme: of its cluster's centroid, or an outlier's own",
    duplicate_of="bigint: smallest node of its duplicate set, null where it has none",
)
CENTROIDS = _frame(
    "centroids",
    "Centroids of clusters.",
    key=("group_number",),
    group_number="int: see groups",
    centroid="array<float>: unit length",
)
GROUPS = _frame(
    "groups",
    "The groups that the recursion met.",
    key=("group_number",),
    group_number="int: parents before children; -1 stands for none",
    group_id="string: hash of clustering and members; null for -1",
    path="array<string>: ids from the start down to this group",
    accepted="boolean: whether it is a cluster",
    size="bigint: banners",
    nodes="bigint: distinct pictures",
    cohesion="double: mean pairwise cosine",
    threshold="double: cosine of the cut that made it",
    depth="int: step of that cut",
    parent="string: group_id of the group that was cut",
)
CLUSTER_NAMES = _frame(
    "cluster_names",
    "What the clusters of this clustering are called.",
    key=("provisional_id",),
    provisional_id="string: hash of clustering and members",
    cluster_id="string: the id that it carries on, or the provisional one",
    born_dt="date: day of the clustering it was born in",
)
CLUSTERING_STATES = _frame(
    "clustering_states",
    "Which clusterings still hold.",
    key=("clustering_id",),
    clustering_id="string: see clusterings",
    state="string: current, stale or superseded",
)
CLUSTERED_VECTORS = _frame(
    "clustered_vectors",
    "Pictures that are in a cluster, to be compared with.",
    key=("node_id",),
    node_id="string: see nodes",
    vector="array<float>: unit length",
)
KNOWN_PICTURES = _frame(
    "known_pictures",
    "What a stored clustering says of each of its pictures.",
    key=("node_id",),
    node_id="string: see nodes",
    banner_id="string: the smallest that shows it",
    cluster_id="string: null for an outlier",
    threshold="double: of that cluster",
    medoid="string: of that cluster, a node_id",
    similarity_to_medoid="float: null for an outlier",
    themes="map<int, string>: see cluster_members",
)
NEAREST_PICTURES = _frame(
    "nearest_pictures",
    "The most similar clustered picture of each new one.",
    key=("node",),
    node="bigint: see nodes",
    nearest="string: node_id of the clustered picture",
    cosine="float: exact score",
)
SCORED_PICTURES = _frame(
    "scored_pictures",
    "A new picture against its cluster's medoid and the themes.",
    key=("node",),
    node="bigint: see nodes",
    similarity_to_medoid="float: null where it joins no cluster",
    theme_ids="array<string>: the nearest theme per number of themes, fewest first",
)
PICTURE_ASSIGNMENTS = _frame(
    "picture_assignments",
    "What becomes of a picture; columns as those of banner_assignments.",
    key=("node_id",),
    node_id="string: see nodes",
    cluster_id="string: null where it joins none",
    reason="string: see banner_assignments",
    nearest_pixel_hash="string: node_id of the nearest clustered picture",
    nearest_banner_id="string: the smallest member that shows it",
    cosine="float: to it",
    threshold="double: of its cluster",
    similarity_to_medoid="float: null where it joins none",
    themes="map<int, string>: see banner_assignments",
)
