"""Samples, ranges, the time budget, and the comparison as a whole on planted sets, without Spark."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest
from lab_worlds import planted, tools

from bannermap.lab.budget import Budget
from bannermap.lab.chance import adjusted_rand
from bannermap.lab.comparing import compare, told
from bannermap.lab.curve import learning_curve
from bannermap.lab.data import Pictures, held_out, stratified
from bannermap.lab.figures import BETWEEN_CENTRES, Pairs, choices, figures, held_out_figures, pair_figures
from bannermap.lab.fitting import Configuration, fit
from bannermap.lab.ranges import cluster_counts, configurations, near_cosines
from bannermap.lab.search import Comparing, compared, rung_rows
from bannermap.lab.separation import silhouette
from bannermap.lab.sizes import Weights
from bannermap.lab.strategies import STRATEGIES
from bannermap.lab.strategies.interface import Fitted, Strategy
from bannermap.lab.training import saved_model
from bannermap.platform.settings import LabSettings

WITHOUT_SPARK = ("recursive", "hdbscan", "dbscan")


def pictures(seed: int, rows: int = 300, **world) -> Pictures:
    vectors, truth = planted(seed, rows, **world)
    rng = np.random.default_rng(seed)
    return Pictures(
        np.array([f"{i:05d}" for i in range(rows)], object),
        vectors,
        np.array([f"shop {g}" for g in truth], object),
        np.sort(rng.integers(20000, 20005, rows)),
        rng.choice([728, 300, 160], rows),
        rng.choice([90, 250, 600], rows),
        np.array([f"{g}" if g >= 0 else f"noise {i}" for i, g in enumerate(truth)], object),
    )


def work(found: Pictures, settings: LabSettings, budget_s: float = 1e6, clock=None) -> Comparing:
    budget = Budget(budget_s, clock) if clock else Budget(budget_s)
    return Comparing(found.vectors, found.sizes, settings, tools(), budget, lambda text: None)


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_has_each_stratums_share_and_what_must_be_in_it(seed):
    all_of_them = pictures(seed, 400)
    always = np.array([3, 77, 200])
    rows = stratified(all_of_them, ["day"], 120, always, 5)
    assert len(rows) == 120 and set(always) <= set(rows) and (np.diff(rows) > 0).all()
    rest, drawn = np.setdiff1d(np.arange(400), always), np.setdiff1d(rows, always)
    for day in np.unique(all_of_them.days):
        exact = (all_of_them.days[rest] == day).sum() * 117 / 397
        assert abs((all_of_them.days[drawn] == day).sum() - exact) < 1
    shuffled = np.random.default_rng(seed).permutation(400)
    again = stratified(all_of_them.of(shuffled), ["day"], 120, np.flatnonzero(np.isin(shuffled, always)), 5)
    assert set(shuffled[again]) == set(rows)  # whatever the order
    assert set(stratified(all_of_them, ["day"], 120, always, 6)) != set(rows)
    assert len(stratified(all_of_them, ["day", "advertiser", "size"], 50, always[:0], 5)) == 50
    assert len(stratified(all_of_them, [], 9000, always, 5)) == 400 and set(stratified(all_of_them, [], 2, always, 5)) == set(
        always
    )


def test_what_is_held_out():
    found = pictures(1, 400)
    by_banner = held_out(found, 0.25, "banner", 3)
    assert by_banner.sum() == 100 and (by_banner == held_out(found, 0.25, "banner", 3)).all()
    by_day = held_out(found, 0.5, "day", 3)
    assert 0 < by_day.sum() <= 200 and found.days[by_day].min() > found.days[~by_day].max()
    assert not held_out(found, 0.0, "day", 3).any() and not held_out(found, 0.0, "banner", 3).any()


def test_ranges_follow_the_data():
    assert sorted(cluster_counts(20_000, 6)) == [4, 12, 36, 110, 331, 1000]
    assert cluster_counts(20_000, 3)[0] == 63 and cluster_counts(5, 6) == [4] and max(cluster_counts(9999, 5, 64)) == 64
    vectors, _ = planted(2)
    cosines = vectors.astype(float) @ vectors.T.astype(float)
    fourth = np.sort(cosines - 2 * np.eye(300), axis=1)[:, -4]
    assert near_cosines(vectors, 3, 1) == pytest.approx(np.round(np.quantile(fourth, [0.5, 0.25, 0.75]), 2).tolist())
    tried = configurations(vectors, LabSettings(pca_variance=0.9))
    assert [c.strategy for c in tried[:8]] == list(LabSettings().strategies)  # in turns
    assert all(c.preparation.kept == 0.9 for c in tried) and len({c.name for c in tried}) == len(tried)
    given = configurations(vectors, LabSettings(cluster_counts=(5, 10, 15), strategies=("kmeans",)))
    assert [c.parameters for c in given] == [{"clusters": k} for k in (5, 10, 15)]


def chance(vectors, parameters, seed, given):
    """Labels drawn at random: what no comparison may rank."""
    return Fitted(np.random.default_rng(seed).integers(0, parameters["clusters"], len(vectors)), None)


def broken(vectors, parameters, seed, given):
    raise RuntimeError("it gave up\nwith much to say")


@pytest.fixture
def with_chance(monkeypatch):
    more = {"chance": Strategy("chance", "", chance), "broken": Strategy("broken", "", broken)}
    for place in ("fitting", "search"):
        monkeypatch.setattr(f"bannermap.lab.{place}.STRATEGIES", {**STRATEGIES, **more})


def test_chance_is_never_ranked_and_the_choice_is_near_the_best(with_chance):
    near = 0
    for world in range(12):
        found = pictures(world, 600, zipf=(0.0, 0.5, 1.0, 1.5)[world % 4], noise=(0.0, 0.1, 0.3)[world % 3])
        settings = LabSettings(strategies=WITHOUT_SPARK, bootstrap_replicates=20)
        tried = [*configurations(found.vectors, settings), *(Configuration("chance", {"clusters": k}) for k in (2, 10))]
        outcome = compared(work(found, settings), [*tried, Configuration("broken")])
        status = {t.name: t.status for t in outcome.trials}
        assert len(status) == len(tried) + 1 and status["broken()"] == "failed"
        assert {status["chance(clusters=2)"], status["chance(clusters=10)"]} <= {"gated", "dropped"}
        assert outcome.ranked[0].name == outcome.recommendation.chosen and not outcome.budget_bound
        ari = {t.name: adjusted_rand(t.found.labels, found.truth.astype(str)) for t in outcome.trials if t.found}
        lost = max(ari.values()) - ari[outcome.recommendation.chosen]
        near += lost <= 0.02
        assert lost < 0.05
    assert near >= 10


def whole_rows_only(rows: int):
    """A strategy that finds three groups in all rows, and gives up on fewer without a word."""

    def fit_it(vectors, parameters, seed, given):
        if len(vectors) < rows:
            raise AssertionError
        return STRATEGIES["recursive"].fit(vectors, {"initial_threshold": 0.6}, seed, given)

    return Strategy("picky", "", fit_it)


def test_a_fit_that_fails_in_a_gate_or_in_the_curve_costs_that_configuration_or_point_alone(monkeypatch):
    found, said = pictures(8, 900), []
    strategies = {"picky": whole_rows_only(900), "recursive": STRATEGIES["recursive"]}
    for place in ("fitting", "search", "curve"):
        monkeypatch.setattr(f"bannermap.lab.{place}.STRATEGIES", strategies)
    picky, sound = Configuration("picky"), Configuration("recursive", {"initial_threshold": 0.6})
    outcome = compared(work(found, LabSettings(mode="fast", bootstrap_replicates=20)), [picky, sound])
    status = {t.name: (t.status, t.reason) for t in outcome.trials}
    assert (
        status["picky()"] == ("failed", "on a bootstrap sample: AssertionError") and outcome.recommendation.chosen == sound.name
    )
    train, test = found, pictures(9, 50)
    whole = fit(train.vectors, picky, 1, tools(), train.sizes)
    points = learning_curve(train, test, whole, picky, (0.5,), 1, tools(), Budget(1e6), said.append)
    assert {p.pictures for p in points} == {900} and any("no point for 450 pictures, by banners" in text for text in said)


def test_permutations_are_not_begun_without_time_for_them_and_measures_count(monkeypatch):
    found = pictures(8, 300)
    settings = LabSettings(mode="fast", bootstrap_replicates=20, strategies=("recursive",), budget_s=50.0, curve_shares=())
    now = [0.0]

    def slowly(vectors, labels):
        now[0] += 1.0
        return silhouette(vectors, labels)

    monkeypatch.setattr("bannermap.lab.search.silhouette", slowly)
    monkeypatch.setattr("bannermap.lab.search.time.monotonic", lambda: now[0])
    budget = Budget(20.0, lambda: now[0])
    given = Comparing(found.vectors, found.sizes, settings, tools(), budget, lambda text: None)
    outcome = compared(given, [Configuration("recursive", {"initial_threshold": 0.6})])  # 20 permutations of 1 s
    assert [(t.status, t.reason) for t in outcome.trials] == [
        ("untried", "no time was left for the silhouettes of permuted labels")
    ]
    assert outcome.budget_bound and outcome.seconds < 20.0

    def measured(*_):
        now[0] += 100.0
        return {}

    monkeypatch.setattr("bannermap.lab.comparing.held_out_figures", measured)
    monkeypatch.setattr("bannermap.lab.comparing.Budget", lambda seconds: Budget(seconds, lambda: now[0]))
    done = compare("enc", found, None, settings, tools(), 1.0, lambda text: None)
    assert done.overrun_s >= 50.0 and told(done, settings)["overrun_s"] == done.overrun_s


def test_the_same_seed_gives_the_same_outcome():
    found, settings = pictures(3), LabSettings(mode="fast", strategies=WITHOUT_SPARK, bootstrap_replicates=20)
    one, two = (compared(work(found, settings), configurations(found.vectors, settings)) for _ in range(2))
    assert [(t.name, t.status, t.score) for t in one.ranked] == [(t.name, t.status, t.score) for t in two.ranked]
    assert one.recommendation == two.recommendation


def test_samples_come_first_and_the_better_part_goes_on():
    assert rung_rows(20_000, 1) == [5000, 20_000] and rung_rows(20_000, 2) == [1250, 5000, 20_000]
    assert rung_rows(3999, 2) == [3999] and rung_rows(10, 1) == [10]
    found = pictures(5, 4400)
    settings = LabSettings(mode="balanced", strategies=WITHOUT_SPARK, bootstrap_replicates=20, top=2)
    outcome = compared(work(found, settings), configurations(found.vectors, settings))
    dropped = [t for t in outcome.trials if t.status == "dropped" and t.rows == 1100]
    assert dropped and all("1,100 pictures" in t.reason for t in dropped)
    assert {t.configuration.strategy for t in outcome.trials if t.rows == 4400} == set(WITHOUT_SPARK)


def test_the_budget_is_kept_and_what_was_not_tried_is_said():
    found, settings = pictures(6), LabSettings(mode="balanced", strategies=WITHOUT_SPARK, bootstrap_replicates=20)
    time = iter(range(10**6))
    outcome = compared(work(found, settings, 12.0, lambda: next(time)), configurations(found.vectors, settings))
    untried = [t for t in outcome.trials if t.status == "untried"]
    assert outcome.budget_bound and untried and all("no time" in t.reason for t in untried)
    assert sum(t.rows > 0 for t in outcome.trials) <= 12 and {t.configuration.strategy for t in outcome.trials if t.rows} == set(
        WITHOUT_SPARK
    )
    none = compared(work(found, settings, 1e-9), configurations(found.vectors, settings))
    assert none.recommendation.chosen is None and all(t.status == "untried" for t in none.trials)


def test_a_fit_that_would_not_fit_is_never_started_and_what_overran_is_said(monkeypatch):
    now, started = [0.0], []

    def slow(vectors, parameters, seed, given):
        now[0] += (len(vectors) / 500) ** 2  # a second for the probe, 4 for the first sample, 64 for all
        started.append(len(vectors))
        return Fitted(np.arange(len(vectors)) % 7, Broken())

    class Broken:
        kind = about = "none"

        def predict(self, vectors):
            return np.zeros(len(vectors), np.int64)

    for place in ("fitting", "search"):
        monkeypatch.setattr(f"bannermap.lab.{place}.STRATEGIES", {"slow": Strategy("slow", "", slow, growth=2.0)})
    monkeypatch.setattr("bannermap.lab.fitting.time.monotonic", lambda: now[0])
    found, said = pictures(6, 4400), []
    given = replace(work(found, LabSettings(mode="fast", bootstrap_replicates=20), 40.0, lambda: now[0]), say=said.append)
    outcome = compared(given, [Configuration("slow", {"n": n}) for n in range(8)])
    assert started == [500, 1100, 1100, 1100, 1100] and outcome.seconds <= 40.0 and outcome.overrun_s == 0.0
    assert {t.status for t in outcome.trials} == {"untried", "dropped"} and outcome.budget_bound
    late = replace(given, budget=Budget(0.5, lambda: now[0]))  # less than a probe takes
    assert compared(late, [Configuration("slow")]).overrun_s > 0 and "over the budget" in said[-1]


def test_figures_of_a_clustering():
    found = pictures(7)
    made = fit(found.vectors, Configuration("recursive", {"initial_threshold": 0.6}), 1, tools())
    samples = silhouette(found.vectors, made.labels).samples
    got = figures(found, made.labels, samples, Weights())
    assert got["silhouette_with_outliers"] == pytest.approx(np.nan_to_num(samples).mean())
    assert got["truth_ari"] == pytest.approx(adjusted_rand(made.labels, found.truth.astype(str)))
    assert got["advertiser_recall"] <= 1.0 - got["outlier_share"] + 1e-9 and got["clusters"] == made.labels.max() + 1
    chosen = choices([("a", {"silhouette": 0.2, "davies_bouldin": 1.0}), ("b", {"silhouette": 0.4, "davies_bouldin": 2.0})])
    assert chosen == {"silhouette": "b", "davies_bouldin": "a"}
    none = figures(found, np.full(300, -1), np.full(300, np.nan), Weights())
    assert none["clusters"] == 0 and np.isnan(none["silhouette"]) and none["advertiser_recall"] == 0.0


def test_a_model_of_many_clusters_says_which_figures_it_has_not(monkeypatch, capsys):
    found, configuration = pictures(7), Configuration("recursive", {"initial_threshold": 0.6})
    made, day = fit(found.vectors, configuration, 1, tools()), datetime.date(2026, 5, 1)
    usual = saved_model(made, found, configuration, "enc", day, LabSettings()).facts
    assert not capsys.readouterr().out
    monkeypatch.setattr("bannermap.lab.training.MOST_COMPARED", 2)
    few = saved_model(made, found, configuration, "enc", day, LabSettings()).facts
    assert usual.keys() - few.keys() == set(BETWEEN_CENTRES) and all(usual[c] == v for c, v in few.items())
    assert "davies_bouldin, advertiser_centre_heuristic were not taken" in capsys.readouterr().out


def test_pairs_do_not_reward_one_cluster_of_everything():
    pairs = Pairs(np.array([0, 1, 0, 0]), np.array([1, 2, 3, 4]), np.array([True, True, False, False]))
    got = pair_figures(pairs, np.array([0, 0, -1, 1, 0]))
    assert got == {"pairs_alike_right": 0.5, "pairs_unlike_right": 0.5, "pairs_right": 0.5}
    assert pair_figures(pairs, np.zeros(5, int))["pairs_right"] == 0.5
    nobody = np.empty(0, np.int64)
    assert pair_figures(Pairs(nobody, nobody, nobody.astype(bool)), np.zeros(5, int)) == {}


def test_held_out_pictures_and_the_learning_curve():
    found = pictures(8, 900)
    hidden = held_out(found, 0.2, "banner", 1)
    train, test = found.of(np.flatnonzero(~hidden)), found.of(np.flatnonzero(hidden))
    configuration = Configuration("recursive", {"initial_threshold": 0.6})
    whole = fit(train.vectors, configuration, 1, tools())
    assert (
        held_out_figures(train, whole, test)["held_out_ari"] > 0.8 and held_out_figures(train, whole, test.of(np.arange(0))) == {}
    )
    points = learning_curve(train, test, whole, configuration, (0.05, 0.5), 1, tools(), Budget(1e6))
    by_banners = [p for p in points if p.by == "banners"]
    assert [p.pictures for p in by_banners] == [36, 360, 720] and by_banners[-1].agreement == 1.0
    assert by_banners[0].agreement < by_banners[-1].agreement
    assert [p.days for p in points if p.by == "days"] == [1, 2, 5]
    only = learning_curve(train, test, whole, configuration, (0.5,), 1, tools(), Budget(1e-9))
    assert {p.pictures for p in only} == {720}
