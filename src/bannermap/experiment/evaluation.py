"""The experiment on rows in memory: train each model without and with features, compare on later days, look for leaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from bannermap.experiment import bootstrap as b
from bannermap.experiment.models import Inputs, one_blas_thread, predictions
from bannermap.experiment.verdict import HELPS, Verdict, judged
from bannermap.platform.errors import InputError
from bannermap.platform.settings import ExperimentSettings

BASELINE, FEATURES, FUTURE = "baseline", "features", "future"
PLACEBO, SHUFFLED_FUTURE = "placebo", "shuffled_future"
PLACEBOS = (PLACEBO, SHUFFLED_FUTURE)
SHUFFLE_STREAMS = {PLACEBO: 31, SHUFFLED_FUTURE: 32}
ALL = "all"


@dataclass(frozen=True)
class Impressions:
    """Impressions with their label.

    Attributes:
        day: int64 (n,), days since 1970, UTC.
        user: int64 (n,), codes.
        clicked: bool (n,).
        ids: uint64 (n, columns), hashes of context and ids, see `models.hashed`.
        slices: kind -> object (n,), by whose values the test rows are also judged; None is no value.
    """

    day: np.ndarray
    user: np.ndarray
    clicked: np.ndarray
    ids: np.ndarray
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Slice:
    """Some of the test rows.

    Attributes:
        kind: `ALL`, ``day`` or a key of `Impressions.slices`.
        value: which.
        rows: int64 (m,), places among the test rows.
    """

    kind: str
    value: str
    rows: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline on a slice, by one model.

    Attributes:
        model: of ``experiment.models``.
        variant: `FEATURES`, `PLACEBO`, `FUTURE` or `SHUFFLED_FUTURE`.
        kind, value: of the slice.
        rows, clicks, users: of the slice.
        users_without_auc: users with one class only, who are left out of the grouped AUC.
        baseline, variant_values: metric -> value.
        differences: metric -> variant less baseline.
        verdict: by log loss.
    """

    model: str
    variant: str
    kind: str
    value: str
    rows: int
    clicks: int
    users: int
    users_without_auc: int
    baseline: Mapping[str, float]
    variant_values: Mapping[str, float]
    differences: Mapping[str, b.Difference]
    verdict: Verdict


@dataclass(frozen=True)
class Trained:
    """What the models predict for the test rows.

    Attributes:
        test: int64 (m,), places of the test rows among the impressions.
        train_click_rate: 0 to 1.
        by_model: model -> `BASELINE` or variant -> float64 (m,).
        unfinished: (model, variant) whose fit did not come to its end.
    """

    test: np.ndarray
    train_click_rate: float
    by_model: Mapping[str, Mapping[str, np.ndarray]]
    unfinished: list[tuple[str, str]]


def shuffled_within_days(features: np.ndarray, day: np.ndarray, variant: str, seed: int) -> np.ndarray:
    """Each row's features from another row of the same day, drawn at random: what they say of the day stays, the user goes.

    Whole rows are moved: a foreign user's count in the banner's own cluster would still tell how common that cluster is, which
    may rightly help.

    Args:
        features: float32 (n, features).
        day: int64 (n,).
        variant: of `SHUFFLE_STREAMS`.
        seed: of the experiment.
    """
    rng = np.random.default_rng([seed, SHUFFLE_STREAMS[variant]])
    moved = np.empty_like(features)
    for each in np.unique(day):
        here = np.flatnonzero(day == each)
        moved[here] = features[rng.permutation(here)]
    return moved


