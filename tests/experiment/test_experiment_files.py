"""The experiment on plain files whose events begin later than the features count, and on those that hold all that is counted."""

from __future__ import annotations

import datetime
import json

import evaluate_features
import logged_world as world
import pandas as pd
import pytest

from bannermap.features.files import run_on_files
from bannermap.platform.errors import InputError, QualityError

LAST = world.day(world.DAYS - 1)
LONG_AGO = datetime.timedelta(days=40)


def stored(rows: list[dict], path) -> str:
    """Events as a file."""
    frame = pd.DataFrame(rows)
    frame["event_ts"] = frame["event_ts"].dt.as_unit("us")
    texts = [c for c in frame if c != "event_ts"]
    frame.astype(dict.fromkeys(texts, "string")).to_parquet(path)
    return str(path)


@pytest.fixture(scope="module")
def given(spark, base_settings, tmp_path_factory):
    """Settings; options less the events; all events and the same with one of long ago."""
    home, rows = tmp_path_factory.mktemp("files"), world.events(5)
    items = pd.DataFrame(sorted(world.CLUSTERS.items()), columns=["banner_id", "cluster_id"])
    items.to_parquet(home / "items.parquet")
    options = {"assignments": str(home / "items.parquet")}
    for number in range(world.DAYS - 1):
        day = {"as_of": str(world.day(number)), "out": f"{home}/features/{world.day(number)}"}
        run_on_files(spark, base_settings, {**options, "events": stored(rows, home / "all.parquet"), **day})
    quick = {"models": ("logistic",), "train_days": 2, "bootstrap_replicates": 100, "min_slice_clicks": 10_000}
    settings = base_settings.model_copy(update={"experiment": base_settings.experiment.model_copy(update=quick)})
    early = {**rows[0], "event_id": "early", "event_ts": rows[0]["event_ts"] - LONG_AGO}
    return settings, {**options, "features": f"{home}/features/*/user_cluster_counts"}, rows, [early, *rows]


def evaluated(spark, given, rows, folder, last=LAST) -> dict:
    settings, options, *_ = given
    events = stored(rows, folder / "events.parquet")
    evaluate_features.FILES.run(spark, settings, {**options, "events": events, "last_day": str(last), "out": str(folder / "out")})
    return json.loads((folder / "out" / "summary.json").read_text())


@pytest.mark.slow
def test_events_that_begin_late_are_no_leak_and_what_was_not_checked_is_said(spark, given, tmp_path, capsys):
    late = [e for e in given[2] if e["event_ts"].date() >= world.day(2)]
    summary = evaluated(spark, given, late, tmp_path)
    assert summary["leak"] is None
    first = world.day(0) - datetime.timedelta(days=29)
    said = f"begin before {world.day(2)}, with which the events begin; to have it, give events from {first} on"
    assert said in summary["unchecked_counts"] and said in capsys.readouterr().out


@pytest.mark.slow
def test_counts_that_the_events_hold_wholly_are_checked(spark, given, tmp_path):
    whole = given[3]
    summary = evaluated(spark, given, whole, tmp_path)
    assert summary["leak"] is None and summary["unchecked_counts"] is None
    gone = [e for e in whole if e["event_id"] == "early" or e["event_ts"].date() >= world.day(2)]
    with pytest.raises(QualityError, match="events from outside their windows"):
        evaluated(spark, given, gone, tmp_path)


@pytest.mark.slow
def test_a_last_day_without_impressions_is_refused(spark, given, tmp_path):
    with pytest.raises(InputError, match=rf"no impressions of {world.day(world.DAYS)}, to be predicted.*--last-day"):
        evaluated(spark, given, given[2], tmp_path, world.day(world.DAYS))
