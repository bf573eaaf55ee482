"""Every strategy finds planted groups, predicts what it fitted, and outlives being saved; projection, buckets, rules."""

from __future__ import annotations

import contextlib
import datetime
import json
import subprocess
import sys
from dataclasses import replace

import compare_strategies
import numpy as np
import pytest
import train_strategy
from lab_worlds import planted, tools
from repository import ROOT
from scipy.special import digamma
from small_spark import changed

from bannermap.clustering import cluster_vectors
from bannermap.clustering.in_process import cluster_with_thresholds
from bannermap.lab.chance import adjusted_rand
from bannermap.lab.fitting import Configuration, Preparation, fit
from bannermap.lab.models import SavedModel, Sizes, packed, unpacked
from bannermap.lab.projection import aspect_buckets, learned_cells, learned_projection
from bannermap.lab.rules import Gaussians, NearestCentre, NearestPicture, Topics, _digamma, non_negative_codes
from bannermap.lab.strategies import STRATEGIES, check_mode, check_strategies, checked_parameters, device_of, spark_ml
from bannermap.lab.training import Choice
from bannermap.platform.cli import main
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.settings import AdaptiveSettings, ClusteringSettings

DENSITY = {"min_cluster_size": 8, "min_samples": 4}
PARAMETERS = {
    "recursive": {"initial_threshold": 0.6},
    "hdbscan": DENSITY,
    "dbscan": {"min_cosine": 0.75, "min_samples": 4},
    **{name: {"clusters": 6} for name in ("kmeans", "bisecting_kmeans", "gmm", "lda", "pic")},
}
LEAST_ARI = {
    "lda": 0.3,
    "pic": 0.3,
    "bisecting_kmeans": 0.6,
    "kmeans": 0.6,
    "gmm": 0.6,
}  # of one start each; the others see what is there


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_strategy_finds_groups_predicts_what_it_fitted_and_is_kept(spark, name):
    vectors, truth = planted(1)
    newcomers, expected = planted(1, rows=2300)  # of the same centres
    made = fit(vectors, Configuration(name, PARAMETERS[name]), 3, tools(spark))
    assert adjusted_rand(made.labels, truth) > LEAST_ARI.get(name, 0.85)
    assert (made.model.predict(vectors) == made.labels).mean() >= 0.999
    saved = SavedModel(made.model, "encoder-a", 24, name, PARAMETERS[name], None, datetime.date(2026, 3, 1), "1", "m")
    again = unpacked(*packed(saved), "there")
    assert (again.model.predict(newcomers) == made.model.predict(newcomers)).all()
    assert again.parameters == PARAMETERS[name] and again.last_dt == saved.last_dt and again.first_dt is None
    joined = again.model.predict(newcomers)
    assert adjusted_rand(joined[joined >= 0], expected[joined >= 0]) > LEAST_ARI.get(name, 0.85)


def test_strategies_by_rows_alone_give_the_same_again():
    vectors, _ = planted(2)
    for name in ("recursive", "hdbscan", "dbscan"):
        one, two = (fit(vectors, Configuration(name, PARAMETERS[name]), seed, tools()).labels for seed in (1, 1))
        assert (one == two).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kmeans", "gmm"])
def test_a_fit_of_spark_does_not_depend_on_how_its_rows_were_cut(spark, monkeypatch, name):
    vectors, _ = planted(2, rows=400)
    monkeypatch.setattr(spark_ml, "ROWS_PER_PARTITION", 150)
    made = []
    for rows in (1000, 37):  # of a batch: one of them, or many, among the cores
        with_rows = {"spark.sql.execution.arrow.maxRecordsPerBatch": str(rows)}
        with changed(spark, with_rows):
            made.append(fit(vectors, Configuration(name, {"clusters": 20}), 1, tools(spark)))
    saved = [SavedModel(m.model, "e", 24, name, {}, None, datetime.date(2026, 3, 1), "1", "m") for m in made]
    assert (made[0].labels == made[1].labels).all() and packed(saved[0]) == packed(saved[1])