def with_placebos(variants: Mapping[str, np.ndarray], day: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The variants, and beside `FEATURES` and `FUTURE` their shuffled forms.

    Args:
        variants: variant -> float32 (n, features).
        day: int64 (n,).
        seed: of the experiment.
    """
    result = dict(variants)
    for name, shuffled in ((FEATURES, PLACEBO), (FUTURE, SHUFFLED_FUTURE)):
        if name in variants:
            result[shuffled] = shuffled_within_days(variants[name], day, shuffled, seed)
    return result


def in_test_days(day: np.ndarray, test_days: int) -> np.ndarray:
    """Which rows lie within so many days of the calendar, up to the newest row's; bool (n,)."""
    return day > day.max(initial=0) - test_days


def trained(
    impressions: Impressions, variants: Mapping[str, np.ndarray], test_days: int, settings: ExperimentSettings
) -> Trained:
    """Train on the earlier days, predict the last ones: once without features, once with each variant.

    Args:
        impressions: all.
        variants: variant -> float32 (n, features).
        test_days: days up to the newest impression's that are predicted.
        settings: of the experiment.

    Raises:
        InputError: no day is left to train on, no click to learn from or to judge by, or no features in either.
    """
    is_test = in_test_days(impressions.day, test_days)
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    _check_classes(impressions.clicked[train], impressions.clicked[test])
    if FEATURES in variants:
        _check_features(variants[FEATURES], {"training": train, "test": test})
    nothing = np.zeros((len(impressions.day), 0), np.float32)
    by_model: dict[str, dict[str, np.ndarray]] = {model: {} for model in settings.models}
    unfinished: list[tuple[str, str]] = []
    for name, features in {BASELINE: nothing, **variants}.items():
        seen = Inputs(impressions.ids, features)
        for model in settings.models:
            with one_blas_thread():
                predicted, done = predictions(model, seen.rows(train), impressions.clicked[train], seen.rows(test), settings)
            by_model[model][name] = predicted
            unfinished += [] if done else [(model, name)]
    return Trained(test, float(impressions.clicked[train].mean()), by_model, unfinished)


def _check_classes(train: np.ndarray, test: np.ndarray) -> None:
    for name, clicked in (("training", train), ("test", test)):
        if not len(clicked) or not clicked.any() or clicked.all():
            raise InputError(
                f"The {name} days have {len(clicked)} impressions with {int(clicked.sum())} clicks: nothing can be learned "
                "or judged. Take more days (experiment.train_days, experiment.test_days) or a later --date; clicks count by "
                "experiment.attribution_hours."
            )


def _check_features(features: np.ndarray, parts: Mapping[str, np.ndarray]) -> None:
    for name, rows in parts.items():
        if not features[rows].any():
            raise InputError(
                f"None of the {len(rows)} {name} impressions could have had any feature: nothing to learn from, or to judge. "
                "Features of a day are available after the newest day of the log that they count, those of a backfill thus later "
                "than those of each night. Take a later --date, more experiment.train_days, or publish features of more days."
            )


def compared(impressions: Impressions, result: Trained, settings: ExperimentSettings) -> list[Comparison]:
    """Every variant against the baseline, on all test rows and, for features and placebos, on the slices that suffice."""
    slices = list(judged_slices(impressions, result.test, settings))
    found = []
    for part in slices:
        for model, predicted in result.by_model.items():
            names = [n for n in predicted if part.kind == ALL or n != FUTURE]
            family = {n: len(settings.models) * _family(n, part, slices, predicted) for n in names}
            found += _comparisons(impressions, result, model, part, family, settings)
    return found


def _family(variant: str, part: Slice, slices: list[Slice], predicted: Mapping[str, np.ndarray]) -> int:
    """How many comparisons are read together: slices of one kind; all of the placebos', since any of them raises the alarm."""
    if variant in PLACEBOS:
        return len(slices) * sum(p in predicted for p in PLACEBOS)
    return sum(s.kind == part.kind for s in slices)


def _comparisons(
    impressions: Impressions, result: Trained, model: str, part: Slice, family: Mapping[str, int], settings: ExperimentSettings
) -> list[Comparison]:
    rows = result.test[part.rows]
    users, clicked = impressions.user[rows], impressions.clicked[rows]
    scoring = b.Scoring(
        result.train_click_rate, settings.rank_half_life, settings.calibration_bins, settings.bootstrap_replicates, settings.seed
    )
    with one_blas_thread():
        scores = b.scored(users, clicked, {n: result.by_model[model][n][part.rows] for n in family}, scoring)
    base = scores[BASELINE]
    number, one_class = b.groups_without_auc(users, clicked)
    found = []
    for name in (n for n in family if n != BASELINE):
        differences = {k: b.difference(scores[name][k], base[k]) for k in b.METRICS}
        seen = (len(rows), number, base["log_loss"].value)
        verdict = judged(differences["log_loss"], *seen, settings.smallest_gain, family[name])
        values = [{k: e.value for k, e in s.items()} for s in (base, scores[name])]
        size = (len(rows), int(clicked.sum()), number, one_class)
        found.append(Comparison(model, name, part.kind, part.value, *size, values[0], values[1], differences, verdict))
    return found


def judged_slices(impressions: Impressions, test: np.ndarray, settings: ExperimentSettings) -> Iterator[Slice]:
    """All test rows, each test day and each value of the slices that suffices, of kinds that have several.

    Left out are slices with fewer clicks or users than configured, and those without any impression that was not clicked.

    Args:
        impressions: all.
        test: int64 (m,), places of the test rows.
        settings: of the experiment.
    """
    yield Slice(ALL, ALL, np.arange(len(test)))
    for kind, values in _kinds(impressions, test).items():
        known = _known(values)
        for value in known if len(known) > 1 else []:
            rows = np.flatnonzero(values == value)
            clicks, users = int(impressions.clicked[test[rows]].sum()), len(np.unique(impressions.user[test[rows]]))
            if settings.min_slice_clicks <= clicks < len(rows) and users >= settings.min_slice_users:
                yield Slice(kind, str(value), rows)


def _kinds(impressions: Impressions, test: np.ndarray) -> dict[str, np.ndarray]:
    """Kind of slice -> object (m,), the value of each test row."""
    days = impressions.day[test].astype("datetime64[D]").astype(str).astype(object)
    return {"day": days, **{k: v[test] for k, v in impressions.slices.items()}}


def _known(values: np.ndarray) -> list[object]:
    return sorted({v for v in values if v is not None})


def slices_left_out(impressions: Impressions, test: np.ndarray, comparisons: list[Comparison]) -> dict[str, int]:
    """Kind -> number of values in the test rows that were not judged; a single day is all there is, and not left out."""
    judged_values = {(c.kind, c.value) for c in comparisons}
    known = {kind: _known(values) for kind, values in _kinds(impressions, test).items()}
    left = {kind: sum((kind, str(v)) not in judged_values for v in values) for kind, values in known.items()}
    return left if len(known["day"]) > 1 else {kind: number for kind, number in left.items() if kind != "day"}


def leaks(comparisons: list[Comparison]) -> list[Comparison]:
    """Placebos that help: something tells the click that no user's past can have told."""
    return [c for c in comparisons if c.variant in PLACEBOS and c.verdict.word == HELPS]
