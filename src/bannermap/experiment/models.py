"""The models that are asked: a logistic regression and gradient-boosted trees, both with the same context, ids and features."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import BoostingSettings, ExperimentSettings, LogisticSettings

EXTRA = "experiment"
MODULES = {"logistic": "sklearn", "gradient_boosting": "lightgbm"}


@dataclass(frozen=True)
class Inputs:
    """What a model sees of some impressions.

    Attributes:
        ids: uint64 (n, columns), hashes of context and ids, see `hashed`.
        features: float32 (n, features), numbers; may have no column.
    """

    ids: np.ndarray
    features: np.ndarray

    def rows(self, which: np.ndarray) -> Inputs:
        """Some of the impressions."""
        return Inputs(self.ids[which], self.features[which])


def hashed(columns: Mapping[str, Sequence[object] | np.ndarray]) -> np.ndarray:
    """Context and ids as numbers that are the same in every process and for ever: 8 bytes of blake2b of ``name=value``.

    Args:
        columns: name -> n values; None is a value like any other.

    Returns:
        uint64 (n, columns), in the order of the mapping.
    """
    return np.column_stack([_hashed_column(name, np.asarray(values, object)) for name, values in columns.items()])


def _hashed_column(name: str, values: np.ndarray) -> np.ndarray:
    texts = np.array([f"{name}={v}" for v in values], object)
    known, codes = np.unique(texts.astype(str), return_inverse=True)
    hashes = [int.from_bytes(hashlib.blake2b(t.encode(), digest_size=8).digest(), "little") for t in known]
    return np.array(hashes, np.uint64)[codes]


def one_blas_thread() -> Any:
    """A context in which linear algebra uses one thread: the last bits of a sum would follow the number of threads, and threads
    that wait for each other on a busy machine took a thousand times longer than one that did not."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")


def check_models(settings: ExperimentSettings) -> None:
    """Have the packages that the configured models need.

    Raises:
        ConfigError: one is absent.
    """
    for model in settings.models:
        try:
            __import__(MODULES[model])
        except (ImportError, OSError) as error:  # LightGBM loads libgomp, which a bare machine lacks
            raise ConfigError(
                f"experiment.models names {model}, which needs {MODULES[model]}, and that cannot be loaded ({error}). Install "
                f"the extra with pip install 'bannermap[{EXTRA}]' (LightGBM also wants the system's libgomp1), or leave it out "
                "of experiment.models."
            ) from None


def predictions(
    model: str, train: Inputs, clicked: np.ndarray, test: Inputs, settings: ExperimentSettings
) -> tuple[np.ndarray, bool]:
    """Train on some impressions, predict others.

    Args:
        model: of ``experiment.models``.
        train: impressions to learn from.
        clicked: bool (n,), theirs.
        test: impressions to predict.
        settings: of the experiment.

    Returns:
        float64 (m,), probability of a click, 0 to 1; and whether the fit came to its end.
    """
    if clicked.all() or not clicked.any():
        return np.full(len(test.ids), float(clicked.mean())), True
    learn: Mapping[str, Callable[[], tuple[np.ndarray, bool]]] = {
        "logistic": lambda: _logistic(train, clicked, test, settings.logistic),
        "gradient_boosting": lambda: (_boosted(train, clicked, test, settings.gradient_boosting, settings.seed), True),
    }
    return learn[model]()


def _logistic(train: Inputs, clicked: np.ndarray, test: Inputs, settings: LogisticSettings) -> tuple[np.ndarray, bool]:
    """Hashed one-hot ids beside standardised features, with an L2 penalty.

    Places that no training row fills would keep the weight 0, so they are left out: the fit is the same and smaller.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    places = train.ids % np.uint64(2**settings.hash_bits)
    known = np.unique(places)
    mean, scale = _standards(train.features)
    fit = LogisticRegression(C=settings.inverse_penalty, max_iter=settings.max_iterations)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        fit.fit(_sparse(places, known, (train.features - mean) * scale), clicked)
    test_places = test.ids % np.uint64(2**settings.hash_bits)
    predicted = fit.predict_proba(_sparse(test_places, known, (test.features - mean) * scale))[:, 1]
    return predicted, not any(issubclass(w.category, ConvergenceWarning) for w in said)


def _standards(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and one over the standard deviation of each column, 0 for one without differences.

    Whether there are any is asked of the values: the deviation of equal numbers is some rounding and not 0, and one over that
    would make the least difference in a test row a million deviations.
    """
    deviation = features.std(axis=0)
    differs = (features.max(axis=0) > features.min(axis=0)) & (deviation > 0)
    return features.mean(axis=0), np.where(differs, 1.0 / np.where(differs, deviation, 1.0), 0.0)


def _sparse(places: np.ndarray, known: np.ndarray, features: np.ndarray) -> Any:
    """scipy CSR (n, places + features); places that are not known are left out."""
    from scipy import sparse

    column = np.minimum(np.searchsorted(known, places), max(len(known) - 1, 0))
    inside = known[column] == places
    row = np.broadcast_to(np.arange(len(places))[:, None], places.shape)
    one_hot = sparse.csr_matrix((np.ones(int(inside.sum())), (row[inside], column[inside])), (len(places), len(known)))
    return sparse.hstack([one_hot, sparse.csr_matrix(features.astype(np.float64))], format="csr")


def _boosted(train: Inputs, clicked: np.ndarray, test: Inputs, settings: BoostingSettings, seed: int) -> np.ndarray:
    """LightGBM with ids as categories and features as they are; the same trees for the same rows, however many threads."""
    import lightgbm

    codes, test_codes = _categories(train.ids, test.ids)
    parameters = {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_rows_per_leaf,
        "lambda_l2": settings.leaf_penalty,
        "num_threads": settings.threads,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    columns = list(range(codes.shape[1]))
    data = lightgbm.Dataset(np.hstack([codes, train.features]), clicked.astype(np.float64), categorical_feature=columns)
    trees = lightgbm.train(parameters, data, num_boost_round=settings.trees)
    return np.asarray(trees.predict(np.hstack([test_codes, test.features]), num_threads=settings.threads), np.float64)


def _categories(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 codes 0, 1, ... of the training values of each column; nan for values that training lacks."""
    learned, asked = np.empty(train.shape), np.empty(test.shape)
    for column in range(train.shape[1]):
        known, learned[:, column] = np.unique(train[:, column], return_inverse=True)
        place = np.minimum(np.searchsorted(known, test[:, column]), len(known) - 1)
        asked[:, column] = np.where(known[place] == test[:, column], place, np.nan)
    return learned, asked
