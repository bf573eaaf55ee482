"""The truth of a world: which banner belongs to which group, and what happened to the groups on which day."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bannermap.sample.lives import Campaign
from bannermap.sample.logs import Banner

BANNERS_FILE, CAMPAIGNS_FILE, CLICKS_FILE = "banners.parquet", "campaigns.parquet", "clicks.parquet"


def banner_truth(banners: list[Banner], campaigns: list[Campaign], days: int) -> pd.DataFrame:
    """What is known of each banner on the world's last day.

    Args:
        banners: of the world.
        campaigns: of the world.
        days: of the world.

    Returns:
        One row per banner id (a file served twice has two): `banner_id`; `creative` (int64), whose rendition it is;
        `creative_group` (int64), the visual group by `lives` after all merges so far; `campaign`, `brand`, `theme`; `rendition`,
        `design`, `defect`; `has_picture`; `campaign_start_day` and `campaign_end_day`, first and last day of the campaign,
        which may end after the world; `event`, what its creative has gone through so far (none, changed, merged); `days`,
        numbers of the days on which it was served.
    """
    frame = pd.DataFrame([_row(b, name, days) for b in banners for name in (b.banner_id, b.twin_id) if name])
    groups = groups_as_of(frame["creative"], campaign_truth(campaigns, days), days - 1)
    frame.insert(2, "creative_group", groups)
    return frame


def campaign_truth(campaigns: list[Campaign], days: int) -> pd.DataFrame:
    """What happened to campaigns within the world's days.

    Args:
        campaigns: of the world.
        days: of the world.

    Returns:
        One row per event, by day: `day` (number; of `ended` the last day of serving), `campaign`, `kind` (started, changed,
        merged, ended), `groups` (list of int64): the groups that start, the one that is revised, the two that become the
        first of them, the groups that end.
    """
    rows = [row for campaign in campaigns for row in _events(campaign) if row[0] < days]
    return pd.DataFrame(sorted(rows), columns=["day", "campaign", "kind", "groups"])


def groups_as_of(creatives: pd.Series, events: pd.DataFrame, day: int) -> pd.Series:
    """Creative groups as they were on a day: those that merge later are still two.

    Args:
        creatives: int64 (n,), numbers of creatives.
        events: as `campaign_truth` gives them.
        day: number of the day.

    Returns:
        int64 (n,), numbers of groups.
    """
    merges = events[(events["kind"] == "merged") & (events["day"] <= day)]
    return creatives.replace({second: first for first, second in merges["groups"]})


@contextlib.contextmanager
def growing_table(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A Parquet file that is written frame by frame; its schema is that of the first one.

    Args:
        path: of the file; its folder is made where it is missing.

    Yields:
        A function that appends a frame.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        writer: pq.ParquetWriter | None = None

        def append(frame: pd.DataFrame) -> None:
            nonlocal writer
            rows = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
            writer = writer or stack.enter_context(pq.ParquetWriter(path, rows.schema))
            writer.write_table(rows)

        yield append


def _row(banner: Banner, name: str, days: int) -> dict[str, object]:
    rendition = banner.rendition
    creative, campaign = rendition.creative, rendition.campaign
    happened = campaign.event_day is not None and campaign.event_day < days and creative.number in campaign.concerned
    return {
        "banner_id": name,
        "creative": creative.number,
        "campaign": creative.campaign,
        "brand": creative.brand,
        "theme": creative.theme,
        "rendition": rendition.kind,
        "design": rendition.design,
        "defect": banner.defect,
        "has_picture": banner.has_picture,
        "campaign_start_day": campaign.start_day,
        "campaign_end_day": campaign.end_day,
        "event": campaign.event if happened else "none",
        "days": list(banner.days),
    }


def _events(campaign: Campaign) -> list[tuple[int, str, str, list[int]]]:
    groups = [c.number for c in campaign.creatives]
    rows = [(campaign.start_day, campaign.name, "started", groups)]
    if campaign.event_day is not None:
        rows.append((campaign.event_day, campaign.name, campaign.event, list(campaign.concerned)))
    last = [g for g in groups if campaign.event != "merged" or g != campaign.concerned[1]]
    return [*rows, (campaign.end_day, campaign.name, "ended", last)]