def test_what_a_strategy_cannot_bear_is_sampled_and_the_rule_places_the_rest(monkeypatch):
    vectors, truth = planted(3, rows=400)
    few = {**vars(STRATEGIES["hdbscan"]), "max_rows": 200, "max_dimensions": 5}
    monkeypatch.setattr("bannermap.lab.fitting.STRATEGIES", {"hdbscan": type(STRATEGIES["hdbscan"])(**few)})
    made = fit(vectors, Configuration("hdbscan", DENSITY), 5, tools())
    assert made.fitted_rows == 200 and made.model.projection.directions.shape == (24, 5)
    assert (made.model.predict(vectors) == made.labels).all() and adjusted_rand(made.labels, truth) > 0.5


def test_nothing_to_find_is_no_cluster():
    alone = np.eye(5, dtype=np.float32)
    for name, more in (("recursive", {}), ("dbscan", PARAMETERS["dbscan"]), ("hdbscan", DENSITY)):
        made = fit(alone, Configuration(name, more), 1, tools())
        assert made.labels.tolist() == [-1] * 5 == made.model.predict(alone).tolist()
    assert fit(alone[:1], Configuration("hdbscan", DENSITY), 1, tools()).labels.tolist() == [-1]


def test_thresholds_of_clusters_are_those_of_their_cuts():
    vectors, _ = planted(4, spread=0.3)
    settings = ClusteringSettings()
    labels, thresholds = cluster_with_thresholds(vectors, settings)
    assert (labels == cluster_vectors(vectors, settings)).all() and len(thresholds) == labels.max() + 1
    cosine = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    for cluster, threshold in enumerate(thresholds):
        inside = labels == cluster
        linked = inside & (np.where(np.eye(len(labels), dtype=bool), -1, cosine)[:, inside].max(axis=1) >= threshold - 1e-6)
        assert (linked == inside).all()  # each member by a link as strong as the cut
        assert (cosine[np.ix_(inside, ~inside & (labels >= 0))] < thresholds.max() + 1e-6).all()


def test_principal_components_are_those_of_the_singular_values():
    rng = np.random.default_rng(5)
    points = rng.normal(size=(60, 9)) * np.arange(1, 10)
    plain = learned_projection(points, 3, unit=False)
    centred = points - points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(plain.applied(points)) == pytest.approx(np.abs(centred @ axes[:3].T), rel=1e-4)
    explained = np.cumsum(sizes**2) / (sizes**2).sum()
    for share in (0.3, 0.8, 0.95):
        assert learned_projection(points, share, unit=False).directions.shape[1] == np.searchsorted(explained, share) + 1
    assert learned_projection(points, 1.0, unit=False).directions.shape[1] == 9
    rows = learned_projection(points, 4, unit=True).applied(points)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(60), rel=1e-5)
    assert learned_projection(points[:2], 5, unit=True).directions.shape == (9, 2)


@pytest.mark.parametrize("seed", range(4))
def test_a_share_is_of_the_variance_about_the_mean_also_where_vectors_have_a_direction_in_common(seed):
    groups, _ = planted(seed)
    common = np.linalg.qr(np.random.default_rng(seed).normal(size=(24, 1)))[0][:, 0]
    vectors = 2 * common + groups
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    sizes = np.linalg.svd(centred, compute_uv=False) ** 2
    for share in (0.4, 0.75, 0.9, 0.99, 1.0):
        axes = learned_projection(vectors, share, unit=True).directions
        explained = np.cumsum(((centred @ axes) ** 2).sum(axis=0)) / (centred**2).sum()
        assert explained[-1] >= share - 1e-9 and explained[-2] < share
        assert axes.shape[1] <= np.searchsorted(np.cumsum(sizes) / sizes.sum(), share - 1e-9) + 2
    kept = Configuration("recursive", PARAMETERS["recursive"] | {"initial_threshold": 0.95}, Preparation(0.75))
    made = fit(vectors, kept, 1, tools())
    again = unpacked(*packed(SavedModel(made.model, "a", 24, "recursive", {}, None, None, "1")), "there").model
    assert made.labels.max() >= 3 and (again.predict(vectors) == made.model.predict(vectors)).all()


