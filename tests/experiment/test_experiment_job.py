"""The job on a small warehouse against loops over its events; what a dry run and a rerun leave; a leak ends with an error."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path

import evaluate_features
import logged_world as world
import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from nbclient import NotebookClient
from repository import ROOT

from bannermap.experiment import gathering as g
from bannermap.experiment import job
from bannermap.experiment.assembling import breaches
from bannermap.experiment.evaluation import FEATURES, FUTURE
from bannermap.experiment.timeline import DAY_US
from bannermap.platform.cli import Stage, main, run_stage
from bannermap.platform.errors import ConfigError, InputError, QualityError
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import EXPERIMENT_RESULTS, EXPERIMENT_VERDICTS, RUNS, window_columns

DRAWN = g.drawn
STAGE = evaluate_features.JOB.stages[0]
LAST = world.day(world.DAYS - 1)
QUICK = {"train_days": 3, "test_days": 1, "bootstrap_replicates": 100, "min_slice_clicks": 5, "themes": 5, "export": True}


def settings_for(base_settings, log_root, **changes):
    paths = base_settings.paths.model_copy(update={"event_log": str(log_root)})
    trees = base_settings.experiment.gradient_boosting.model_copy(update={"threads": 1, "trees": 5})
    experiment = base_settings.experiment.model_copy(update={**QUICK, "gradient_boosting": trees, **changes})
    return base_settings.model_copy(update={"paths": paths, "experiment": experiment})


@pytest.fixture(scope="module")
def stored(spark, base_settings, tmp_path_factory):
    """Settings, warehouse, events."""
    home, rows = tmp_path_factory.mktemp("experiment"), world.events(5)
    warehouse = Warehouse(spark, str(home / "warehouse"))
    world.store(warehouse, home / "log", rows)
    return settings_for(base_settings, home / "log"), warehouse, rows


@pytest.fixture(scope="module")
def dry(stored):
    """What a dry run gathered: the rows, and where they came from."""
    settings, warehouse, _ = stored
    seen = []

    def kept(spark, sources, last_day, own):
        seen.append((DRAWN(spark, sources, last_day, own), sources))
        return seen[0][0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(g, "drawn", kept)
        run_stage(STAGE, Warehouse(warehouse.spark, warehouse.root, read_only=True), settings, LAST)
    assert not warehouse.exists(EXPERIMENT_RESULTS) and not warehouse.exists(RUNS)
    assert not Path(warehouse.root, "experiment").exists()
    return seen[0]


def joined_publication(moment):
    """Day and revision that a loop would join."""
    there = [(d, r) for d, r, at in world.publications() if at <= moment and d < moment.date()]
    return max(there, default=None)


@pytest.mark.slow
def test_rows_are_those_of_loops_over_the_events(stored, dry):
    rows, (drawn, sources) = stored[2], dry
    clicked, lost = world.labels(rows)
    shown = {e["event_id"]: e for e in rows if e["event_type"] == "impression" and e["event_ts"].date() >= world.day(1)}
    frame = drawn.collected.rows
    assert set(frame.event_id) == set(shown) and drawn.impressions == len(frame)
    assert set(frame.event_id[frame.clicked]) == clicked & set(shown)
    inside = [e for e in rows if e["event_ts"].date() >= world.day(1)]
    assert (drawn.clicks, drawn.unattributed_clicks) == (sum(e["event_type"] == "click" for e in inside), world.labels(inside)[1])
    assert lost and clicked
    for r in frame.itertuples():
        event = shown[r.event_id]
        expected = joined_publication(event["event_ts"])
        known = None if np.isnan(r.present) else sources.publications[int(r.present)]
        assert (known and (known.as_of, known.revision)) == expected
        clusters = world.CLUSTERS | ({"new": "k2"} if expected and expected[0] == world.day(2) else {})
        cluster = clusters.get(event["banner_id"]) if expected else None
        assert (r.present_cluster if isinstance(r.present_cluster, str) else None) == cluster
    counted = {}
    for r in drawn.collected.histories.itertuples():
        cluster = r.cluster_id if isinstance(r.cluster_id, str) else "unclustered"
        counted[r.publication, r.user_id, cluster] = [getattr(r, c) for c in window_columns()]
    for place, publication in enumerate(sources.publications):
        users = {u for p, u, _ in counted if p == place}
        expected = world.counts(rows, publication.as_of, world.CLUSTERS)
        own = {(u, c): n for (p, u, c), n in counted.items() if p == place}
        assert own == {pair: n for pair, n in expected.items() if pair[0] in users}


@pytest.mark.slow
def test_a_rerun_leaves_the_same_tables_and_files(stored, dry):
    settings, warehouse, _ = stored
    found = []
    for _ in range(2):
        run_stage(STAGE, warehouse, settings, LAST)
        found.append([sorted(map(repr, warehouse.read(t).collect())) for t in (EXPERIMENT_RESULTS, EXPERIMENT_VERDICTS)])
    assert found[0] == found[1]
    verdicts = warehouse.read(EXPERIMENT_VERDICTS).toPandas()
    whole = verdicts[verdicts.slice_kind == "all"]
    assert set(zip(whole.model, whole.variant, strict=True)) >= {
        (m, v) for m in settings.experiment.models for v in (FEATURES, FUTURE)
    }
    name = verdicts.experiment_id.iloc[0]
    folder = f"{warehouse.root}/experiment/{name}"
    summary = json.loads(Path(f"{folder}/summary.json").read_text())
    assert summary["leak"] is None and len(summary["verdicts"]) == len(verdicts) and 0 < summary["feature_density"] <= 1
    config = yaml.safe_load(Path(f"{folder}/fuxictr/dataset_config.yaml").read_text())["bannermap_20260305"]
    parts = {p: pd.read_csv(f"{folder}/fuxictr/{config[f'{p}_data']}") for p in ("train", "valid", "test")}
    columns = [n for c in config["feature_cols"] for n in c["name"] if isinstance(c["name"], list)] + ["group_id", "click"]
    assert all(set(frame.columns) == set(columns) for frame in parts.values())
    assert len(parts["test"]) == whole.impressions.iloc[0] and parts["test"].click.sum() == whole.clicks.iloc[0]
    assert sum(map(len, parts.values())) == summary["train_impressions"] + summary["test_impressions"]


def counting_a_later_day(histories):
    return histories.assign(clicks_30d=histories.clicks_30d + 40)


def before_their_time(histories):
    return histories.assign(available_us=histories.available_us + DAY_US)


def of_the_day_itself(histories):
    return histories.assign(as_of=histories.as_of + datetime.timedelta(days=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tampered", "words"),
    [
        (counting_a_later_day, "events from outside their windows"),
        (before_their_time, "before available_at"),
        (of_the_day_itself, "of their own day or a later one"),
    ],
)
def test_a_leak_ends_with_an_error_that_names_the_days(dry, stored, tampered, words, monkeypatch):
    settings, warehouse, _ = stored
    assert not breaches(dry[0].collected)
    leaking = replace(dry[0].collected, histories=tampered(dry[0].collected.histories))
    monkeypatch.setattr(g, "drawn", lambda *_: replace(dry[0], collected=leaking))
    with pytest.raises(QualityError, match=rf"rows joined .*{words} \(2026-03-0\d: \d+.*summary.json"):
        run_stage(STAGE, Warehouse(warehouse.spark, warehouse.root, read_only=True), settings, LAST)


def on_the_next_day(settings, warehouse):
    run_stage(STAGE, Warehouse(warehouse.spark, warehouse.root, read_only=True), settings, world.day(world.DAYS))


def test_a_day_that_was_not_taken_in_is_refused_and_not_the_one_before_predicted(stored):
    settings, warehouse, _ = stored
    with pytest.raises(InputError, match=r"2026-03-06, to be predicted, was not taken in.*build_user_features"):
        on_the_next_day(settings, warehouse)


@pytest.mark.slow
def test_a_day_without_impressions_is_refused(stored, monkeypatch):
    settings, warehouse, _ = stored
    known = {world.day(n) for n in range(world.DAYS + 1)}
    monkeypatch.setattr(g, "_complete_days", lambda _: known)  # taken in, as a log of other events
    with pytest.raises(InputError, match=r"no impressions of 2026-03-06, to be predicted"):
        on_the_next_day(settings, warehouse)


@pytest.mark.slow
def test_themes_that_a_joined_clustering_lacks_are_refused_where_they_are_counted(stored):
    settings, warehouse, _ = stored
    seen = []
    probe = Stage("probe", lambda context: seen.append(g.of_warehouse(context, lambda *_: None)))
    dry_run = Warehouse(warehouse.spark, warehouse.root, read_only=True)

    def asked(block):
        own = settings.experiment.model_copy(update={"themes": 10, "blocks": (block,)})
        run_stage(probe, dry_run, settings.model_copy(update={"experiment": own}), LAST)

    asked("all")
    with pytest.raises(InputError, match=r"without so many themes: 2026-03-01-c, .*2026-03-05-c\. Take .* have \(5\)"):
        asked("theme")
    assert len(seen) == 1


@pytest.mark.slow
def test_the_drawn_rows_follow_from_ids_alone(spark, stored):
    from bannermap.experiment.transforms import drawn_rows

    rows = spark.createDataFrame([(f"e{n}", n) for n in range(500)], "event_id string, n int")
    draws = [sorted(r.event_id for r in drawn_rows(rows.repartition(p), 60, 7).collect()) for p in (1, 5)]
    assert draws[0] == draws[1] and len(draws[0]) == 60
    assert draws[0] != sorted(r.event_id for r in drawn_rows(rows, 60, 8).collect())


def test_what_cannot_be_right_ends_before_spark_starts(base_settings, monkeypatch, capsys):
    with pytest.raises(ConfigError, match=r"experiment.themes is 7 .*5, 10, 15"):
        job.check(base_settings.model_copy(update={"experiment": base_settings.experiment.model_copy(update={"themes": 7})}))
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    with pytest.raises(ConfigError, match=r"bannermap\[experiment\]"):
        job.check(base_settings)
    with pytest.raises(ConfigError, match="plain files have none"):
        job.without_themes(base_settings.experiment.model_copy(update={"blocks": ("themes",)}))
    monkeypatch.setenv("BANNERMAP_HOME", str(ROOT))
    assert main(evaluate_features.JOB, ["--date", "2026-03-05", "--set", "experiment.windows_days=[1,1]"]) == 2
    assert "name each once" in capsys.readouterr().err


@pytest.mark.slow
def test_the_notebook_shows_verdicts_and_a_chart(stored, dry, monkeypatch):
    settings, warehouse, _ = stored
    if not warehouse.exists(EXPERIMENT_VERDICTS):
        run_stage(STAGE, warehouse, settings, LAST)
    monkeypatch.setenv("BANNERMAP_HOME", str(ROOT))
    monkeypatch.setenv("BANNERMAP_WAREHOUSE", warehouse.root)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    notebook = nbformat.read(ROOT / "notebooks/03_does_it_help.ipynb", as_version=4)
    done = NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(ROOT / "notebooks"))
    outputs = [o for cell in done.cells if cell.cell_type == "code" for o in cell.outputs]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 1
    printed = "".join(o.get("text", "") for o in outputs)
    assert all(f"{model}: the features " in printed for model in settings.experiment.models)
