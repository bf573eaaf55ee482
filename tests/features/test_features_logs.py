"""Days of the event log that were written by different hands are read each by its own schema."""

from __future__ import annotations

import feature_oracle as oracle
import pandas as pd
import pytest
from test_features_days import at, cluster, day, deliver, partials, settings_for

from bannermap.features.intake import checked_log_days
from bannermap.features.job import STAGE
from bannermap.platform.cli import run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.runs import JobContext, Run


def written(root, number: int, unit: str, **context) -> None:
    """A log day with one event, its times in some unit, and columns of context or none."""
    event = oracle.event(f"e{number}", "click", at(number), "u", "a") | context
    frame = pd.DataFrame([event]).astype({c: "string" for c in event if c != "event_ts"})
    frame["event_ts"] = pd.to_datetime(frame["event_ts"]).dt.as_unit(unit)
    folder = root / f"dt={day(number)}"
    folder.mkdir(parents=True)
    frame.to_parquet(folder / "part.parquet")


@pytest.mark.parametrize("units", [("ns", "us", "ns"), ("us", "ns", "ms")])
def test_times_and_columns_of_each_log_day_are_its_own(units, base_settings, warehouse, tmp_path):
    settings = settings_for(base_settings, tmp_path / "log")
    for number, unit in enumerate(units):
        written(tmp_path / "log", number, unit, **({"campaign_id": f"c{number}"} if number else {}))
    context = JobContext(warehouse, settings, day(2), Run("build_user_features", day(2)))
    rows = checked_log_days(context, [day(n) for n in range(3)]).collect()
    found = {r["event_id"]: (r["dt"], r["event_day"], r["campaign_id"], r["reason"]) for r in rows}
    assert found == {f"e{n}": (day(n), day(n), f"c{n}" if n else None, None) for n in range(3)}


def test_a_log_day_whose_files_are_gone_is_told_as_one_that_is_gone(base_settings, warehouse, tmp_path):
    settings = settings_for(base_settings, tmp_path / "log")
    for number in (0, 1):
        deliver(tmp_path / "log", day(number), [oracle.event(f"e{number}", "click", at(number), "u", "a")])
        cluster(warehouse, day(number))
    run_stage(STAGE, warehouse, settings, day(0))
    before = partials(warehouse)
    (tmp_path / "log" / f"dt={day(0)}" / "part.parquet").unlink()
    with pytest.raises(InputError, match=f"{day(0)} was taken in and is gone"):
        run_stage(STAGE, warehouse, settings, day(1))
    assert partials(warehouse) == before
