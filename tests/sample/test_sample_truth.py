"""The truth of a long world against its logs, against itself, and against the truth of a shorter world."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from bannermap.platform.settings import SampleSettings
from bannermap.sample.logs import FIRST_DAY
from bannermap.sample.truth import groups_as_of
from bannermap.sample.world import write_world

DAYS, SEED = 14, 7


def draw(out: Path, days: int) -> Path:
    write_world(SampleSettings(size="tiny", days=days, seed=SEED, out=str(out)), processes=1)
    return out


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("long"), DAYS)


@pytest.fixture(scope="module")
def shorter(world, tmp_path_factory) -> tuple[Path, int]:
    """The same world until the day before a merge, and its number of days."""
    events = campaign_events(world)
    days = int(events[events.kind == "merged"].day.max())
    return draw(tmp_path_factory.mktemp("short"), days), days


def banners(world: Path) -> pd.DataFrame:
    return pd.read_parquet(world / "truth/banners.parquet").set_index("banner_id")


def campaign_events(world: Path) -> pd.DataFrame:
    return pd.read_parquet(world / "truth/campaigns.parquet")


def served(world: Path) -> pd.DataFrame:
    log = pd.read_parquet(world / "banner_log").dropna(subset=["image_url"])
    named = log.banner_id.fillna("url:" + log.image_url.map(lambda url: hashlib.sha256(str(url).encode()).hexdigest()))
    day = (pd.to_datetime(log["dt"].astype(str)) - pd.Timestamp(FIRST_DAY)).dt.days
    return pd.DataFrame({"banner_id": named, "day": day}).drop_duplicates()


def test_nothing_is_served_outside_its_campaigns_life(world):
    rows = served(world).join(banners(world), on="banner_id")
    assert rows.day.between(rows.campaign_start_day, rows.campaign_end_day).all()
    ends = campaign_events(world).query("kind == 'ended'").set_index("campaign").day
    retired = rows[rows.campaign.isin(ends.index)]
    assert len(retired) and (retired.day <= retired.campaign.map(ends)).all()
    assert rows.groupby("banner_id").day.agg(lambda d: sorted(d)).to_dict() == banners(world).days.map(list).to_dict()


def test_users_meet_only_what_is_served_that_day(world):
    events = pd.read_parquet(world / "event_log").dropna(subset=["banner_id"])
    day = (events.event_ts.dt.tz_localize(None).dt.normalize() - pd.Timestamp(FIRST_DAY)).dt.days
    met = set(zip(events.banner_id, day, strict=True))
    assert met and met <= set(served(world).itertuples(index=False, name=None))


def test_revised_and_blended_designs_are_served_from_their_event_on(world):
    events = campaign_events(world).query("kind in ('changed', 'merged')")
    first_day = {number: row.day for row in events.itertuples() for number in row.groups}
    known = banners(world)
    new = known[known.design != "first"]
    assert set(new.design) == {"revised", "blend"}
    assert (new.days.map(min) >= new.creative.map(first_day)).all()
    old = known[(known.design == "first") & known.creative.isin(first_day)]
    assert (old.days.map(min) < old.creative.map(first_day)).all()


def test_events_and_banners_tell_the_same_story(world):
    known, events = banners(world), campaign_events(world)
    campaigns = known.groupby("campaign")[["campaign_start_day", "campaign_end_day"]].agg(["min", "max"])
    assert (campaigns.xs("min", axis=1, level=1) == campaigns.xs("max", axis=1, level=1)).all().all()
    life = known.drop_duplicates("campaign").set_index("campaign")
    for kind, column in (("started", "campaign_start_day"), ("ended", "campaign_end_day")):
        happened = events[events.kind == kind].set_index("campaign").day
        assert happened.to_dict() == life[column][life[column] < DAYS].to_dict()
    groups = {(row.kind, row.campaign): set(row.groups) for row in events.itertuples()}
    for row in known.itertuples():
        assert row.creative in groups["started", row.campaign]
        in_event = {k for k in ("changed", "merged") if row.creative in groups.get((k, row.campaign), ())}
        assert in_event == {row.event} - {"none"}
        assert row.creative_group == (min(groups["merged", row.campaign]) if row.event == "merged" else row.creative)
        assert row.creative_group in groups.get(("ended", row.campaign), {row.creative_group})
    assert events.day.is_monotonic_increasing and set(events.kind) == {"started", "changed", "merged", "ended"}


def test_a_longer_world_has_the_days_of_a_shorter_one(world, shorter):
    short, days = shorter
    logs = [p for part in ("banner_log", "event_log", "images") for p in (short / part).rglob("*") if p.is_file()]
    assert all((world / p.relative_to(short)).read_bytes() == p.read_bytes() for p in logs)
    later = {p.parent.name for p in (world / "banner_log").rglob("*.parquet")}
    assert len(later) == DAYS and len(list((short / "banner_log").iterdir())) == days
    clicks, more_clicks = (pd.read_parquet(w / "truth/clicks.parquet") for w in (short, world))
    pd.testing.assert_frame_equal(more_clicks.head(len(clicks)), clicks)
    events = campaign_events(world)
    pd.testing.assert_frame_equal(campaign_events(short), events[events.day < days].reset_index(drop=True))


def test_only_hindsight_differs_in_the_truth_of_a_longer_world(world, shorter):
    short, days = shorter
    then, now = banners(short), banners(world)
    now = now[now.days.map(min) < days]
    hindsight = ["creative_group", "event", "days"]
    pd.testing.assert_frame_equal(now.drop(columns=hindsight), then.drop(columns=hindsight))
    assert [[d for d in served if d < days] for served in now.days] == then.days.map(list).tolist()
    assert (groups_as_of(now.creative, campaign_events(world), days - 1) == then.creative_group).all()
    assert (now.creative_group != then.creative_group).any()
