"""Tables of the analytics: clusters by day, their trends, tags and audiences."""

from __future__ import annotations

from bannermap.platform.tables.declaration import Table
from bannermap.platform.tables.names import UNCLUSTERED

_CLUSTER = f"string: a cluster, or '{UNCLUSTERED}'"
CLUSTER_DAYS = Table(
    name="cluster_days",
    about="What happened in a cluster on a day, by the clustering of that day.",
    columns={
        "dt": "date: day of the events, UTC",
        "clustering_id": "string: see clusterings; of that day",
        "cluster_id": _CLUSTER,
        "banners": "bigint: distinct banners in the day's banner log or in its events",
        "requests": "bigint: count",
        "impressions": "bigint: count",
        "clicks": "bigint: count",
        "ctr": "double: clicks per impression; null without impressions",
        "ctr_low": "double: Wilson's 95 % interval; null without impressions, or with more clicks than impressions",
        "ctr_high": "double: its upper bound",
        "users": "bigint: distinct users with any event, from users_sketch; exact up to 2^analytics.users_sketch_lg_k",
        "users_low": "bigint: 95 % interval of users; equal to users where that is exact",
        "users_high": "bigint: its upper bound",
        "reach": "double: share of the day's users, 0 to 1; null without events on the day",
        "advertisers": "bigint: distinct advertisers of the banners in the day's banner log",
        "advertiser_entropy_bits": "double: of the banners over advertisers; 0 for one advertiser, null for none",
        "top_advertiser_share": "double: share of the banners with a known advertiser that the largest has; null for none",
        "users_sketch": "binary: DataSketches theta sketch of user ids; theta_union_agg over rows counts users of several days",
    },
    key=("dt", "clustering_id", "cluster_id"),
    partition_by=("dt", "clustering_id"),
    private=("users_sketch",),
)
ANALYSED_DAYS = Table(
    name="analysed_days",
    about="One row per day and clustering in cluster_days: from which deliveries it was made.",
    columns={
        "dt": "date: see cluster_days",
        "clustering_id": "string: see cluster_days",
        "inputs_digest": "string: hash of the log days that could change the day's events, and of erasures; with another one "
        "the day is made anew",
    },
    key=("dt", "clustering_id"),
)
CLUSTER_TRENDS = Table(
    name="cluster_trends",
    about="A window of days against as many before it, by one clustering: which clusters rise and fall beyond chance.",
    columns={
        "dt": "date: last day of the window",
        "clustering_id": "string: see clusterings; of dt, for all days of both windows",
        "window_days": "int: days of the window",
        "measure": "string: impression_share (impressions of all impressions) or ctr (clicks per impression)",
        "cluster_id": _CLUSTER,
        "events": "bigint: impressions or clicks of the window",
        "trials": "bigint: what they are a share of",
        "rate": "double: events per trial; null without trials",
        "events_before": "bigint: of the window before",
        "trials_before": "bigint: of the window before",
        "rate_before": "double: of the window before",
        "dispersion": "double: variance between days over that of independent events, at least 1; null where not tested",
        "degrees_of_freedom": "int: of Student's t; null where not tested",
        "p_value": "double: of no change; null where there is too little to test",
        "q_value": "double: Benjamini-Hochberg over the clusters of a window and measure; null where not tested",
        "trend": "string: rises, falls (q_value within analytics.max_false_discoveries), steady, or untested",
    },
    key=("dt", "clustering_id", "window_days", "measure", "cluster_id"),
    partition_by=("dt", "clustering_id"),
)
CLUSTER_TAGS = Table(
    name="cluster_tags",
    about="Words that set a cluster apart from the others of its clustering.",
    columns={
        "clustering_id": "string: see clusterings",
        "cluster_id": "string: see clusters",
        "rank": "int: 1 for the word with the greatest score, ties by the word",
        "tag": "string: a word, or two characters of a script without spaces; case-folded",
        "score": "double: class-based TF-IDF, more than 0",
        "lift": "double: share of the cluster's words that it is, over its share of all words; more than 1",
        "banners": "bigint: banners of the cluster that have it",
        "advertisers": "bigint: known advertisers of these",
    },
    key=("clustering_id", "cluster_id", "rank"),
    partition_by=("clustering_id",),
)
BANNER_TEXTS = Table(
    name="banner_texts",
    about="Text read from pictures, once per picture file and reader.",
    columns={
        "content_hash": "string: see image_bytes",
        "reader": "string: program, version, languages and the way of reading",
        "status": "string: ok (also where nothing was read), or why there is no text: undecodable, too_large, timeout, "
        "out_of_memory, failed",
        "text": "string: as read, blanks joined; null unless status is ok",
    },
    key=("content_hash", "reader"),
)
CLUSTER_AUDIENCES = Table(
    name="cluster_audiences",
    about="Which users a cluster reaches more than others, by attributes; small cells are left out.",
    columns={
        "dt": "date: as-of day of the features that were counted",
        "clustering_id": "string: see clusterings",
        "cluster_id": _CLUSTER,
        "attribute": "string: column of the attributes",
        "value": "string: value of the attribute",
        "users": "bigint: users of the cluster with this value, at least analytics.min_audience_users",
        "share": "double: of the cluster's users whose attribute is known, 0 to 1",
        "share_of_all": "double: the same of all users of the day",
        "lift": "double: share over share_of_all",
        "lift_low": "double: 95 % interval, from Wilson's of share",
        "lift_high": "double: its upper bound",
    },
    key=("dt", "clustering_id", "cluster_id", "attribute", "value"),
    partition_by=("dt", "clustering_id"),
)
