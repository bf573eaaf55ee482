"""Samples, ranges, the time budget, and the comparison as a whole on planted sets, without Spark."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest
from lab_worlds import pictures, tools

from bannermap.lab.budget import Budget, foretold_s
from bannermap.lab.chance import adjusted_rand
from bannermap.lab.comparing import compare, told
from bannermap.lab.curve import learning_curve
from bannermap.lab.data import Pictures, held_out
from bannermap.lab.figures import BETWEEN_CENTRES, Pairs, choices, figures, pair_figures
from bannermap.lab.fitting import Configuration, fit
from bannermap.lab.ranges import configurations
from bannermap.lab.search import compared, rung_rows
from bannermap.lab.separation import silhouette
from bannermap.lab.sizes import Weights
from bannermap.lab.strategies import STRATEGIES
from bannermap.lab.strategies.interface import Fitted, Strategy
from bannermap.lab.training import Choice, saved_model
from bannermap.lab.trials import Comparing
from bannermap.platform.settings import ClusteringSettings, LabSettings

WITHOUT_SPARK = ("recursive", "hdbscan", "dbscan")


def work(found: Pictures, settings: LabSettings, budget_s: float = 1e6, clock=None) -> Comparing:
    budget = Budget(budget_s, clock) if clock else Budget(budget_s)
    return Comparing(found.vectors, found.sizes, settings, tools(), budget, lambda text: None)


def test_what_is_held_out():
    found = pictures(1, 400)
    by_banner = held_out(found, 0.25, "banner", 3)
    assert by_banner.sum() == 100 and (by_banner == held_out(found, 0.25, "banner", 3)).all()
    by_day = held_out(found, 0.5, "day", 3)
    assert 0 < by_day.sum() <= 200 and found.days[by_day].min() > found.days[~by_day].max()
    assert not held_out(found, 0.0, "day", 3).any() and not held_out(found, 0.0, "banner", 3).any()


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
    train, test, budget = found, pictures(9, 50), Budget(1e6)
    whole = fit(train.vectors, picky, 1, tools(), train.sizes)
    full = whole.model.predict(test.vectors, test.sizes)
    curve = learning_curve(train, test, whole, full, picky, (0.5,), 1, tools(), budget, 0.01, said.append)
    assert {p.pictures for p in curve.points} == {900} and {m.status for m in curve.missing} == {"failed"}
    assert not budget.left_out and any("no point for 450 pictures, by banners" in text for text in said)


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
    monkeypatch.setattr("bannermap.lab.comparing.Budget", lambda seconds, **_: Budget(seconds, lambda: now[0]))
    done = compare("enc", found, None, settings, tools(), 1.0, lambda text: None)
    assert done.overrun_s >= 50.0 and told(done, settings)["overrun_s"] == done.overrun_s


def test_the_same_seed_gives_the_same_outcome():
    found, settings = pictures(3), LabSettings(mode="fast", strategies=WITHOUT_SPARK, bootstrap_replicates=20)
    one, two = (compared(work(found, settings), configurations(found.vectors, settings)) for _ in range(2))
    assert [(t.name, t.status, t.score) for t in one.ranked] == [(t.name, t.status, t.score) for t in two.ranked]
    assert one.recommendation == two.recommendation


def facts(outcome):
    return [(t.name, t.status, t.rows, t.score) for t in outcome.ranked], {(t.name, t.status, t.rows) for t in outcome.trials}


def test_where_the_budget_binds_a_comparison_is_repeated_by_what_was_left_out(monkeypatch):
    monkeypatch.setattr("bannermap.lab.search.LEAST_RUNG_ROWS", 100)
    monkeypatch.setattr("bannermap.lab.search.PROBE_ROWS", 10**6)  # timed by this clock all would seem slow
    monkeypatch.setattr("bannermap.lab.fitting.time.monotonic", lambda: 0.0)  # a fit costs the looks at the clock round it
    found = pictures(6, 600)
    settings = LabSettings(mode="balanced", strategies=WITHOUT_SPARK, bootstrap_replicates=20)
    tried, ticks, quick = configurations(found.vectors, settings), iter(range(10**6)), iter(np.arange(0.0, 1e6, 0.7))
    given = work(found, settings, 24.0, lambda: next(ticks))
    first, faster = compared(given, tried), compared(work(found, settings, 24.0, lambda: next(quick)), tried)
    assert first.ranked and first.budget_bound and facts(faster) != facts(first)
    again = compared(replace(given, budget=Budget(24.0, lambda: 0.0, first.left_out)), tried)
    assert facts(again) == facts(first) and again.recommendation == first.recommendation
    assert again.left_out == first.left_out


def test_a_comparison_that_repeats_another_keeps_the_budget_too():
    now = [0.0]
    budget = Budget(10.0, lambda: now[0], {"b"})
    now[0] = 9.0
    assert budget.allows("a", 100.0) and not budget.allows("b", 0.0)
    assert budget.part(0.95).allows("c", 100.0) and not budget.part(0.8).allows("d", 0.0)
    now[0] = 10.5
    assert not budget.allows("e", 0.0) and budget.left_out == {"b", "d", "e"}


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
        now[0] += 0.0 if started else 5.0  # once: were it taken to grow with the rows, nothing would be tried
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
    given = replace(work(found, LabSettings(mode="fast", bootstrap_replicates=20), 80.0, lambda: now[0]), say=said.append)
    outcome = compared(given, [Configuration("slow", {"n": n}) for n in range(8)])
    assert started == [500, 500, 1100, 1100, 1100] and outcome.seconds <= 80.0 and outcome.overrun_s == 0.0
    assert {t.status for t in outcome.trials} == {"untried", "dropped"} and outcome.budget_bound
    late = replace(given, budget=Budget(0.5, lambda: now[0]))  # less than a probe takes
    assert compared(late, [Configuration("slow")]).overrun_s > 0 and "over the budget" in said[-1]


@pytest.mark.parametrize(
    "fixed_s, growing_s, begun",
    [
        (2.0, 0.001, [500, 500, 2000, 4000, 16000]),  # taken to grow, it would take 128 s on 4,000, and 120 s are for fits
        (0.0, 2.0, [500, 500, 2000]),  # it does grow
        (0.0, 0.1, [500, 500, 4000]),  # on 16,000 rows it would take 102 s
    ],
)
def test_what_does_not_grow_with_the_rows_is_found_out_step_by_step(monkeypatch, fixed_s, growing_s, begun):
    now, started = [0.0], []

    def slow(vectors, parameters, seed, given):
        now[0] += fixed_s + growing_s * (len(vectors) / 500) ** 2
        started.append(len(vectors))
        return Fitted(np.zeros(len(vectors), np.int64), None)  # one cluster: no gate lets it pass

    for place in ("fitting", "search"):
        monkeypatch.setattr(f"bannermap.lab.{place}.STRATEGIES", {"slow": Strategy("slow", "", slow, growth=2.0)})
    monkeypatch.setattr("bannermap.lab.fitting.time.monotonic", lambda: now[0])
    given = work(pictures(6, 16_000), LabSettings(mode="fast", bootstrap_replicates=20), 200.0, lambda: now[0])
    outcome = compared(given, [Configuration("slow")])
    assert started == begun and outcome.overrun_s == 0.0
    assert (outcome.trials[0].status == "untried") == (begun[-1] < 16_000)


@pytest.mark.parametrize(
    "fixed_s, each_s, begun, foretold",
    [
        (0.0, 0.1, [63, 4], "about 100 s"),  # all of it grows
        (2.0, 0.01, [63, 4, 1000], None),  # most of it is the same for any number
        (0.0, 0.01, [63, 4, 1000], None),
    ],
)
def test_a_fit_of_many_clusters_is_not_judged_by_one_of_few(monkeypatch, fixed_s, each_s, begun, foretold):
    now, started = [0.0], []

    def slow(vectors, parameters, seed, given):
        now[0] += fixed_s + each_s * parameters["clusters"]
        started.append(parameters["clusters"])
        return Fitted(np.arange(len(vectors)) % 7, None)

    for place in ("fitting", "search"):
        monkeypatch.setattr(f"bannermap.lab.{place}.STRATEGIES", {"slow": Strategy("slow", "", slow)})
    monkeypatch.setattr("bannermap.lab.fitting.time.monotonic", lambda: now[0])
    settings = LabSettings(mode="fast", bootstrap_replicates=20)
    outcome = compared(
        work(pictures(6, 1000), settings, 40.0, lambda: now[0]), [Configuration("slow", {"clusters": k}) for k in (63, 4, 1000)]
    )
    status = {t.configuration.parameters["clusters"]: t for t in outcome.trials}
    assert started == begun and outcome.overrun_s == 0.0
    assert (status[1000].status == "untried") == (foretold is not None) and (foretold or "") in status[1000].reason


@pytest.mark.parametrize("seed", range(10))
def test_a_time_is_foretold_by_rows_and_by_clusters(seed):
    rng = np.random.default_rng(seed)
    fixed_s, each_s, growth = rng.uniform(0, 5), rng.uniform(0, 0.1), rng.choice([1.0, 2.0])
    strategy = Strategy("s", "", chance, max_rows=3000, growth=growth)

    def truth(rows: int, clusters: int) -> float:
        return (fixed_s + each_s * clusters) * (min(rows, 3000) / 500) ** growth

    tried = [int(k) for k in rng.choice(np.arange(2, 300), 4, replace=False)]
    for number in range(1, 5):
        taken = {k: truth(500, k) for k in tried[:number]}
        for clusters in (1, *tried, int(rng.integers(300, 1000))):
            got = [foretold_s(strategy, 500, taken, rows, clusters) / truth(rows, clusters) for rows in (500, 2000, 9000)]
            assert min(got) >= 1.0 - 1e-9 and got == pytest.approx([got[0]] * 3)
            if clusters in taken or (number > 1 and clusters > max(taken)):
                assert got[0] == pytest.approx(1.0)
            elif clusters < max(taken):
                assert got[0] == pytest.approx(truth(500, min(k for k in taken if k >= clusters)) / truth(500, clusters))
            else:
                assert got[0] == pytest.approx(truth(500, tried[0]) * clusters / tried[0] / truth(500, clusters))
    assert foretold_s(strategy, 500, {4: 3.0, 63: 2.0}, 500, 1000) == pytest.approx(2.0)  # noise: never less than was seen


def test_no_more_are_ranked_than_the_top():
    fell_out = 0
    for world in range(4):
        found = pictures(world, 300, zipf=1.0, noise=0.2)
        settings = LabSettings(mode="comprehensive", strategies=WITHOUT_SPARK, bootstrap_replicates=20, top=2)
        outcome = compared(work(found, settings), configurations(found.vectors, settings))
        ranked, behind = outcome.ranked, [t for t in outcome.trials if t.reason.startswith("place ")]
        assert len(ranked) == 2 and len(outcome.recommendation.comparisons) == 1
        assert [(t.status, t.reason) for t in behind] == [
            ("dropped", f"place {n}: not among the 2 best") for n in range(3, 3 + len(behind))
        ]
        scores = [t.score for t in (*ranked, *behind)]
        assert scores == sorted(scores, reverse=True) and all(len(t.stability) and t.found for t in behind)
        assert outcome.trials[2 : 2 + len(behind)] == tuple(behind)
        fell_out += len(behind)
    assert fell_out, "none of these worlds had more that passed the gates"


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
    chosen = Choice("enc", configuration, ClusteringSettings())
    usual = saved_model(made, found, chosen, day, LabSettings()).facts
    assert not capsys.readouterr().out
    monkeypatch.setattr("bannermap.lab.training.MOST_COMPARED", 2)
    few = saved_model(made, found, chosen, day, LabSettings()).facts
    assert usual.keys() - few.keys() == set(BETWEEN_CENTRES) and all(usual[c] == v for c, v in few.items())
    assert "davies_bouldin, advertiser_centre_heuristic were not taken" in capsys.readouterr().out


def test_pairs_do_not_reward_one_cluster_of_everything():
    pairs = Pairs(np.array([0, 1, 0, 0]), np.array([1, 2, 3, 4]), np.array([True, True, False, False]))
    got = pair_figures(pairs, np.array([0, 0, -1, 1, 0]))
    assert got == {"pairs_alike_right": 0.5, "pairs_unlike_right": 0.5, "pairs_right": 0.5}
    assert pair_figures(pairs, np.zeros(5, int))["pairs_right"] == 0.5
    nobody = np.empty(0, np.int64)
    assert pair_figures(Pairs(nobody, nobody, nobody.astype(bool)), np.zeros(5, int)) == {}
