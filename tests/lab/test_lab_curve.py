"""The learning curve: its points, the parts that are left out and why, and whether a part would have done."""

from __future__ import annotations

import json

import numpy as np
import pytest
from lab_worlds import pictures, tools

from bannermap.lab.budget import Budget
from bannermap.lab.chance import adjusted_rand
from bannermap.lab.comparing import Compared, compare, told
from bannermap.lab.curve import ENOUGH_AGREEMENT, Curve, Enough, Missing, Point, enough, learning_curve
from bannermap.lab.data import held_out
from bannermap.lab.figures import held_out_figures
from bannermap.lab.fitting import Configuration, fit
from bannermap.lab.models import Model
from bannermap.lab.page import page
from bannermap.platform.settings import LabSettings

CUT = Configuration("recursive", {"initial_threshold": 0.6})
SETTINGS = LabSettings(mode="fast", bootstrap_replicates=20, strategies=("recursive",))


def curve(seed: int, shares, budget: Budget, say=lambda text: None, **world) -> tuple[Curve, tuple]:
    found = pictures(seed, 900, **world)
    hidden = held_out(found, 0.2, "banner", 1)
    train, test = found.of(np.flatnonzero(~hidden)), found.of(np.flatnonzero(hidden))
    whole = fit(train.vectors, CUT, 1, tools())
    full = whole.model.predict(test.vectors, test.sizes)
    return learning_curve(train, test, whole, full, CUT, shares, 1, tools(), budget, 0.01, say), (train, test, whole)


def test_held_out_pictures_and_the_points():
    budget = Budget(1e6)
    found, (train, test, whole) = curve(8, (0.5, 0.05), budget)
    full = whole.model.predict(test.vectors, test.sizes)
    assert held_out_figures(train, whole.labels, test, full)["held_out_ari"] > 0.8
    assert held_out_figures(train, whole.labels, test.of(np.arange(0)), full[:0]) == {}
    by_banners, by_days = ([p for p in found.points if p.by == by] for by in ("banners", "days"))
    assert [p.pictures for p in by_banners] == [36, 360, 720] and [p.days for p in by_days] == [1, 2, 5]
    order, days = np.random.default_rng(1).permutation(720), np.unique(train.days)
    rows = {("banners", n): np.sort(order[:n]) for n in (36, 360)}
    rows |= {("days", int(r.sum())): np.flatnonzero(r) for r in (train.days >= days[-1], train.days >= days[-2])}
    for point in (p for p in found.points if p.pictures < 720):
        again = fit(train.vectors[rows[point.by, point.pictures]], CUT, 1, tools()).model.predict(test.vectors, test.sizes)
        assert point.agreement == pytest.approx(adjusted_rand(again, full))
    assert by_banners[0].agreement < 0.99
    ends = [p for p in found.points if p.pictures == 720]
    assert [p.by for p in ends] == ["banners", "days"] and np.isnan([p.agreement for p in ends]).all(), "1 by construction"
    assert not found.missing and not budget.left_out and not found.absent


def test_held_out_pictures_are_given_their_labels_once_by_each_fit(monkeypatch):
    predict, asked = Model.predict, []

    def counted(model, vectors, *sizes):
        asked.append((id(model), len(vectors)))
        return predict(model, vectors, *sizes)

    monkeypatch.setattr(Model, "predict", counted)
    settings = SETTINGS.model_copy(update={"curve_shares": (0.5,)})
    done = compare("enc", pictures(8, 300), None, settings, tools(), 1.0, lambda text: None)
    measured = [(id(t.found.model), int(done.hidden.sum())) for t in done.outcome.trials if t.found]
    assert measured and sorted(one for one in asked if one in measured) == sorted(measured)
    parts = [p for p in done.curve.points if p.pictures < (~done.hidden).sum()]
    assert parts and sum(rows == done.hidden.sum() for _, rows in asked) == len(measured) + len(parts)


def test_a_part_without_time_is_said_and_listed():
    said: list[str] = []
    budget = Budget(1e-9)
    found, _ = curve(8, (0.05, 0.5), budget, said.append)
    assert {p.pictures for p in found.points} == {720}
    assert budget.left_out == {f"learning curve on {m.pictures} pictures, by {m.by}" for m in found.missing}
    assert [(m.by, m.pictures, m.status) for m in found.missing][:2] == [
        ("banners", 36, "untried"),
        ("banners", 360, "untried"),
    ]
    assert len(found.missing) == 4 == len(said) and all("no time was left" in text for text in said)
    assert [(e.by, e.share) for e in found.enough] == [("banners", None), ("days", None)]


def test_parts_of_easy_groups_are_enough_and_those_of_noise_are_not():
    easy, _ = curve(3, (0.25, 0.5, 0.75), Budget(1e6), spread=0.1)
    assert all(e.share is not None and 0.0 < e.share < 1.0 and "are enough" in e.reason for e in easy.enough)
    assert easy.enough[0].pictures == 180 and easy.enough[0].share == 0.25
    noise, _ = curve(3, (0.25, 0.5, 0.75), Budget(1e6), noise=0.6, spread=0.7)
    assert [e.share for e in noise.enough] == [None, None] and "0.01" in noise.means and "0.9" in noise.means


