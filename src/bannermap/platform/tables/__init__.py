"""Every table of the warehouse, declared once: name, columns with type and meaning, key, partitioning.

Readers and writers go through these declarations (`storage.py`), so a column exists where it is written here and nowhere
else. `docs/tables.md` is printed from them by ``python -m bannermap.platform.tables``.
"""

from __future__ import annotations

from bannermap.platform.tables import analytics, clustering, embedding, experiment, features, lab, logs, registry, runs
from bannermap.platform.tables.analytics import (
    ANALYSED_DAYS,
    BANNER_TEXTS,
    CLUSTER_AUDIENCES,
    CLUSTER_DAYS,
    CLUSTER_TAGS,
    CLUSTER_TRENDS,
)
from bannermap.platform.tables.clustering import (
    BANNER_ASSIGNMENTS,
    CELLS,
    CLUSTER_LINEAGE,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    DUPLICATE_SETS,
    FILE_CLUSTERS,
    FILE_MEMBERS,
    FILE_REJECTS,
    NEAR_DUPLICATES,
    NEIGHBOURS,
    THEMES,
)
from bannermap.platform.tables.declaration import Table
from bannermap.platform.tables.embedding import (
    EMBEDDINGS,
    EXTERNAL_VECTORS,
    FILE_EMBEDDINGS,
    IMAGE_BYTES,
    IMAGE_FETCHES,
)
from bannermap.platform.tables.experiment import (
    EXPERIMENT_RESULTS,
    EXPERIMENT_VERDICTS,
    FILE_EXPERIMENT_RESULTS,
    FILE_EXPERIMENT_VERDICTS,
)
from bannermap.platform.tables.feature_sets import RECENCY_LIST, SET_PREFIX, FeatureSet
from bannermap.platform.tables.features import (
    EVENT_LOG_DAYS,
    FEATURE_PUBLICATIONS,
    FILE_EVENT_REJECTS,
    FILE_USER_CLUSTER_COUNTS,
    FILE_USER_FEATURES,
    USER_BANNER_DAYS,
    USER_BUCKETS_PROPERTY,
    USER_CLUSTER_COUNTS,
    USER_ERASURES,
    USER_FEATURE_LISTS,
    USER_FEATURES,
    USER_FEATURES_WIDE,
    WIDE_SLOTS,
    user_banner_days,
    user_feature_lists,
    user_features_wide,
)
from bannermap.platform.tables.lab import (
    FILE_LAB_LABELS,
    FILE_LAB_RESULTS,
    LAB_EMBEDDINGS,
    LAB_LABELS,
    LAB_RESULTS,
    MODEL_CLUSTERINGS,
)
from bannermap.platform.tables.logs import (
    BANNER_LOG,
    EVENT_LOG,
)
from bannermap.platform.tables.migrations import AddColumns, Migration, Rebuild, Relay
from bannermap.platform.tables.names import (
    BANNER_ATTRIBUTES,
    EVENT_TYPES,
    NO_DAY,
    UNCLUSTERED,
    WINDOWS_DAYS,
    count_column,
    list_column,
    recency_column,
    share_column,
    slot_column,
    wide_column,
    window_column,
    window_columns,
)
from bannermap.platform.tables.registry import (
    BANNER_DAYS,
    BANNERS,
    REGISTRY_DAYS,
    REJECTS,
)
from bannermap.platform.tables.runs import (
    RUNS,
)

STAGES_IN_ORDER = (logs, registry, embedding, clustering, features, analytics, experiment, lab, runs)
ALL_TABLES = tuple(value for module in STAGES_IN_ORDER for value in vars(module).values() if isinstance(value, Table))
WAREHOUSE_TABLES = tuple(
    value
    for module in STAGES_IN_ORDER[1:]
    for name, value in vars(module).items()
    if isinstance(value, Table) and not name.startswith("FILE_")
)
"""Without the logs, which others write, and the results on plain files."""


def reference() -> str:
    """The table reference as Markdown."""
    return "\n".join(["# Tables", "", "Printed by `python -m bannermap.platform.tables`.", "", *map(_section, ALL_TABLES)])


def _section(table: Table) -> str:
    key, parts = (", ".join(f"`{c}`" for c in names) or "none" for names in (table.key, table.partition_by))
    rows = [f"| `{c}` | `{t.split(': ', 1)[0]}` | {t.split(': ', 1)[1]} |" for c, t in table.columns.items()]
    layout = f"{table.format}; version {table.version}; key: {key}; partitioned by: {parts}"
    steps = [f"Version {version} {step.text()}." for version, step in sorted(table.migrations.items())]
    head = [f"## {table.name}", "", table.about, "", layout, "", *(line for step in steps for line in (step, ""))]
    return "\n".join([*head, "| Column | Type | Meaning |", "|---|---|---|", *rows, ""])


__all__ = [
    "ALL_TABLES",
    "ANALYSED_DAYS",
    "BANNERS",
    "BANNER_ASSIGNMENTS",
    "BANNER_ATTRIBUTES",
    "BANNER_DAYS",
    "BANNER_LOG",
    "BANNER_TEXTS",
    "CELLS",
    "CLUSTERINGS",
    "CLUSTERS",
    "CLUSTER_AUDIENCES",
    "CLUSTER_DAYS",
    "CLUSTER_LINEAGE",
    "CLUSTER_MEMBERS",
    "CLUSTER_TAGS",
    "CLUSTER_TRENDS",
    "DUPLICATE_SETS",
    "EMBEDDINGS",
    "EVENT_LOG",
    "EVENT_LOG_DAYS",
    "EVENT_TYPES",
    "EXPERIMENT_RESULTS",
    "EXPERIMENT_VERDICTS",
    "EXTERNAL_VECTORS",
    "FEATURE_PUBLICATIONS",
    "FILE_CLUSTERS",
    "FILE_EMBEDDINGS",
    "FILE_EVENT_REJECTS",
    "FILE_EXPERIMENT_RESULTS",
    "FILE_EXPERIMENT_VERDICTS",
    "FILE_LAB_LABELS",
    "FILE_LAB_RESULTS",
    "FILE_MEMBERS",
    "FILE_REJECTS",
    "FILE_USER_CLUSTER_COUNTS",
    "FILE_USER_FEATURES",
    "IMAGE_BYTES",
    "IMAGE_FETCHES",
    "LAB_EMBEDDINGS",
    "LAB_LABELS",
    "LAB_RESULTS",
    "MODEL_CLUSTERINGS",
    "NEAR_DUPLICATES",
    "NEIGHBOURS",
    "NO_DAY",
    "RECENCY_LIST",
    "REGISTRY_DAYS",
    "REJECTS",
    "RUNS",
    "SET_PREFIX",
    "THEMES",
    "UNCLUSTERED",
    "USER_BANNER_DAYS",
    "USER_BUCKETS_PROPERTY",
    "USER_CLUSTER_COUNTS",
    "USER_ERASURES",
    "USER_FEATURES",
    "USER_FEATURES_WIDE",
    "USER_FEATURE_LISTS",
    "WAREHOUSE_TABLES",
    "WIDE_SLOTS",
    "WINDOWS_DAYS",
    "AddColumns",
    "FeatureSet",
    "Migration",
    "Rebuild",
    "Relay",
    "Table",
    "count_column",
    "list_column",
    "recency_column",
    "reference",
    "share_column",
    "slot_column",
    "user_banner_days",
    "user_feature_lists",
    "user_features_wide",
    "wide_column",
    "window_column",
    "window_columns",
]
