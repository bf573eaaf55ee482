"""A real log of impressions and clicks on plain files: features of two days, then the experiment on the days after them.

Items stand for banners and the tuple of anonymised user features for a user. There are no pictures: an item's cluster is its
campaign with its second anonymised feature, which groups items as a category would.
"""

from __future__ import annotations

import json
from pathlib import Path

import evaluate_features
import pandas as pd
import pytest

from bannermap.features.files import run_on_files

AS_OF = ("2019-11-28", "2019-11-29")
LAST = "2019-11-30"


def read_log(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Events and assignment."""
    events, items = [], []
    for file in sorted(folder.glob("*/*/[mw]*.csv")):
        policy, campaign = file.parts[-3:-1]
        rows = pd.read_csv(file)
        user = rows[[f"user_feature_{n}" for n in range(4)]].astype(str).agg("-".join, axis=1)
        name = policy + campaign + rows.index.astype(str)
        base = {"user_id": user, "banner_id": campaign + rows.item_id.astype(str), "request_id": name, "campaign_id": campaign}
        context = {"app_id": policy, "placement_id": "p" + rows.position.astype(str)}
        at = pd.to_datetime(rows.timestamp, format="ISO8601", utc=True)
        shown = pd.DataFrame({**base, **context, "event_ts": at.dt.as_unit("us")})
        for kind, part in (("request", shown), ("impression", shown), ("click", shown[rows.click == 1])):
            events.append(part.assign(event_type=kind, event_id=part.request_id + kind))
        item = pd.read_csv(folder / "random" / campaign / "item_context.csv")  # the other policy hashed the same otherwise
        cluster = campaign + item.item_feature_1.astype(str)
        items.append(pd.DataFrame({"banner_id": campaign + item.item_id.astype(str), "cluster_id": cluster}))
    return pd.concat(events), pd.concat(items).drop_duplicates()


@pytest.mark.slow
def test_a_real_log_goes_through_features_and_experiment(spark, base_settings, shared_data, tmp_path, capsys):
    events, items = read_log(shared_data / "obd")
    events.to_parquet(tmp_path / "events.parquet")
    items.to_parquet(tmp_path / "items.parquet")
    given = {"events": str(tmp_path / "events.parquet"), "assignments": str(tmp_path / "items.parquet")}
    for day in AS_OF:
        run_on_files(spark, base_settings, {**given, "as_of": day, "out": str(tmp_path / "features" / day)})
    trees = base_settings.experiment.gradient_boosting.model_copy(update={"threads": 1, "trees": 40})
    quick = {"train_days": 1, "gradient_boosting": trees, "bootstrap_replicates": 200, "min_slice_clicks": 10}
    settings = base_settings.model_copy(update={"experiment": base_settings.experiment.model_copy(update=quick)})
    features = str(tmp_path / "features/*/user_cluster_counts")
    out = tmp_path / "experiment"
    evaluate_features.FILES.run(spark, settings, {**given, "features": features, "last_day": LAST, "out": str(out)})
    summary = json.loads((out / "summary.json").read_text())
    in_days = events[events.event_ts.dt.strftime("%Y-%m-%d").between("2019-11-29", LAST)]
    kinds = in_days.event_type.value_counts()
    assert summary["impressions"] == kinds["impression"] and summary["clicks"] == kinds["click"]
    assert summary["unattributed_clicks"] == 0 and summary["leak"] is None
    assert summary["feature_density"] > 0.8  # the tuples of users come again and again
    test = in_days[in_days.event_ts.dt.strftime("%Y-%m-%d") == LAST]
    verdicts = pd.read_parquet(out / "experiment_verdicts")
    whole = verdicts[(verdicts.slice_kind == "all") & (verdicts.variant == "features")]
    assert len(whole) == 2 and set(whole.impressions) == {(test.event_type == "impression").sum()}
    assert set(whole.clicks) == {(test.event_type == "click").sum()}
    assert len(pd.read_parquet(out / "experiment_results")) == 8 * len(verdicts)
    said = capsys.readouterr().out
    assert all(text in said for text in whole.text)
