"""What is said of pictures that are asked for by name: their figures, where each lies, and what the page shows of them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from lab_worlds import pictures, tools
from sklearn import metrics as library
from test_lab_mosaics import file

from bannermap.lab.chance import adjusted_rand
from bannermap.lab.comparing import Compared, compare, told
from bannermap.lab.data import held_out
from bannermap.lab.figures import choices, target_figures
from bannermap.lab.mosaics import Sheets
from bannermap.lab.page import SHOWN_TARGETS, page
from bannermap.lab.separation import silhouette, silhouettes_of
from bannermap.lab.targets import NEAREST, placed_targets
from bannermap.platform.settings import LabSettings

SETTINGS = LabSettings(mode="fast", strategies=("recursive", "dbscan"), budget_s=1e6, curve_shares=(), bootstrap_replicates=20)


def clustered(seed: int):
    """Pictures, labels with outliers and gaps, held-out ones, and some places."""
    rng, found = np.random.default_rng(seed), pictures(seed, 80)
    labels = rng.choice([-1, 0, 2, 3, 7], 80)
    return found, labels, rng.random(80) < 0.3, np.sort(rng.choice(80, 12, replace=False))


@pytest.mark.parametrize("seed", range(10))
def test_figures_of_targets_are_those_of_scikit_learn_an_outlier_being_0(seed):
    found, labels, _, targets = clustered(seed)
    inside = np.flatnonzero(labels >= 0)
    samples = np.zeros(80)
    samples[inside] = library.silhouette_samples(found.vectors[inside], labels[inside], metric="cosine")
    got = target_figures(found.vectors, labels, targets)
    assert got["targets_clustered"] == pytest.approx(sum(labels[t] >= 0 for t in targets) / 12)
    assert got["targets_silhouette"] == pytest.approx(np.mean([samples[t] for t in targets]), abs=1e-5)


def test_figures_of_targets_on_extremes():
    found, labels, _, targets = clustered(1)
    assert target_figures(found.vectors, labels, targets[:0]) == {}
    one = target_figures(found.vectors, np.zeros(80, int), targets)
    none = target_figures(found.vectors, np.full(80, -1), targets)
    assert one["targets_clustered"] == 1.0 and none["targets_clustered"] == 0.0
    assert np.isnan(one["targets_silhouette"]) and np.isnan(none["targets_silhouette"])
    better = [("a", {"targets_silhouette": 0.1, "targets_clustered": 1.0}), ("b", {"targets_silhouette": 0.2})]
    assert choices(better) == {"targets_silhouette": "b", "targets_clustered": "a"}


@pytest.mark.parametrize("seed", range(5))
def test_silhouettes_of_some_rows_are_those_of_all(seed, monkeypatch):
    found, labels, *_ = clustered(seed)
    whole = silhouette(found.vectors, labels).samples
    rows = np.random.default_rng(seed).permutation(80)[:30]
    monkeypatch.setattr("bannermap.lab.separation.CELLS_PER_BLOCK", 40)
    assert silhouettes_of(found.vectors, labels, rows) == pytest.approx(whole[rows], nan_ok=True)


@pytest.mark.parametrize("seed", range(10))
def test_each_target_is_told_with_its_cluster_and_the_pictures_like_it(seed):
    found, labels, hidden, targets = clustered(seed)
    samples = silhouette(found.vectors, labels).samples
    got = placed_targets(found, labels, hidden, targets)
    assert sorted(t.node_id for t in got) == sorted(found.names[targets])
    for t in got:
        (place,) = np.flatnonzero(found.names == t.node_id)
        others = [i for i in range(80) if labels[i] == labels[place] >= 0 and i != place]
        by_cosine = sorted(others, key=lambda i: (-float(found.vectors[i] @ found.vectors[place]), found.names[i]))
        assert t.nearest == tuple(found.names[by_cosine[:NEAREST]]) and t.held_out == hidden[place]
        assert t.cluster_pictures == (len(others) + 1 if labels[place] >= 0 else 0)
        assert t.label == (labels[place] if labels[place] >= 0 else None)
        assert t.silhouette == pytest.approx(samples[place], nan_ok=True)
    order = [(t.label is not None, 0.0 if t.label is None else t.silhouette) for t in got]
    assert order == sorted(order)


def test_a_target_that_is_alone_or_nowhere_has_nothing_near():
    found = pictures(3, 20)
    labels = np.array([-1, 5] + [0] * 18)
    outlier, alone = placed_targets(found, labels, np.zeros(20, bool), np.array([0, 1]))
    assert (outlier.label, outlier.cluster_pictures, outlier.nearest) == (None, 0, ()) and np.isnan(outlier.silhouette)
    assert (alone.label, alone.cluster_pictures, alone.nearest, alone.silhouette) == (5, 1, (), 0.0)


def with_targets(places: np.ndarray, settings: LabSettings = SETTINGS) -> Compared:
    return compare("enc", pictures(8, 300, spread=0.1), None, settings, tools(), 1.0, lambda text: None, places)


def test_targets_may_all_be_held_out_and_are_then_judged_by_their_predicted_labels():
    world = pictures(8, 300, spread=0.1)
    hidden = np.flatnonzero(held_out(world, SETTINGS.test_share, SETTINGS.split, SETTINGS.seed))
    done = with_targets(hidden[:20])
    for name, figures in done.figures.items():
        assert figures["targets_clustered"] == (done.labels[name][hidden[:20]] >= 0).mean()
        samples = np.nan_to_num(silhouette(world.vectors, done.labels[name]).samples)
        assert figures["targets_silhouette"] == pytest.approx(samples[hidden[:20]].mean())
    chosen = done.outcome.recommendation.chosen
    assert chosen and len(done.targets) == 20 and all(t.held_out for t in done.targets)
    given = {t.node_id: -1 if t.label is None else t.label for t in done.targets}
    assert [given[n] for n in world.names[hidden[:20]]] == done.labels[chosen][hidden[:20]].tolist()
    same = [world.truth[world.names == n][0] == world.truth[world.names == t.node_id][0] for t in done.targets for n in t.nearest]
    assert same and all(same)  # groups that lie this far apart


def test_without_targets_no_figure_speaks_of_them():
    done = with_targets(np.empty(0, np.int64))
    assert done.targets == () and not any("targets" in name for figures in done.figures.values() for name in figures)
    assert done.outcome.recommendation.chosen and "asked for by name" not in shown(done)[1]


def test_nothing_recommended_has_no_targets():
    done = with_targets(np.arange(5), SETTINGS.model_copy(update={"budget_s": 1e-9}))
    assert done.outcome.recommendation.chosen is None and done.targets == () == tuple(shown(done)[0]["targets"])


def shown(done: Compared, sheets: Sheets | None = None) -> tuple[dict, str]:
    """What summary.json and the page say."""
    summary = told(done, SETTINGS)
    json.dumps(summary, allow_nan=False)
    return summary, page("c", len(done.pictures), [done], [summary], "pca", sheets)


def test_summary_has_all_targets_and_the_page_those_that_lie_worst_with_their_pictures():
    done = with_targets(np.arange(0, 300, 10))
    tiles = {n: file((0, 0, 0), (8, 8)) for n in (done.targets[0].node_id, *done.targets[0].nearest)}
    summary, html = shown(done, Sheets(tiles=tiles))
    (table,) = re.findall(r'<table class="targets">.*?</table>', html, re.S)
    assert len(summary["targets"]) == 30 and table.count("<tr>") == SHOWN_TARGETS + 1 and "of 30;" in html
    assert [t["node_id"] for t in summary["targets"]] == [t.node_id for t in done.targets]
    assert table.count("<img") >= len(tiles) and f'alt="{done.targets[0].node_id}"' in table
    for t in done.targets[:SHOWN_TARGETS]:
        assert t.node_id in table and all(n in table for n in t.nearest)
    assert all(t.node_id not in re.findall(r'<code title="([^"]*)"', table) for t in done.targets[:1])
    assert (
        "targets clustered" in html and adjusted_rand(done.labels[summary["recommended"]], done.pictures.truth.astype(str)) > 0.9
    )