@pytest.mark.parametrize("seed", range(40))
def test_enough_is_the_smallest_part_from_which_all_are_near(seed):
    rng = np.random.default_rng(seed)
    end = Point("banners", 100, 9, 1.0, 0.5, float("nan"))
    sizes = rng.choice(np.arange(1, 100), 5, replace=False)
    points = [Point("banners", int(n), 3, 1.0, 0.5 + rng.choice([-0.02, -0.005, 0.005]), rng.choice([0.95, 0.89])) for n in sizes]
    points += [Point("days", 50, 3, 1.0, 0.1, 0.1), end]

    def near(point: Point) -> bool:
        return point is end or (point.agreement >= ENOUGH_AGREEMENT and abs(point.held_out_silhouette - 0.5) < 0.01)

    own = [p for p in points if p.by == "banners"]
    good = [p.pictures for p in own if p is not end and all(near(q) for q in own if q.pictures >= p.pictures)]
    found = enough(points, end, 0.01)
    assert found.pictures == (min(good) if good else None) and found.share == (min(good) / 100 if good else None)
    assert isinstance(found, Enough) and found.by == "banners" and ("no smaller part" in found.reason) == (not good)


def shown(done: Compared, settings: LabSettings) -> tuple[dict, str]:
    """What summary.json and the page say of it."""
    summary = told(done, settings)
    json.dumps(summary, allow_nan=False)
    return summary, page("c", len(done.pictures), [done], [summary], "pca")


def test_a_comparison_whose_curve_had_no_time_says_that_the_budget_bound(monkeypatch):
    now = [0.0]
    figures = held_out_figures

    def slowly(*given):
        now[0] += 100.0
        return figures(*given)

    monkeypatch.setattr("bannermap.lab.comparing.held_out_figures", slowly)
    monkeypatch.setattr("bannermap.lab.comparing.Budget", lambda seconds, **_: Budget(seconds, lambda: now[0]))
    said: list[str] = []
    settings = SETTINGS.model_copy(update={"budget_s": 50.0, "curve_shares": (0.5,)})
    done = compare("enc", pictures(8, 300), None, settings, tools(), 1.0, said.append)
    summary, html = shown(done, settings)
    assert not done.outcome.budget_bound and summary["budget_bound"] and "were not enough for everything" in html
    assert {(m["by"], m["status"]) for m in summary["learning_curve_missing"]} == {("banners", "untried"), ("days", "untried")}
    assert "2 parts have no point in the learning curve" in html and "Learning curve: 120 pictures, by banners" in html
    assert sum("no point for" in text for text in said) == 2 and "No part was fitted" in html


def test_summary_and_page_bear_a_curve_whose_last_point_agrees_with_nothing_else():
    done = compare("enc", pictures(8, 600, spread=0.1), None, SETTINGS, tools(), 1.0, lambda text: None)
    summary, html = shown(done, SETTINGS)
    points = summary["learning_curve"]
    assert [p["agreement"] is None for p in points] == [p["pictures"] == 480 for p in points] and not summary["budget_bound"]
    assert [e["by"] for e in summary["enough_data"]] == ["banners", "days"] and summary["learning_curve_absent"] is None
    assert all(e["reason"] in html for e in summary["enough_data"]) and summary["enough_data_means"] in html
    assert "nan" not in html.split("</style>")[1].lower().replace("banner", "") and "No learning curve" not in html


@pytest.mark.parametrize(
    "other, why",
    [
        ({"test_share": 0.0}, "0 pictures are held out, and two are needed"),
        ({"curve_shares": ()}, "lab.curve_shares is empty"),
        ({"budget_s": 1e-9}, "nothing is recommended"),
    ],
)
def test_without_a_curve_it_is_said_why(other, why):
    said: list[str] = []
    settings = SETTINGS.model_copy(update=other)
    done = compare("enc", pictures(8, 300), None, settings, tools(), 1.0, said.append)
    summary, html = shown(done, settings)
    assert any(f"no learning curve: {why}" in text for text in said) and why in summary["learning_curve_absent"]
    assert f"No learning curve: {why}" in html and summary["learning_curve"] == summary["enough_data"] == []


def test_a_part_that_fails_is_listed_with_its_reason(monkeypatch):
    def gives_up(vectors, *rest):
        raise RuntimeError(f"not of {len(vectors)}")

    monkeypatch.setattr("bannermap.lab.curve.fit", gives_up)
    budget = Budget(1e6)
    found, _ = curve(8, (0.5,), budget)
    assert found.missing[0] == Missing("banners", 360, "failed", "RuntimeError: not of 360") and not budget.left_out
