"""Every table of the warehouse, declared once: name, columns with type and meaning, key, partitioning.

Readers and writers go through these declarations (`storage.py`), so a column exists where it is written here and nowhere
else. `docs/tables.md` is printed from this file by ``python -m bannermap.platform.tables``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType, StructType

EVENT_TYPES = ("request", "impression", "click")
WINDOWS_DAYS = (1, 7, 15, 30)
BANNER_ATTRIBUTES = ("image_url", "advertiser_id", "landing_url", "text")
UNCLUSTERED = "unclustered"


def count_column(event_type: str) -> str:
    """Name of the count of one event type in a partial: ``request`` -> ``requests``."""
    return f"{event_type}s"


def window_column(event_type: str, window_days: int) -> str:
    """Name of a windowed count: ``('request', 7)`` -> ``requests_7d``."""
    return f"{count_column(event_type)}_{window_days}d"


def wide_column(event_type: str, window_days: int, slot: int) -> str:
    """Name of a wide feature: ``('click', 7, 3)`` -> ``clicks_7d_c03``."""
    return f"{window_column(event_type, window_days)}_c{slot:02d}"


def list_column(window_days: int) -> str:
    """Name of the fixed-length list of one window: ``7`` -> ``features_7d``."""
    return f"features_{window_days}d"


def window_columns() -> list[str]:
    """All windowed counts, shortest window first, then request, impression, click."""
    return [window_column(e, w) for w in WINDOWS_DAYS for e in EVENT_TYPES]


@dataclass(frozen=True)
class Table:
    """One table of the warehouse.

    Attributes:
        name: folder below the warehouse, and what messages call it.
        about: one line for the table reference.
        columns: column name -> ``"spark type: meaning"``, in stored order.
        key: columns that identify a row.
        partition_by: columns of the folder layout; a job overwrites whole partitions only.
        format: ``delta`` for tables; ``parquet`` where readers without Delta must be able to read.
    """

    name: str
    about: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    format: str = "delta"

    def type_of(self, column: str) -> str:
        """Spark type of a column, as in DDL."""
        return self.columns[column].split(": ", 1)[0]

    @property
    def ddl(self) -> str:
        """Columns as a Spark DDL string."""
        return ", ".join(f"`{c}` {self.type_of(c)}" for c in self.columns)

    @property
    def schema(self) -> StructType:
        """Columns as a Spark schema, all nullable (imports pyspark, needs no session)."""
        from pyspark.sql.types import StructField, StructType

        return StructType([StructField(c, _spark_type(self.type_of(c))) for c in self.columns])

    def select(self, frame: DataFrame) -> DataFrame:
        """Exactly the declared columns, cast to the declared types, in the declared order."""
        from pyspark.sql import functions as F

        return frame.select(*[F.col(c).cast(self.type_of(c)).alias(c) for c in self.columns])


def _spark_type(ddl: str) -> DataType:
    from pyspark.sql import types as T

    element = re.fullmatch(r"array<(.*)>", ddl)
    if element:
        return T.ArrayType(_spark_type(element[1]))
    struct = re.fullmatch(r"struct<(.*)>", ddl)
    if struct:
        return T.StructType([T.StructField(n, _spark_type(t)) for n, t in (f.split(":") for f in struct[1].split(","))])
    mapping = re.fullmatch(r"map<(\w+), (\w+)>", ddl)
    if mapping:
        return T.MapType(_spark_type(mapping[1]), _spark_type(mapping[2]))
    simple = {
        t.simpleString(): t
        for t in (
            T.StringType(),
            T.DateType(),
            T.TimestampType(),
            T.LongType(),
            T.IntegerType(),
            T.FloatType(),
            T.DoubleType(),
            T.BooleanType(),
            T.BinaryType(),
        )
    }
    return simple[ddl]


# ---- inputs: logs that others write -------------------------------------------------------------------------------

BANNER_LOG = Table(
    name="banner_log",
    about="Input: what the ad server served, one row per serving record of a banner.",
    columns={
        "dt": "date: day of the log",
        "banner_id": "string: content hash of the creative, by the ad server; may be absent",
        "image_url": "string: where the image lies",
        "advertiser_id": "string: who pays",
        "landing_url": "string: where a click leads",
        "text": "string: text of the ad, where the server knows it",
    },
    key=(),
    partition_by=("dt",),
    format="parquet",
)
EVENT_LOG = Table(
    name="event_log",
    about="Input: requests, impressions and clicks, one row per event and banner.",
    columns={
        "dt": "date: day of the log, by arrival",
        "event_id": "string: unique per event; a repeated one is a duplicate",
        "event_type": "string: request, impression or click",
        "event_ts": "timestamp: when it happened, UTC",
        "user_id": "string: who",
        "banner_id": "string: which banner",
        "request_id": "string: the request that the event belongs to",
        "campaign_id": "string: context",
        "app_id": "string: context",
        "placement_id": "string: context",
    },
    key=("event_id",),
    partition_by=("dt",),
    format="parquet",
)

# ---- registry -----------------------------------------------------------------------------------------------------

BANNER_DAYS = Table(
    name="banner_days",
    about="One row per banner and day: the log of a day, deduplicated.",
    columns={
        "dt": "date: day",
        "banner_id": "string: the ad server's id, or url: and the sha256 of the image URL",
        "image_url": "string: greatest of the day, nulls last",
        "advertiser_id": "string: greatest of the day, nulls last",
        "landing_url": "string: greatest of the day, nulls last",
        "text": "string: greatest of the day, nulls last",
        "log_rows": "bigint: rows of the log that this row stands for",
        "conflicting_attributes": "int: attributes that had more than one value on this day",
    },
    key=("dt", "banner_id"),
    partition_by=("dt",),
)
BANNERS = Table(
    name="banners",
    about="One row per banner ever seen, a function of banner_days alone.",
    columns={
        "banner_id": "string: see banner_days",
        "image_url": "string: of the newest day that has one",
        "advertiser_id": "string: of the newest day that has one",
        "landing_url": "string: of the newest day that has one",
        "text": "string: of the newest day that has one",
        "first_seen_dt": "date: first day in banner_days",
        "last_seen_dt": "date: last day in banner_days",
        "days_seen": "int: number of days in banner_days",
    },
    key=("banner_id",),
)
REGISTRY_DAYS = Table(
    name="registry_days",
    about="One row per day: how many banners, how many of them new.",
    columns={
        "dt": "date: day",
        "log_rows": "bigint: accepted rows of the banner log",
        "dau_banners": "bigint: distinct banners of the day",
        "mau_banners": "bigint: distinct banners of the trailing 30 days",
        "new_banners": "bigint: banners first seen on this day",
        "conflicts": "bigint: banners of the day with conflicting attributes",
    },
    key=("dt",),
)
REJECTS = Table(
    name="rejects",
    about="Rows that a job could not use, with the reason: nothing is dropped silently.",
    columns={
        "job": "string: the job that refused the row",
        "dt": "date: day of the run",
        "reason": "string: typed reason",
        "row_json": "string: the row as it came",
        "rows": "bigint: how many equal rows",
    },
    key=("job", "dt", "reason", "row_json"),
    partition_by=("job", "dt"),
)

# ---- embedding ----------------------------------------------------------------------------------------------------

IMAGE_FETCHES = Table(
    name="image_fetches",
    about="One row per banner and address: what came of fetching and decoding its image.",
    columns={
        "banner_id": "string: see banners",
        "image_url": "string: the address asked",
        "status": "string: ok, or the typed reason why there is no picture",
        "error": "string: the message behind a status that is not ok",
        "content_hash": "string: sha256 of the bytes; null where none came",
        "pixel_hash": "string: sha256 of size, frame count and composited frames; null unless decoded",
        "bytes": "bigint: length of the body",
        "format": "string: image format by content, lower case",
        "width": "int: pixels, after EXIF orientation",
        "height": "int: pixels, after EXIF orientation",
        "frames": "int: number of frames",
        "fetched_dt": "date: day whose run fetched it",
    },
    key=("banner_id", "image_url"),
)
IMAGE_BYTES = Table(
    name="image_bytes",
    about="The bytes of every decodable image, once per content hash.",
    columns={
        "content_hash": "string: sha256 of data",
        "data": "binary: the file as it came",
    },
    key=("content_hash",),
)
EMBEDDINGS = Table(
    name="embeddings",
    about="One unit vector per encoder and image.",
    columns={
        "encoder_id": "string: everything that changes a vector, named",
        "content_hash": "string: see image_bytes",
        "vector": "array<float>: unit length",
    },
    key=("encoder_id", "content_hash"),
    partition_by=("encoder_id",),
)

FILE_EMBEDDINGS = Table(
    name="file_embeddings",
    about="embed_banners on a folder: one row per file.",
    columns={
        "file": "string: path below the folder",
        "content_hash": "string: sha256 of the bytes; null where they could not be read",
        "pixel_hash": "string: see image_fetches",
        "status": "string: see image_fetches",
        "error": "string: see image_fetches",
        "width": "int: pixels, after EXIF orientation",
        "height": "int: pixels, after EXIF orientation",
        "frames": "int: number of frames",
        "vector": "array<float>: unit length; null unless status is ok",
    },
    key=("file",),
    format="parquet",
)

# ---- clustering ---------------------------------------------------------------------------------------------------

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

# ---- features -----------------------------------------------------------------------------------------------------

USER_BANNER_DAYS = Table(
    name="user_banner_days",
    about="Partials: counts per day, user and banner, free of any clustering.",
    columns={
        "dt": "date: day of the events, UTC",
        "user_id": "string: who",
        "banner_id": "string: null where the event named none",
        "requests": "int: count",
        "impressions": "int: count",
        "clicks": "int: count",
    },
    key=("dt", "user_id", "banner_id"),
    partition_by=("dt",),
)
EVENT_LOG_DAYS = Table(
    name="event_log_days",
    about="One row per day of the event log that was taken in: the partials are a function of exactly these days.",
    columns={
        "dt": "date: day of the log",
        "log_rows": "bigint: rows of the log",
        "accepted_rows": "bigint: rows that were not refused; repeated events count as often as they came",
        "digest": "string: order-free hash of the accepted rows; another one means that the day was delivered anew",
        "affected_dts": "array<date>: event days whose partials this day could change, ascending",
        "complete": "boolean: false while the day is being worked on; a run that finds it so does its work again",
    },
    key=("dt",),
)
FEATURE_PUBLICATIONS = Table(
    name="feature_publications",
    about="One row per published revision of a day's features.",
    columns={
        "dt": "date: as-of day",
        "clustering_id": "string: see clusterings",
        "revision": "int: 1 for the first; later ones correct it",
        "inputs_digest": "string: hash of the partials and the assignment that it was made from",
        "available_at": "timestamp: earliest time at which a server could have had it",
        "users": "bigint: rows of user_features",
    },
    key=("dt", "clustering_id", "revision"),
)
USER_CLUSTER_COUNTS = Table(
    name="user_cluster_counts",
    about="Long form for analysts: windowed counts per user and cluster, as of a day.",
    columns={
        "dt": "date: as-of day; its windows end with it",
        "clustering_id": "string: see clusterings",
        "revision": "int: see feature_publications",
        "user_id": "string: who",
        "cluster_id": f"string: a cluster, or '{UNCLUSTERED}'",
        **dict.fromkeys(window_columns(), "int: count in the window"),
        "available_at": "timestamp: see feature_publications",
    },
    key=("dt", "clustering_id", "revision", "user_id", "cluster_id"),
    partition_by=("dt", "clustering_id", "revision"),
)
USER_FEATURES = Table(
    name="user_features",
    about="One row per user, for models: plain Parquet with aligned arrays.",
    columns={
        "dt": "date: as-of day; join only to impressions of later days",
        "clustering_id": "string: see clusterings",
        "revision": "int: see feature_publications",
        "user_id": "string: who",
        "cluster_ids": f"array<string>: sorted; with '{UNCLUSTERED}' where it counts",
        **dict.fromkeys(window_columns(), "array<int>: counts, aligned with cluster_ids"),
        "available_at": "timestamp: see feature_publications",
    },
    key=("dt", "clustering_id", "revision", "user_id"),
    partition_by=("dt", "clustering_id", "revision"),
    format="parquet",
)


def user_features_wide(clusters: int, events: Sequence[str]) -> Table:
    """The wide export for a number of slots and some event types: one folder per layout, since a reader expects one schema.

    Columns run over windows (shortest first), then events (in the order given), then slots ascending.

    Args:
        clusters: slots, 1 to 32.
        events: of `EVENT_TYPES`.
    """
    suffix = "" if tuple(events) == EVENT_TYPES else "_" + "_".join(map(count_column, events))
    names = [wide_column(e, w, slot) for w in WINDOWS_DAYS for e in events for slot in range(1, clusters + 1)]
    return Table(
        name=f"user_features_wide_k{clusters:02d}{suffix}",
        about=f"One row per user of user_features, one column per window, event and slot; {clusters} slots, see wide_slots.",
        columns={
            **_PUBLISHED,
            "user_id": "string: who",
            **dict.fromkeys(names, "int: count in the window; 0 where the user or the day has no such cluster"),
            "available_at": "timestamp: see feature_publications",
        },
        key=("dt", "clustering_id", "revision", "user_id"),
        partition_by=("dt", "clustering_id", "revision"),
        format="parquet",
    )


def user_feature_lists(clusters: int) -> Table:
    """The fixed-length export for a number of slots: per window one list of 3 x ``clusters`` floats, for one tensor."""
    order = "requests of all slots, then impressions, then clicks, slots ascending"
    return Table(
        name=f"user_feature_lists_k{clusters:02d}",
        about=f"One row per user of user_features, per window a list of {3 * clusters} floats; {clusters} slots, see wide_slots.",
        columns={
            **_PUBLISHED,
            "user_id": "string: who",
            **{list_column(w): f"array<float>: {order}" for w in WINDOWS_DAYS},
            "available_at": "timestamp: see feature_publications",
        },
        key=("dt", "clustering_id", "revision", "user_id"),
        partition_by=("dt", "clustering_id", "revision"),
        format="parquet",
    )


_PUBLISHED = {c: USER_FEATURES.columns[c] for c in ("dt", "clustering_id", "revision")}
USER_FEATURES_WIDE = user_features_wide(5, EVENT_TYPES)
USER_FEATURE_LISTS = user_feature_lists(5)
WIDE_SLOTS = Table(
    name="wide_slots",
    about="Which cluster each slot of the wide and list exports holds; slots without a row are 0 throughout.",
    columns={
        "clustering_id": "string: see clusterings",
        "slots": "int: number of slots of the export",
        "slot": "int: 1 is the cluster with most banners; ties by cluster_id",
        "cluster_id": "string: see clusters",
        "banners": "bigint: banners of the cluster",
    },
    key=("clustering_id", "slots", "slot"),
    partition_by=("clustering_id", "slots"),
)

FILE_USER_CLUSTER_COUNTS = Table(
    name="file_user_cluster_counts",
    about="build_user_features on plain files: windowed counts per user and cluster; the folder is `user_cluster_counts`.",
    columns={c: m for c, m in USER_CLUSTER_COUNTS.columns.items() if c not in ("clustering_id", "revision", "available_at")},
    key=("user_id", "cluster_id"),
    format="parquet",
)
FILE_USER_FEATURES = Table(
    name="file_user_features",
    about="build_user_features on plain files: one row per user; the folder is `user_features`.",
    columns={c: m for c, m in USER_FEATURES.columns.items() if c not in ("clustering_id", "revision", "available_at")},
    key=("user_id",),
    format="parquet",
)
FILE_EVENT_REJECTS = Table(
    name="file_event_rejects",
    about="build_user_features on plain files: events that cannot be counted; the folder is `rejects`.",
    columns={"reason": "string: typed reason", "row_json": "string: the row as it came", "rows": "bigint: how many equal rows"},
    key=("reason", "row_json"),
    format="parquet",
)

# ---- the run manifest ---------------------------------------------------------------------------------------------

RUNS = Table(
    name="runs",
    about="One row per job run.",
    columns={
        "run_id": "string: unique",
        "job": "string: job name",
        "dt": "date: day of the run",
        "status": "string: succeeded or failed",
        "error": "string: why it failed",
        "started_at": "timestamp: wall clock, for people; no job reads it",
        "seconds": "double: wall time",
        "config_hash": "string: sha256 of config_json",
        "config_json": "string: the resolved configuration",
        "code_version": "string: bannermap version",
        "input_versions": "map<string, bigint>: Delta version of each table read",
        "rows_in": "bigint: rows read from the job's main input",
        "rows_out": "bigint: rows written to the job's main output",
        "rejected": "map<string, bigint>: reason -> rows",
        "metrics": "map<string, double>: figures of the job",
        "phase_seconds": "map<string, double>: phase -> seconds",
    },
    key=("run_id",),
)

ALL_TABLES = tuple(t for t in list(globals().values()) if isinstance(t, Table))


def reference() -> str:
    """The table reference as Markdown."""
    return "\n".join(["# Tables", "", "Printed by `python -m bannermap.platform.tables`.", "", *map(_section, ALL_TABLES)])


def _section(table: Table) -> str:
    key, parts = (", ".join(f"`{c}`" for c in names) or "none" for names in (table.key, table.partition_by))
    rows = [f"| `{c}` | `{t.split(': ', 1)[0]}` | {t.split(': ', 1)[1]} |" for c, t in table.columns.items()]
    head = [f"## {table.name}", "", table.about, "", f"{table.format}; key: {key}; partitioned by: {parts}", ""]
    return "\n".join([*head, "| Column | Type | Meaning |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    print(reference())
