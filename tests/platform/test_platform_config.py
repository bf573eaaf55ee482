"""Configuration: every mistake ends with what, why and how, before Spark starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import yaml
from pydantic import ValidationError
from repository import ROOT

from bannermap.platform.config import load_settings, settings_hash
from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import ClusteringSettings, GateSettings, Settings

BASE = ROOT / "conf/base.yaml"


def message(*assignments, overlays=()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(BASE, overlays, assignments)
    return str(caught.value)


def test_every_key_of_the_base_file_has_its_reason_and_all_keys_are_there():
    lines = BASE.read_text().splitlines()
    keys = [line for line in lines if re.match(r"  \w+:", line)]
    assert all("#" in line for line in keys)
    content = yaml.safe_load(BASE.read_text())
    expected = {name: set(f.annotation.model_fields) for name, f in Settings.model_fields.items()}
    assert {name: set(section) for name, section in content.items()} == expected


def test_defaults_of_the_clustering_are_those_of_the_base_file():
    assert load_settings(BASE).clustering == ClusteringSettings()


def test_defaults_of_the_gate_are_those_of_the_base_file():
    assert load_settings(BASE).features.gate == GateSettings()


def test_overlays_and_assignments_win_in_order(tmp_path):
    (tmp_path / "a.yaml").write_text("clustering: {k_neighbors: 5, max_depth: 3}\n")
    (tmp_path / "b.yaml").write_text("clustering: {k_neighbors: 6}\nspark: {extra: {spark.x: y}}\n")
    found = load_settings(BASE, [tmp_path / "a.yaml", tmp_path / "b.yaml"], ["clustering.max_depth=4", "fetch.schemes=[file]"])
    assert (found.clustering.k_neighbors, found.clustering.max_depth, found.fetch.schemes) == (6, 4, ("file",))
    assert found.spark.extra == {"spark.x": "y"}
    assert settings_hash(found) != settings_hash(load_settings(BASE))
    with pytest.raises(ValidationError):
        found.clustering.max_depth = 1


def test_assignments_reach_keys_at_any_depth_and_leave_their_neighbours():
    found = load_settings(BASE, [], ["encoder.remote.endpoint=http://h/e", "clustering.cells.probes=3"])
    before = load_settings(BASE)
    assert (found.encoder.remote.endpoint, found.clustering.cells.probes) == ("http://h/e", 3)
    assert found.clustering.cells.rows_per_cell == before.clustering.cells.rows_per_cell
    assert found.encoder.remote.attempts == before.encoder.remote.attempts


def test_production_example_is_valid():
    assert load_settings(BASE, [ROOT / "conf/production.example.yaml"]).paths.warehouse.startswith("s3a://")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("clustering.k_neighbours=3", "Did you mean 'k_neighbors'?"),
        ("clusterin.k_neighbors=3", "Did you mean 'clustering'?"),
        ("encoder.chain=[{name: remote}, {name: perceptual, weigths: x}]", "Did you mean 'weights'?"),
        ("encoder.remote={endpiont: x}", "Did you mean 'endpoint'?"),
        ("clustering.accept_cohesion=96", "did you mean 0.96?"),
        ("clustering.k_neighbors=0", "greater than or equal to 1"),
        ("clustering.k_neighbors=many", "valid integer"),
        ("clustering.split_search=both", "'lookahead' or 'first'"),
        ("clustering.max_threshold=0.5", "lower the first or raise the second"),
        ("clustering.threshold_policy=both", "'fixed' or 'adaptive'"),
        ("clustering.min_threshold=-0.1", "greater than or equal to 0"),
        ("clustering.adaptive.min_step=0.3", "more than max_step"),
        ("clustering.adaptive.step=0.3", "There is no setting clustering.adaptive.step"),
        ("features.sets={a: {theems: 10}}", "Did you mean 'themes'?"),
        ("features.sets.a.themes=7", "features.sets.a.themes is 7 and clustering.theme_counts makes"),
        ("features.sets.a.layout=wide", "set themes to one of"),
        ("features.sets.a.windows_days=[7, 7]", "names a window twice"),
        ("features.sets.a.events=[click, click]", "names an event type twice"),
        ("features.sets.A.share=true", "'A' cannot name a feature set"),
        ("features.gate.users_change=[3, 1]", "the smaller limit comes first"),
        ("features.gate.max_unclustered_share=80", "did you mean 0.8?"),
        ("clustering.max_depth", "--set takes section.key=value"),
        ("clustering..probes=3", "--set takes section.key=value"),
        ("clustering.cells.probe=3", "There is no setting clustering.cells.probe. Did you mean 'probes'"),
        ("features.wide_themes=33", "less than or equal to 32"),
    ],
)
def test_mistakes_are_named_with_the_mend(assignment, words):
    assert words in message(assignment)


def test_only_the_thresholds_of_the_policy_in_use_have_to_be_in_order():
    low = "clustering.max_threshold=0.5"
    assert "min_threshold 0.6 lies above max_threshold 0.5" in message("clustering.threshold_policy=adaptive", low)
    settings = load_settings(BASE, assignments=["clustering.initial_threshold=0.4", low])
    assert settings.clustering.first_threshold == 0.4


def test_files_that_cannot_be_read(tmp_path):
    assert "no configuration file" in message(overlays=[tmp_path / "none.yaml"])
    (tmp_path / "bad.yaml").write_text("a: [")
    assert "is not YAML" in message(overlays=[tmp_path / "bad.yaml"])
    (tmp_path / "list.yaml").write_text("- a")
    assert "must hold sections" in message(overlays=[tmp_path / "list.yaml"])
    (tmp_path / "picture.yaml").write_bytes(b"\xff\xd8\xff")
    assert "cannot be read" in message(overlays=[tmp_path / "picture.yaml"])
    assert "cannot be read" in message(overlays=[tmp_path])


def run_job(*arguments, home=ROOT) -> subprocess.CompletedProcess:
    line = [sys.executable, str(ROOT / "jobs/dedupe_banners.py"), *arguments]
    # Without a Java, a job that started Spark would fail in another way than the one expected.
    variables = {**os.environ, "BANNERMAP_HOME": str(home), "JAVA_HOME": "/nonexistent", "PATH": "/nonexistent"}
    return subprocess.run(line, capture_output=True, text=True, env=variables)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--date", "2026-01-01", "--set", "clustering.acept_cohesion=0.9"], 2, "Did you mean 'accept_cohesion'?"),
        ([], 2, "needs --date"),
        (["--date", "yesterday"], 2, "write it as YYYY-MM-DD"),
    ],
)
def test_a_bad_command_ends_before_spark_starts(arguments, code, words):
    done = run_job(*arguments)
    assert (done.returncode, words in done.stderr) == (code, True)
    assert "Traceback" not in done.stderr


def test_a_missing_base_file_is_named_with_the_mend(tmp_path):
    done = run_job("--date", "2026-01-01", home=tmp_path)
    assert done.returncode == 2 and "set BANNERMAP_HOME" in done.stderr and "Traceback" not in done.stderr