def test_of_unit_rows_a_small_share_leaves_more_than_a_sign():
    rows = np.repeat([[1.0, 0.0, 0.0], [0.02, 0.9998, 0.0], [0.02, 0.9998, 0.01]], [900, 2, 1], axis=0)
    seen = learned_projection(rows, 0.2, unit=True).applied(rows)
    assert seen.shape == (903, 2) and seen[0] @ seen[-1] == pytest.approx(0.02, abs=1e-3)
    assert learned_projection(rows, 0.2, unit=False).directions.shape == (3, 1)


def test_buckets_never_share_a_cluster():
    vectors, _ = planted(6)
    width, height = np.where(np.arange(300) % 2, 728, 160), np.where(np.arange(300) % 2, 90, 600)
    sizes = Sizes(width, height)
    by_aspect = Configuration("recursive", PARAMETERS["recursive"], Preparation(bucketing="aspect"))
    made = fit(vectors, by_aspect, 1, tools(), sizes)
    assert not set(made.labels[::2]) & set(made.labels[1::2]) - {-1}
    for odd in (0, 1):  # each bucket is what clustering it alone gives
        assert (
            adjusted_rand(made.labels[odd::2], cluster_vectors(vectors[odd::2], ClusteringSettings(initial_threshold=0.6))) == 1
        )
    assert (made.model.predict(vectors, sizes) == made.labels).mean() >= 0.999
    cells = Configuration("recursive", PARAMETERS["recursive"], Preparation(bucketing="cell", cells=3, kept=0.9))
    in_cells = fit(vectors, cells, 1, tools())
    assert len(in_cells.model.rules) == 3 and (in_cells.model.predict(vectors) == in_cells.labels).mean() >= 0.999
    saved = SavedModel(in_cells.model, "a", 24, "recursive", {}, None, None, "1")
    assert (unpacked(*packed(saved), "there").model.predict(vectors) == in_cells.labels).mean() >= 0.999
    assert "pca=0.9" in cells.name and "cell" in cells.name


def test_aspects_and_cells():
    shape = aspect_buckets(np.array([160, 300, 728, 320, 0, 300, 300]), np.array([600, 250, 90, 50, 90, 300, 600]))
    assert shape.tolist() == [0, 2, 5, 5, 2, 2, 1]
    vectors, _ = planted(7, spread=0.2)
    centres = learned_cells(vectors, 6, 3)
    assert np.linalg.norm(centres, axis=1) == pytest.approx(np.ones(len(centres)), rel=1e-5)
    assert len(learned_cells(vectors[:2], 6, 3)) <= 2


def test_a_mixture_is_its_densities():
    rng = np.random.default_rng(8)
    half = rng.normal(size=(3, 4, 4))
    covariances, means = half @ half.transpose(0, 2, 1), rng.normal(size=(3, 4))
    weights, points = np.array([0.2, 0.5, 0.3]), rng.normal(size=(50, 4))
    from scipy.stats import multivariate_normal

    each = zip(weights, means, covariances, strict=True)
    density = np.stack([w * multivariate_normal(m, c).pdf(points) for w, m, c in each], axis=1)
    assert (Gaussians.of(weights, means, covariances).predict(points) == density.argmax(axis=1)).all()


def test_a_rows_topic_does_not_follow_from_its_company():
    rng = np.random.default_rng(9)
    topics = rng.dirichlet(np.full(16, 0.2), 4)
    rule, vectors = Topics(topics, np.full(4, 0.25)), rng.normal(size=(40, 8)).astype(np.float32)
    together = rule.predict(vectors)
    assert (together == [rule.predict(v[None, :])[0] for v in vectors]).all() and len(set(together.tolist())) > 1
    codes = non_negative_codes(np.array([[1.0, -3.0], [0.0, 0.0]]))
    assert codes.tolist() == [[25.0, 0.0, 0.0, 75.0], [0.0] * 4]


def test_topics_are_inferred_by_numpy_alone(monkeypatch):
    values = np.concatenate([np.geomspace(1e-6, 1e6, 4001), np.linspace(0.5, 3.0, 1001)])
    assert _digamma(values) == pytest.approx(digamma(values), rel=1e-13, abs=1e-14)
    assert _digamma(values[:4].reshape(2, 2)).shape == (2, 2)
    rng = np.random.default_rng(9)
    rule, vectors = Topics(rng.dirichlet(np.full(16, 0.2), 4), np.full(4, 0.25)), rng.normal(size=(200, 8)).astype(np.float32)
    shares, codes = rule._shares(non_negative_codes(vectors)), non_negative_codes(vectors)
    monkeypatch.setattr("bannermap.lab.rules._digamma", digamma)
    assert shares == pytest.approx(rule._shares(codes), rel=1e-9)


