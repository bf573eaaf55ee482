"""Calibration of an encoder: what all its vectors share is taken away, so that strangers score near zero again.

Many models give any two pictures of a network a high cosine: their vectors share a mean, and a few directions hold most of the
variance. `centre` subtracts the mean of a sample. `whiten` then turns to the principal axes of the sample's covariance and scales
each to variance 1; the covariance is first shrunk towards a multiple of the identity (Ledoit and Wolf, "A well-conditioned
estimator for large-dimensional covariance matrices", 2004), so that axes with hardly any variance are not blown up.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bannermap.embedding.encoders.interface import unit_rows
from bannermap.platform.errors import ConfigError, InputError

FORMAT = "bannermap-calibration/1"
LEAST_ROWS = 100
THRESHOLDS = (0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
PERCENTILES = (50.0, 95.0, 99.0, 99.9)
PAIRS = 200_000
Method = Literal["centre", "whiten"]


@dataclass(frozen=True)
class Calibration:
    """A learned line: vectors become unit((x - mean) @ matrix).

    Attributes:
        encoder_id: whose vectors it is for.
        mean: float32 (d,).
        matrix: float32 (d, k); None leaves vectors as they are after centring.
        rows: vectors that it was learned from.
        seed: by which they were drawn.
    """

    encoder_id: str
    mean: np.ndarray
    matrix: np.ndarray | None
    rows: int
    seed: int

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Calibrated vectors.

        Args:
            vectors: (n, d), of the encoder.

        Returns:
            float32 (n, d) or (n, k), unit rows; NaN where nothing is left of a vector.
        """
        centred = vectors.astype(np.float64) - self.mean
        return unit_rows(centred if self.matrix is None else centred @ self.matrix)


@dataclass(frozen=True)
class Spread:
    """Cosines of random pairs.

    Attributes:
        mean: of all.
        percentiles: percentile -> cosine.
        passing: threshold -> share of pairs at or above it.
    """

    mean: float
    percentiles: dict[float, float]
    passing: dict[float, float]


def learn(encoder_id: str, vectors: np.ndarray, method: Method, dimensions: int | None, seed: int) -> Calibration:
    """Learn a calibration; the order of rows does not matter, to the last bit.

    Args:
        encoder_id: whose vectors these are.
        vectors: (n, d), unit rows, at least `LEAST_ROWS`.
        method: see the module.
        dimensions: of whitened vectors, at most d and less than n; without, as many as there can be.
        seed: only noted.

    Raises:
        InputError: too few vectors.
        ConfigError: dimensions that can't be.
    """
    rows, width = vectors.shape
    if rows < LEAST_ROWS:
        raise InputError(f"{rows} vectors of {encoder_id} are too few to calibrate with: at least {LEAST_ROWS} are needed.")
    if dimensions and (method != "whiten" or dimensions > min(width, rows - 1)):
        raise ConfigError(
            f"--dimensions {dimensions} does not go with --method {method} and {rows} vectors of {width} dimensions: "
            f"it is for whiten, and at most {min(width, rows - 1)} there."
        )
    ordered = _in_fixed_order(vectors).astype(np.float64)
    mean = ordered.mean(axis=0)
    matrix = _whitening(ordered - mean, dimensions or min(width, rows - 1)) if method == "whiten" else None
    return Calibration(encoder_id, mean.astype(np.float32), matrix, rows, seed)


def shrinkage(centred: np.ndarray) -> float:
    """The share of the identity in Ledoit and Wolf's estimate of the covariance.

    Args:
        centred: (n, d), columns of mean 0.

    Returns:
        0 to 1.
    """
    rows, width = centred.shape
    covariance = centred.T @ centred / rows
    scale = np.trace(covariance) / width
    distance = (covariance**2).sum() - width * scale**2
    noise = ((centred**2).sum(axis=1) ** 2).sum() / rows**2 - (covariance**2).sum() / rows
    return float(min(1.0, max(0.0, noise / distance))) if distance > 0 else 1.0


def spread(vectors: np.ndarray, seed: int) -> Spread:
    """What cosines random pairs of distinct rows have.

    Args:
        vectors: (n, d), unit rows, at least two.
        seed: of the pairs.
    """
    rng = np.random.default_rng(seed)
    first = rng.integers(len(vectors), size=PAIRS)
    second = (first + rng.integers(1, len(vectors), size=PAIRS)) % len(vectors)
    steps = range(0, PAIRS, 4096)  # all pairs at once would be gigabytes
    cosines = np.concatenate([np.einsum("ij,ij->i", vectors[first[s : s + 4096]], vectors[second[s : s + 4096]]) for s in steps])
    return Spread(
        float(cosines.mean()),
        {p: float(np.percentile(cosines, p)) for p in PERCENTILES},
        {t: float((cosines >= t).mean()) for t in THRESHOLDS},
    )


def write_calibration(calibration: Calibration, path: Path) -> str:
    """Write one safetensors file, whole or not at all.

    Returns:
        Its sha256, hexadecimal; equal calibrations give equal files.
    """
    from safetensors.numpy import save

    tensors = {"mean": calibration.mean} | ({} if calibration.matrix is None else {"matrix": calibration.matrix})
    about = {"format": FORMAT, "encoder_id": calibration.encoder_id, "rows": str(calibration.rows), "seed": str(calibration.seed)}
    # One entry of metadata: the library keeps no order of several, and the file's digest is a part of encoder_id.
    data = save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, {"calibration": json.dumps(about, sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(data)
    aside.replace(path)
    return hashlib.sha256(data).hexdigest()


def read_calibration(path: Path) -> tuple[Calibration, str]:
    """A calibration and the sha256 of its file.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load

    try:
        data = path.read_bytes()
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})["calibration"])
        tensors = load(data)
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']}")
        found = Calibration(about["encoder_id"], tensors["mean"], tensors.get("matrix"), int(about["rows"]), int(about["seed"]))
    except FileNotFoundError:
        raise ConfigError(f"encoder.calibration is {path} and there is no such file. Make it with calibrate_encoder.") from None
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ConfigError(
            f"encoder.calibration: {path} is no file of calibrate_encoder ({type(error).__name__}: {error}). Make it anew."
        ) from None
    _check_shapes(found, path)
    return found, hashlib.sha256(data).hexdigest()


def _check_shapes(found: Calibration, path: Path) -> None:
    arrays = [found.mean] + ([] if found.matrix is None else [found.matrix])
    fits = found.mean.ndim == 1 and (found.matrix is None or found.matrix.shape[:1] == found.mean.shape)
    if not fits or not all(np.isfinite(a).all() for a in arrays):
        raise ConfigError(f"encoder.calibration: {path} is damaged: shapes that do not fit, or values that are not finite.")


def _in_fixed_order(vectors: np.ndarray) -> np.ndarray:
    """The rows sorted by their bytes: sums of floats depend on the order."""
    rows = np.ascontiguousarray(vectors, np.float32)
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    return rows[np.argsort(whole, kind="stable")]


def _whitening(centred: np.ndarray, dimensions: int) -> np.ndarray:
    """Principal axes of the shrunk covariance, each scaled to variance 1; float32 (d, dimensions)."""
    share = shrinkage(centred)
    covariance = centred.T @ centred / len(centred)
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = variances[::-1][:dimensions], axes[:, ::-1][:, :dimensions]
    shrunk = (1 - share) * variances + share * np.trace(covariance) / len(covariance)
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(dimensions)])  # the library may give either direction
    return (axes * signs / np.sqrt(np.maximum(shrunk, 1e-12))).astype(np.float32)
