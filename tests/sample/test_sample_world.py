"""The drawn world: the same for the same seed, with every defect that it promises, clicks from the known model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bannermap.embedding.decoding.decode import decode
from bannermap.embedding.statuses import Failure
from bannermap.platform.settings import SampleSettings
from bannermap.sample.world import write_world

SIZE = {"size": "tiny", "days": 3, "seed": 7}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("world")
    write_world(SampleSettings(**SIZE, out=str(out)), processes=3)
    return out


def digest(folder: Path) -> dict[str, str]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".stamp"]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def truth(world: Path) -> pd.DataFrame:
    return pd.read_parquet(world / "truth/banners.parquet").set_index("banner_id")


def test_equal_settings_give_equal_bytes_in_any_number_of_processes(world, tmp_path):
    assert write_world(SampleSettings(**SIZE, out=str(tmp_path / "again")), processes=1)
    assert digest(tmp_path / "again") == digest(world)
    assert not write_world(SampleSettings(**SIZE, out=str(tmp_path / "again")))
    write_world(SampleSettings(**{**SIZE, "seed": 8}, out=str(tmp_path / "other")))
    assert digest(tmp_path / "other") != digest(world)


def test_what_is_said_to_be_drawn_lies_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bannermap.sample.world.SAY_EVERY_S", 0.0)
    drawn = write_world(SampleSettings(size="tiny", days=2, seed=5, out=str(tmp_path)), processes=1)
    assert drawn.images == sum(p.is_file() for p in (tmp_path / "images").rglob("*"))
    assert drawn.banners == len(truth(tmp_path))
    assert drawn.banner_rows == len(pd.read_parquet(tmp_path / "banner_log"))
    assert drawn.event_rows == len(pd.read_parquet(tmp_path / "event_log"))
    assert drawn.campaign_events == pd.read_parquet(tmp_path / "truth/campaigns.parquet").kind.value_counts().to_dict()
    assert f"{drawn.event_rows:,}" in str(drawn)
    said = [line.split()[-4:] for line in capsys.readouterr().out.splitlines()]  # how many, of, how many, images
    assert [int(line[0]) for line in said] == list(range(1, int(said[0][2]) + 1))
    assert drawn.images <= len(said)


def test_a_world_that_was_cut_short_is_drawn_again(tmp_path):
    settings = SampleSettings(size="tiny", days=1, seed=5, out=str(tmp_path))
    write_world(settings, processes=1)
    whole = digest(tmp_path)
    (tmp_path / "world.stamp").unlink()
    next((tmp_path / "images").rglob("*.jpg")).unlink()
    (tmp_path / "images/left_over.png").write_bytes(b"x")
    assert write_world(settings, processes=1)
    assert digest(tmp_path) == whole


def test_the_banner_log_has_its_defects_and_the_truth_knows_every_banner(world):
    log, known = pd.read_parquet(world / "banner_log"), truth(world)
    named = log.banner_id.fillna("url:" + log.image_url.map(lambda u: hashlib.sha256(str(u).encode()).hexdigest()))
    assert set(named[log.banner_id.notna() | log.image_url.notna()]) == set(known.index)
    assert (log.banner_id.isna() & log.image_url.notna()).any()
    assert (log.banner_id.isna() & log.image_url.isna()).sum() == 9
    assert (log.groupby("banner_id").image_url.nunique() > 1).any()
    assert (log[log.banner_id.notna()].groupby("image_url").banner_id.nunique() > 1).any()
    assert set(known.defect) >= {"none", "corrupt", "missing", "mistyped", "without_id", "same_pixels", "conflict"}


def test_pictures_open_exactly_where_the_truth_says(world, base_settings):
    log = pd.read_parquet(world / "banner_log").dropna(subset=["banner_id"])
    address = log.groupby("banner_id").image_url.max()
    for name, row in truth(world).loc[address.index].iterrows():
        path = world / "images" / address[name]
        try:
            opened = path.is_file() and decode(path.read_bytes(), base_settings.decode) is not None
        except Failure:
            opened = False
        assert opened == row.has_picture, (name, row.defect)


def test_the_event_log_has_its_defects(world):
    log = pd.read_parquet(world / "event_log")
    assert log.event_id.duplicated().any() and log.user_id.isna().any() and log.banner_id.isna().any()
    arrival = pd.to_datetime(log["dt"].astype(str)).dt.date
    late = log.event_ts.dt.date < arrival
    assert late.any() and not (log.event_ts.dt.date > arrival).any()
    kinds = log.drop_duplicates("event_id").event_type.value_counts()
    assert kinds["request"] > kinds["impression"] > kinds["click"] > 0


def test_clicks_follow_the_model_within_chance(world):
    shown = pd.read_parquet(world / "truth/clicks.parquet")
    p = shown.click_probability
    for part in (shown.index >= 0, p > p.median(), p <= p.median()):
        expected, deviation = p[part].sum(), np.sqrt((p[part] * (1 - p[part])).sum())
        assert abs(shown.clicked[part].sum() - expected) < 4 * deviation