def test_rules_on_ties_and_from_afar():
    centres = NearestCentre(np.array([[1, 0], [0, 1], [1, 0]], np.float32))
    assert centres.predict(np.array([[2.0, 0.0], [0.1, 5.0]])).tolist() == [0, 1]
    pictures = NearestPicture(np.eye(3, dtype=np.float32), np.array([4, -1, 2]), np.array([0.9, -1.0, 0.5], np.float32))
    asked = np.array([[1, 0.1, 0], [1, 0.6, 0], [0.1, 1, 0.1], [0, 0.4, 0.5]])
    assert pictures.predict(asked).tolist() == [4, -1, -1, 2]


def kept(tmp_path) -> SavedModel:
    vectors, _ = planted(10)
    made = fit(vectors, Configuration("recursive", PARAMETERS["recursive"]), 1, tools())
    saved = SavedModel(made.model, "encoder-a", 24, "recursive", {}, None, datetime.date(2026, 3, 1), "1", "m")
    text, data = packed(saved)
    (tmp_path / "model.json").write_text(text)
    (tmp_path / "arrays.npz").write_bytes(data)
    np.save(tmp_path / "vectors.npy", vectors)
    np.save(tmp_path / "labels.npy", made.model.predict(vectors))
    return saved


def test_a_new_process_predicts_the_same(tmp_path):
    kept(tmp_path)
    code = (
        "import sys, numpy as np; from pathlib import Path; from bannermap.lab.models import unpacked; p = Path(sys.argv[1]);"
        "m = unpacked((p / 'model.json').read_text(), (p / 'arrays.npz').read_bytes(), 'p').model;"
        "print((m.predict(np.load(p / 'vectors.npy')) == np.load(p / 'labels.npy')).all(), 'pyspark' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert found.stdout.split() == ["True", "False"], found.stderr


def test_a_model_refuses_other_vectors_and_damage(tmp_path):
    saved = kept(tmp_path)
    saved.check_encoder("encoder-a", 24)
    with pytest.raises(InputError, match=r"encoder-a.*encoder-b"):
        saved.check_encoder("encoder-b")
    with pytest.raises(InputError, match="24 dimensions"):
        saved.check_encoder("encoder-a", 32)
    text, data = packed(saved)
    for broken in ((text, data[:100]), ("{}", data), ("not json", data), (text.replace('"format": 1', '"format": 9'), data)):
        with pytest.raises(InputError, match=r"rain it again"):
            unpacked(*broken, "there")


@pytest.mark.parametrize(
    ("strategy", "parameters", "words"),
    [
        ("recursive", "{inital_threshold: 0.3}", "Did you mean 'initial_threshold'"),
        ("recursive", "{threshold_policy: adaptve}", "threshold_policy is 'adaptve'"),
        ("recursive", "{initial_threshold: 7}", "initial_threshold is 7"),
        ("recursive", "{initial_threshold: 0.9, max_threshold: 0.8}", "lies above max_threshold"),
        ("recursive", "{adaptive: {nothing: 1}}", "adaptive.nothing"),
        ("hdbscan", "{}", "lack min_cluster_size"),
        ("hdbscan", "{min_cluster_size: 1, min_samples: 1}", "min_cluster_size is 1"),
        ("dbscan", "{min_cosine: 0.9, min_samples: 3, eps: 1}", "takes min_cosine, min_samples"),
        ("kmeans", "{}", "lack clusters"),
        ("kmeans", "{clusters: 2.5}", "clusters is 2.5"),
        ("null", "{clusters: 2}", "lab.train.strategy is not"),
    ],
)
def test_wrong_parameters_end_before_spark_starts(monkeypatch, capsys, strategy, parameters, words):
    monkeypatch.setattr("bannermap.platform.cli.build_session", lambda settings: pytest.fail("Spark was started"))
    monkeypatch.setenv("BANNERMAP_HOME", str(ROOT))
    given = [f"lab.train.strategy={strategy}", f"lab.train.parameters={parameters}"]
    assert main(train_strategy.JOB, ["--date", "2026-05-01", *(part for g in given for part in ("--set", g))]) == 2
    assert words in capsys.readouterr().err


class Noting:
    """Tools that note what is asked of them."""

    def __init__(self):
        self.given, self.asked = tools(), set()

    def __getattr__(self, name):
        self.asked.add(name)
        return getattr(self.given, name)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_strategy_that_goes_by_the_section_clustering_says_so_and_its_model_tells_the_section(name):
    noting = Noting()
    with contextlib.suppress(Exception):  # those of Spark have no session here, and end when they ask for it
        fit(planted(4)[0], Configuration(name, PARAMETERS[name]), 1, noting)
    assert ("clustering" in noting.asked) == STRATEGIES[name].by_clustering
    section = ClusteringSettings(k_neighbors=7, adaptive=AdaptiveSettings(min_step=0.02), theme_counts=(3,))
    told = json.loads(json.dumps(Choice("enc", Configuration(name, PARAMETERS[name]), section).parameters))
    assert ("clustering" in told) == STRATEGIES[name].by_clustering and told["preparation"] == vars(Preparation())
    assert told.items() >= PARAMETERS[name].items()
    assert "clustering" not in told or ClusteringSettings.model_validate_json(json.dumps(told["clustering"])) == section


def test_parameters_are_those_that_are_fitted():
    own = ClusteringSettings(min_group_size=3, max_threshold=0.95)
    assert checked_parameters("recursive", {"initial_threshold": "0.3"}, own) == {"initial_threshold": 0.3}
    assert checked_parameters("kmeans", {"clusters": 5.0}, own) == {"clusters": 5}
    for name, parameters in PARAMETERS.items():
        assert checked_parameters(name, parameters, own) == parameters
    seen = []

    def look(vectors, settings):
        seen.append(settings)
        return cluster_with_thresholds(vectors, settings)

    vectors, _ = planted(2)
    fit(vectors, Configuration("recursive", {"initial_threshold": "0.3"}), 1, replace(tools(), cluster=look, clustering=own))
    assert (seen[0].initial_threshold, seen[0].min_group_size, seen[0].max_threshold) == (0.3, 3, 0.95)
    with pytest.raises(ConfigError, match="inital_threshold"):
        fit(vectors, Configuration("recursive", {"inital_threshold": 0.3}), 1, tools())


def test_a_missing_package_is_said_before_anything_starts(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"bannermap\[lab\]"):
        check_strategies(["recursive", "hdbscan"])
    check_strategies(["recursive"])


def test_kmeans_on_a_device_of_torch_finds_groups_predicts_its_fit_and_repeats_itself():
    vectors, truth = planted(1)
    given = replace(tools(), device="cpu")
    one, two, other = (fit(vectors, Configuration("kmeans", {"clusters": 6}), seed, given) for seed in (3, 3, 4))
    assert (one.labels == two.labels).all() and (one.model.predict(vectors) == one.labels).all()
    assert max(adjusted_rand(made.labels, truth) for made in (one, other)) > 0.85
    assert fit(vectors[:3], Configuration("kmeans", {"clusters": 9}), 1, given).labels.tolist() != [0, 0, 0]
    same = fit(np.repeat(vectors[:1], 5, axis=0), Configuration("kmeans", {"clusters": 3}), 1, given)
    assert len(set(same.labels.tolist())) == 1


def test_mode_gpu_without_a_gpu_ends_before_spark_starts(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("bannermap.platform.cli.build_session", lambda settings: pytest.fail("Spark was started"))
    monkeypatch.setenv("BANNERMAP_HOME", str(ROOT))
    for job in (compare_strategies.JOB, train_strategy.JOB):
        assert main(job, ["--date", "2026-05-01", "--set", "lab.mode=gpu"]) == 2
        assert "lab.mode=comprehensive" in capsys.readouterr().err
    check_mode("comprehensive")
    assert (device_of("gpu"), device_of("balanced")) == ("cuda", None)
