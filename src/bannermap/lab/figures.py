"""Every figure of one clustering, for summary.json and the table of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bannermap.lab import advertisers as a
from bannermap.lab.chance import adjusted_rand, against_classes
from bannermap.lab.data import Pictures
from bannermap.lab.density import density_validity
from bannermap.lab.labels import cluster_sums, coded
from bannermap.lab.separation import calinski_harabasz, davies_bouldin, silhouettes_of
from bannermap.lab.sizes import Weights, balance, composite, largest_share, noise_penalty

DENSITY_ROWS = 2000
"""Rows that DBCV is taken on, since it forms all pairs; drawn, with a fixed seed."""

BETWEEN_CENTRES = ("davies_bouldin", "advertiser_centre_heuristic")
"""Figures whose work grows with the square of the number of clusters."""


@dataclass(frozen=True)
class Pairs:
    """Pictures that a person has judged, by their places: int64 (p,) each, and bool (p,) whether they are alike."""

    one: np.ndarray
    other: np.ndarray
    alike: np.ndarray


def figures(
    pictures: Pictures, labels: np.ndarray, samples: np.ndarray, weights: Weights, most_compared: int | None = None
) -> dict[str, float]:
    """Figures of a clustering by name; those that are not defined are nan.

    Args:
        pictures: n of them.
        labels: int (n,).
        samples: float64 (n,), silhouettes.
        weights: of the composite.
        most_compared: clusters above which nothing is taken that compares all centres with all, see `BETWEEN_CENTRES`; None for
            any number.
    """
    found = coded(labels)
    inside = samples[~np.isnan(samples)]
    mean = float(inside.mean()) if len(inside) else float("nan")
    balanced, outliers = float(balance(found.sizes)), len(labels) - len(found.rows)
    kept = float(noise_penalty(outliers, len(labels)))
    between = most_compared is None or found.clusters <= most_compared
    drawn = np.random.default_rng(0).permutation(len(labels))[:DENSITY_ROWS]
    result = {
        "clusters": float(found.clusters),
        "outlier_share": 1.0 - kept,
        "largest_share": largest_share(labels),
        "silhouette": mean,
        "silhouette_with_outliers": float(inside.sum() / len(labels)) if len(inside) else float("nan"),
        "davies_bouldin": davies_bouldin(pictures.vectors, labels) if between else float("nan"),
        "calinski_harabasz": calinski_harabasz(pictures.vectors, labels),
        "density_validity": density_validity(pictures.vectors[drawn], np.asarray(labels)[drawn]),
        "balance": balanced,
        "composite": float(composite(mean, balanced, kept, weights)),
    }
    return result | _of_advertisers(pictures, labels, between) | _of_truth(pictures, labels)


def pair_figures(pairs: Pairs, labels: np.ndarray) -> dict[str, float]:
    """Shares of judged pairs that a clustering has right; nothing without pairs.

    Alike: in one cluster. Not alike: not in one cluster. Their mean does not reward putting everything into one cluster.

    Args:
        pairs: judged ones.
        labels: int (n,).
    """
    given = np.asarray(labels)
    together = (given[pairs.one] == given[pairs.other]) & (given[pairs.one] >= 0)
    shares = {
        "pairs_alike_right": together[pairs.alike],
        "pairs_unlike_right": ~together[~pairs.alike],
    }
    result = {name: float(right.mean()) for name, right in shares.items() if len(right)}
    return result | ({"pairs_right": float(np.mean(list(result.values())))} if result else {})


def target_figures(vectors: np.ndarray, labels: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """How the pictures that are asked for by name lie; nothing where there are none.

    Their clusters are those of the whole sample, held-out pictures and their predicted labels among them: a target may be held
    out itself. The silhouette is nan where there are fewer than two clusters.

    Args:
        vectors: (n, d), of the whole sample.
        labels: int (n,), predicted where a picture is held out.
        targets: int64 (t,), their places.
    """
    if not len(targets):
        return {}
    samples = silhouettes_of(vectors, labels, targets)
    mean = float(np.nan_to_num(samples).mean()) if coded(labels).clusters > 1 else float("nan")
    return {"targets_clustered": float((np.asarray(labels)[targets] >= 0).mean()), "targets_silhouette": mean}


def held_out_figures(train: Pictures, labels: np.ndarray, test: Pictures, given: np.ndarray) -> dict[str, float]:
    """How pictures that no fit has seen lie in the clusters that they are given; nothing without such pictures.

    Args:
        train: n that were fitted.
        labels: int64 (n,), of the fit.
        test: m others.
        given: int64 (m,), that the fit's model predicts of them; -1 for none.
    """
    if not len(test):
        return {}
    vectors = np.concatenate([train.vectors, test.vectors])
    samples = silhouettes_of(vectors, np.concatenate([labels, given]), np.arange(len(train), len(vectors)))
    result = {"held_out_outlier_share": float((given < 0).mean())}
    result["held_out_silhouette"] = float(np.nan_to_num(samples).mean())
    known = test.truth != ""
    return result | ({"held_out_ari": adjusted_rand(given[known], test.truth[known].astype(str))} if known.any() else {})


def _of_advertisers(pictures: Pictures, labels: np.ndarray, between: bool) -> dict[str, float]:
    rows = np.flatnonzero(pictures.advertisers != "")
    if not len(rows):
        return {}
    who, given = pictures.advertisers[rows].astype(str), np.asarray(labels)[rows]
    counts, totals = a.advertiser_counts(who, given)
    found = coded(given)
    centres = cluster_sums(pictures.vectors[rows], found) / np.maximum(found.sizes, 1)[:, None]
    simple = {"recall": a.recall, "sum_heuristic": a.sum_heuristic, "product_heuristic": a.product_heuristic}
    result = {f"advertiser_{name}": a.aggregate(measure(counts, totals), totals) for name, measure in simple.items()}
    if between:
        result["advertiser_centre_heuristic"] = a.aggregate(a.centre_heuristic(counts, centres, totals), totals)
    result["advertiser_peak_distance"] = a.peak_distance(pictures.vectors[rows], who, given, centres)
    return result | {f"advertiser_{name}": value for name, value in vars(against_classes(given, who)).items()}


def _of_truth(pictures: Pictures, labels: np.ndarray) -> dict[str, float]:
    rows = np.flatnonzero(pictures.truth != "")
    if not len(rows):
        return {}
    found = against_classes(np.asarray(labels)[rows], pictures.truth[rows].astype(str))
    return {f"truth_{name}": value for name, value in vars(found).items()}


def choices(rows: Sequence[tuple[str, dict[str, float]]]) -> dict[str, str]:
    """Which configuration each measure would have chosen, gates or no gates: measure -> name.

    Args:
        rows: name and figures of each configuration.
    """
    better = {**dict.fromkeys(HIGHER, 1.0), **dict.fromkeys(LOWER, -1.0)}
    result = {}
    for measure, sign in better.items():
        known = [(sign * f[measure], name) for name, f in rows if np.isfinite(f.get(measure, float("nan")))]
        if known:
            result[measure] = min(known, key=lambda pair: (-pair[0], pair[1]))[1]
    return result


HIGHER = (
    *("silhouette", "silhouette_with_outliers", "calinski_harabasz", "density_validity", "composite", "balance"),
    *("advertiser_recall", "advertiser_sum_heuristic", "advertiser_product_heuristic"),
    *("advertiser_ami", "advertiser_ari", "advertiser_v_measure", "truth_ami", "truth_ari", "pairs_right", "score"),
    *("targets_clustered", "targets_silhouette"),
)
LOWER = ("davies_bouldin", "advertiser_centre_heuristic", "advertiser_peak_distance")
