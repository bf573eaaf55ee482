"""What a comparison of feature sets is configured by, and what ends it before Spark starts."""

from __future__ import annotations

import compare_feature_sets
import pytest
from repository import ROOT

from bannermap.experiment.grid import cells
from bannermap.platform.config import load_settings
from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import LabTrainSettings

BASE = ROOT / "conf/base.yaml"


class Started(Exception):
    """Spark would start now."""


@pytest.fixture
def started(monkeypatch):
    """What the session was asked to be built with."""
    seen = []

    def build(*given):
        seen.append(given)
        raise Started

    monkeypatch.setattr(compare_feature_sets, "build_session", build)
    return seen


def names(overlays=(), *assignments):
    return list(load_settings(BASE, overlays, assignments).feature_grid.sets)


def test_sets_that_are_given_replace_those_of_before(tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("feature_grid: {sets: {clicks: {events: [click]}}}\n")
    assert names() == ["requests", "counts", "counts and shares"]
    assert names([overlay]) == ["clicks"]
    assert names([overlay], "feature_grid.sets={shown: {events: [impression]}}") == ["shown"]
    found = load_settings(BASE, [overlay], ["feature_grid.sets.clicks.share=true", "feature_grid.sets.all.share=true"])
    assert {name: (s.events, s.share) for name, s in found.feature_grid.sets.items()} == {
        "clicks": (("click",), True),
        "all": (("request", "impression", "click"), True),
    }


def test_parameters_of_another_strategy_are_replaced_and_maps_that_add_up_are_not(tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(
        "lab: {train: {strategy: kmeans, parameters: {clusters: 300}, max_rows: 50}}\n"
        "spark: {extra: {spark.a: '1'}}\nfeatures: {sets: {a: {share: true}}}\nmonitoring: {due_hours: {build_report: 6}}\n"
    )
    given = ["lab.train.strategy=dbscan", "lab.train.parameters={eps: 0.2}", "spark.extra={spark.b: '2'}"]
    given += ["features.sets={b: {share: true}}", "monitoring.due_hours={build_user_features: 5}"]
    found = load_settings(BASE, [overlay], given)
    assert found.lab.train == LabTrainSettings(strategy="dbscan", parameters={"eps": 0.2}, max_rows=50)
    assert found.spark.extra == {"spark.a": "1", "spark.b": "2"} and set(found.features.sets) == {"a", "b"}
    assert set(found.monitoring.due_hours) == {"build_report", "build_user_features"}


def test_a_model_of_the_grid_is_trained_by_the_settings_of_training():
    settings = load_settings(BASE, [], ["lab.train.max_rows=70", "lab.train.strategy=gmm", "lab.train.parameters={clusters: 9}"])
    assert compare_feature_sets.to_train(settings, 5).lab.train == LabTrainSettings(
        strategy="kmeans", parameters={"clusters": 5}, max_rows=70
    )


def test_the_session_is_built_with_what_the_paths_need(started):
    settings = load_settings(BASE)
    with pytest.raises(Started):
        compare_feature_sets.run(settings, None)
    assert started == [(settings.spark, settings.paths)]


@pytest.mark.parametrize(
    ("assignment", "absent", "words"),
    [
        ("lab.mode=gpu", None, "torch finds no GPU"),
        ("feature_grid.clusters=[6]", None, "clusters has 6"),
        ("experiment.models=[gradient_boosting]", "lightgbm", r"bannermap\[experiment\]"),
    ],
)
def test_what_no_experiment_or_model_could_be_made_by_ends_before_spark_starts(started, monkeypatch, assignment, absent, words):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    if absent:
        monkeypatch.setitem(__import__("sys").modules, absent, None)
    with pytest.raises(ConfigError, match=words):
        compare_feature_sets.run(load_settings(BASE, [], [assignment]), None)
    assert not started


def test_the_grids_own_numbers_of_themes_are_what_counts():
    settings = load_settings(BASE, [], ["experiment.themes=7"])
    compare_feature_sets.check(settings)
    assert {c.settings.themes for c in cells(settings)} == {5, 10, 15}
