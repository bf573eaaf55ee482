"""Inputs: logs that others write."""

from __future__ import annotations

from bannermap.platform.tables.declaration import Table

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
