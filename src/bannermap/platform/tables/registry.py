"""Tables of the registry, and of refused rows."""

from __future__ import annotations

from bannermap.platform.tables.declaration import Table

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
    private=("row_json",),
)
