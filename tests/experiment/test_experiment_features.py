"""Features of impressions against a loop over dictionaries, on random histories; order of rows and of pairs changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bannermap.experiment import cluster_features as c

TYPES, WINDOWS, CLUSTERS, THEMES = ("request", "impression", "click"), (1, 7, 15, 30), 5, 3


def world(seed):
    """Histories as {history: {cluster: 12 counts}} and as arrays, the theme of each cluster, and rows."""
    rng = np.random.default_rng(seed)
    slots = {c: int(rng.choice([-1, 1, 2, 3])) for c in range(CLUSTERS)} | {-1: -1}
    number = int(rng.integers(0, 6))
    histories = {
        h: {
            int(k): rng.integers(0, 5, (4, 3)).cumsum(axis=0)
            for k in rng.choice(range(-1, CLUSTERS), rng.integers(0, CLUSTERS), replace=False)
        }
        for h in range(number)
    }
    pairs = [(h, k, slots[k], n) for h, own in histories.items() for k, n in own.items()]
    arrays = c.Histories(
        *(np.array([p[i] for p in pairs], np.int64) for i in range(3)),
        np.array([p[3] for p in pairs], np.int64).reshape(-1, 4, 3),
        number,
    )
    rows = 40
    cluster = rng.integers(-1, CLUSTERS + 2, rows)  # some clusters are in no history
    slot = np.array([slots.get(int(k), 2) for k in cluster])
    return histories, slots, arrays, rng.integers(-1, number, rows), cluster, slot


def naive(histories, slots, history, cluster, slot, choice):
    """One row: name -> value."""
    own = histories.get(history, {})

    def total(test):
        return sum((n for k, n in own.items() if test(k)), np.zeros((4, 3), int))

    blocks = {
        "cluster": total(lambda k: k == cluster and k != -1),
        "theme": total(lambda k: slots[k] == slot and slot != -1),
        "all": total(lambda k: True),
    }
    found = {}
    for w in choice.windows:
        for e in choice.events:
            at, name = (WINDOWS.index(w), TYPES.index(e)), f"{e}s_{w}d"
            everything = blocks["all"][at]
            for block, counts in blocks.items():
                found[f"log_{block}_{name}"] = math.log(1 + counts[at])
                found[f"share_{block}_{name}"] = counts[at] / everything if everything else 0.0
            for k in range(1, choice.themes + 1):
                count = total(lambda c, k=k: slots[c] == k)[at]
                found[f"log_theme{k:02d}_{name}"] = math.log(1 + count)
                found[f"share_theme{k:02d}_{name}"] = count / everything if everything else 0.0
        for block, counts in blocks.items():
            _, shown, clicks = counts[WINDOWS.index(w)]
            found[f"ctr_{block}_{w}d"] = min(1.0, clicks / shown) if shown else 0.0
    return found


CHOICES = [
    c.FeatureChoice(themes=THEMES),
    c.FeatureChoice(blocks=("all", "cluster"), events=("click",), windows=(7,), themes=THEMES),
    c.FeatureChoice(blocks=("themes", "theme"), events=("click", "request"), windows=(30, 1), themes=5),
    c.FeatureChoice(blocks=("themes", "theme_shares"), windows=(30,), themes=5),
]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("seed", range(25))
def test_features_are_those_of_a_loop(seed, choice):
    histories, slots, arrays, history, cluster, slot = world(seed)
    found, names = c.cluster_features(arrays, history, cluster, slot, choice), c.feature_names(choice)
    assert found.shape == (len(history), len(names)) and len(set(names)) == len(names)
    for row in range(len(history)):
        expected = naive(histories, slots, int(history[row]), int(cluster[row]), int(slot[row]), choice)
        assert dict(zip(names, found[row], strict=True)) == pytest.approx({n: expected[n] for n in names}, abs=1e-6)
    some = np.mean([any(v != 0 for v in row) for row in found])
    assert c.density(found) == pytest.approx(some)


def test_order_of_rows_and_pairs_changes_nothing():
    _, _, arrays, history, cluster, slot = world(4)
    rng = np.random.default_rng(8)
    pairs, rows = rng.permutation(len(arrays.history)), rng.permutation(len(history))
    mixed = c.Histories(*(a[pairs] for a in (arrays.history, arrays.cluster, arrays.slot, arrays.counts)), arrays.number)
    found = c.cluster_features(arrays, history, cluster, slot, CHOICES[0])
    again = c.cluster_features(mixed, history[rows], cluster[rows], slot[rows], CHOICES[0])
    assert len(arrays.history) > 3 and (found[rows] == again).all()
