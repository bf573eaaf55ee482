"""Frames on their way to the tables of the analytics; they are never stored."""

from __future__ import annotations

from bannermap.platform.tables import CLUSTER_AUDIENCES, CLUSTER_DAYS, CLUSTER_TRENDS, Table

_LATE = ("dt", "clustering_id", "q_value", "trend")
TESTS = Table(
    name="tests",
    about="Rows of cluster_trends before false discoveries are controlled.",
    columns={
        "cluster_id": CLUSTER_TRENDS.columns["cluster_id"],
        **{
            c: CLUSTER_TRENDS.columns[c] for c in ("window_days", "measure", "events", "trials", "events_before", "trials_before")
        },
        **{c: m for c, m in CLUSTER_TRENDS.columns.items() if c not in _LATE},
    },
    key=("cluster_id", "window_days", "measure"),
    format="frame",
)
TESTED = Table(
    name="tested",
    about="Rows of cluster_trends, less what the job knows.",
    columns={**TESTS.columns, **{c: CLUSTER_TRENDS.columns[c] for c in ("q_value", "trend")}},
    key=TESTS.key,
    format="frame",
)
RATES = Table(
    name="rates",
    about="What is added to sums of a cluster and day.",
    columns={c: CLUSTER_DAYS.columns[c] for c in ("ctr", "ctr_low", "ctr_high", "users_low", "users_high")},
    key=(),
    format="frame",
)
WORDED = Table(
    name="worded",
    about="The words of a banner.",
    columns={
        "cluster_id": "string: its cluster",
        "advertiser_id": "string: its advertiser; null where none is known",
        "words": "array<string>: distinct, sorted",
    },
    key=(),
    format="frame",
)
AUDIENCES = Table(
    name="audiences",
    about="Rows of cluster_audiences, less what the job knows.",
    columns={
        "attribute": CLUSTER_AUDIENCES.columns["attribute"],
        **{c: m for c, m in CLUSTER_AUDIENCES.columns.items() if c not in ("dt", "clustering_id", "attribute")},
    },
    key=("attribute", "cluster_id", "value"),
    format="frame",
)
