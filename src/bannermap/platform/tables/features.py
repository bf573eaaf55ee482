"""Tables of the user features."""

from __future__ import annotations

from collections.abc import Sequence

from bannermap.platform.tables.declaration import Table
from bannermap.platform.tables.migrations import AddColumns, Rebuild, Relay
from bannermap.platform.tables.names import (
    EVENT_TYPES,
    UNCLUSTERED,
    WINDOWS_DAYS,
    count_column,
    list_column,
    wide_column,
    window_columns,
)

FEATURE_RULE = 1
"""Version of the rule that counts are made by (windows, duplicates, days); a change of it must not meet older rows."""
_EVERYTHING = {"rule": FEATURE_RULE, "events": list(EVENT_TYPES), "windows_days": list(WINDOWS_DAYS)}
_TOTALS_AS_STORED = (
    f"SELECT dt, clustering_id, revision, {', '.join(f'sum({c}) AS {c}' for c in window_columns())} "
    "FROM {user_cluster_counts} GROUP BY dt, clustering_id, revision"
)
_SLOTS_HOLD_THEMES = Rebuild("build_user_features", "slots hold themes, not clusters")
USER_BUCKETS_PROPERTY = "bannermap.user_buckets"


def user_banner_days(buckets: int) -> Table:
    """The partials, laid out for a number of buckets of users; the table keeps the number as a property.

    Args:
        buckets: 1 or more.
    """
    bucket_of_user = f"CAST(pmod(xxhash64(user_id), {buckets}) AS INT)"
    return Table(
        name="user_banner_days",
        about="Partials: counts per day, user and banner, free of any clustering.",
        columns={
            "dt": "date: day of the events, UTC",
            "user_bucket": "int: xxhash64 of user_id modulo features.user_buckets: all days of a user lie in one bucket",
            "user_id": "string: who",
            "banner_id": "string: null where the event named none",
            "requests": "int: count",
            "impressions": "int: count",
            "clicks": "int: count",
        },
        key=("dt", "user_id", "banner_id"),
        partition_by=("dt", "user_bucket"),
        version=2,
        migrations={2: Relay({"user_bucket": bucket_of_user}, "features.user_buckets folders a day")},
        private=("user_id",),
        properties={USER_BUCKETS_PROPERTY: str(buckets)},
    )


USER_BANNER_DAYS = user_banner_days(16)
EVENT_LOG_DAYS = Table(
    name="event_log_days",
    about="One row per day of the event log that was taken in: the partials are a function of exactly these days, less the users "
    "in user_erasures; counts and digest are those of the files, with erased users.",
    columns={
        "dt": "date: day of the log",
        "log_rows": "bigint: rows of the log",
        "accepted_rows": "bigint: rows that were not refused; repeated events count as often as they came",
        "digest": "string: order-free hash of the accepted rows; another one means that the day was delivered anew",
        "affected_dts": "array<date>: event days whose partials the day's present content could change, ascending",
        "rebuilt_dts": "array<date>: event days that runs that took it in built anew, of all its deliveries, ascending; null: "
        "affected_dts",
        "key_id": "string: key of the users' pseudonyms; null where user ids are stored as they came",
        "complete": "boolean: false while the day is being worked on; a run that finds it so does its work again",
    },
    key=("dt",),
    version=3,
    migrations={
        2: AddColumns(("key_id",), "null: user ids were stored as they came"),
        3: AddColumns(("rebuilt_dts",), "null: affected_dts had both"),
    },
)
USER_ERASURES = Table(
    name="user_erasures",
    about="Proof of erasures: one row per erased user and erasure. Log rows of these users are left out from then on.",
    columns={
        "erasure_id": "string: run_id of the run that began it, see runs",
        "user_digest": "string: sha256 of salt and user id as tables held it (a pseudonym where they are on), hexadecimal",
        "salt": "string: random, the same for a whole warehouse",
        "key_id": "string: key of the pseudonym; null for none",
        "dt": "date: day of the request",
        "rows_removed": "array<struct<table:string,rows:bigint>>: rows that held the user, by table",
        "versions": "array<struct<table:string,before:bigint,after:bigint>>: Delta versions; the one before still holds the user",
        "complete": "boolean: false while it is being worked on; the same command again completes it",
        "purged": "boolean: whether older versions that held the user are gone from disk",
    },
    key=("erasure_id", "user_digest"),
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
        **dict.fromkeys(window_columns(), "bigint: sum over all users and clusters, with unclustered"),
    },
    key=("dt", "clustering_id", "revision"),
    version=2,
    migrations={2: AddColumns(tuple(window_columns()), "the sums over user_cluster_counts", _TOTALS_AS_STORED)},
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
    private=("user_id",),
    definition=_EVERYTHING | {"themes": None, "layout": "long"},
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
    definition=_EVERYTHING | {"themes": None, "layout": "arrays"},
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
            **dict.fromkeys(names, "int: count in the window; 0 where the user or the day has no such theme"),
            "available_at": "timestamp: see feature_publications",
        },
        key=("dt", "clustering_id", "revision", "user_id"),
        partition_by=("dt", "clustering_id", "revision"),
        format="parquet",
        version=2,
        migrations={2: _SLOTS_HOLD_THEMES},
        definition=_EVERYTHING | {"events": list(events), "themes": clusters, "layout": "wide"},
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
        version=2,
        migrations={2: _SLOTS_HOLD_THEMES},
        definition=_EVERYTHING | {"themes": clusters, "layout": "list"},
    )


_PUBLISHED = {c: USER_FEATURES.columns[c] for c in ("dt", "clustering_id", "revision")}
USER_FEATURES_WIDE = user_features_wide(5, EVENT_TYPES)
USER_FEATURE_LISTS = user_feature_lists(5)
WIDE_SLOTS = Table(
    name="wide_slots",
    about="Which theme each slot of the wide and list exports holds; slots without a row are 0 throughout.",
    columns={
        "clustering_id": "string: see clusterings",
        "slots": "int: number of slots of the export",
        "slot": "int: see themes",
        "theme_id": "string: see themes",
        "banners": "bigint: banners of the theme",
    },
    key=("clustering_id", "slots", "slot"),
    partition_by=("clustering_id", "slots"),
    version=2,
    migrations={2: _SLOTS_HOLD_THEMES},
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
