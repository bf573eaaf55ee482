"""Calibration against naive loops; files of equal content are equal; a file for another encoder is refused."""

from __future__ import annotations

import numpy as np
import pytest

from bannermap.embedding.calibration import PAIRS, Calibration, learn, read_calibration, shrinkage, spread, write_calibration
from bannermap.embedding.encoders.interface import encode_pictures, make_encoder, unit_rows
from bannermap.platform.errors import ConfigError, InputError


def narrow(seed: int, n: int = 300, d: int = 12) -> np.ndarray:
    """Unit vectors that share a mean, with variance on few axes, as encoders give them."""
    rng = np.random.default_rng(seed)
    return unit_rows(2.0 + rng.normal(size=(n, d)) * np.linspace(1.5, 0.05, d))


def covariance(rows: np.ndarray) -> np.ndarray:
    d = rows.shape[1]
    total = np.zeros((d, d))
    for row in rows:
        total += np.outer(row, row)
    return total / len(rows)


@pytest.mark.parametrize("seed", range(4))
def test_centring_subtracts_the_mean(seed):
    vectors = narrow(seed)
    made = learn("e", vectors, "centre", None, seed)
    mean = [sum(float(v) for v in column) / len(column) for column in vectors.T]
    assert made.mean == pytest.approx(mean, abs=1e-6) and made.matrix is None
    for one, row in zip(made.apply(vectors[:9]), vectors[:9], strict=True):
        difference = row - np.array(mean)
        assert one == pytest.approx(difference / np.sqrt((difference**2).sum()), abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_shrinkage_is_ledoit_and_wolfs(seed):
    rows = narrow(seed, n=60, d=9).astype(np.float64)
    rows -= rows.mean(axis=0)
    sample, d = covariance(rows), rows.shape[1]
    scale = np.trace(sample) / d
    distance = ((sample - scale * np.eye(d)) ** 2).sum() / d
    noise = sum(((np.outer(r, r) - sample) ** 2).sum() / d for r in rows) / len(rows) ** 2
    assert shrinkage(rows) == pytest.approx(min(noise, distance) / distance)


@pytest.mark.parametrize("dimensions", [None, 5])
def test_whitening_gives_axes_of_variance_one_after_shrinking(dimensions):
    vectors = narrow(1)
    made = learn("e", vectors, "whiten", dimensions, 0)
    centred = vectors - vectors.astype(np.float64).mean(axis=0)
    share, sample = shrinkage(centred), covariance(centred)
    shrunk = (1 - share) * sample + share * np.trace(sample) / 12 * np.eye(12)
    matrix = made.matrix.astype(np.float64)
    assert matrix.T @ shrunk @ matrix == pytest.approx(np.eye(dimensions or 12), abs=1e-3)
    assert made.apply(vectors) == pytest.approx(unit_rows(centred @ matrix), abs=1e-4)


@pytest.mark.parametrize("method", ["centre", "whiten"])
def test_strangers_come_to_score_near_zero(method):
    vectors = narrow(2)
    before, after = spread(vectors, 0), spread(learn("e", vectors[::2], method, None, 0).apply(vectors), 0)
    assert before.mean > 0.6 and abs(after.mean) < 0.05


@pytest.mark.parametrize("method", ["centre", "whiten"])
def test_the_order_of_vectors_does_not_matter_and_files_tell(method, tmp_path):
    vectors = narrow(3)
    shuffled = vectors[np.random.default_rng(0).permutation(len(vectors))]
    digests = [write_calibration(learn("e", v, method, None, 5), tmp_path / "a") for v in (vectors, shuffled)]
    other = write_calibration(learn("e", vectors[1:], method, None, 5), tmp_path / "b")
    assert digests[0] == digests[1] != other


def test_a_file_brings_back_what_was_written(tmp_path):
    made = learn("some-encoder", narrow(4), "whiten", 6, 11)
    digest = write_calibration(made, tmp_path / "sub/file.safetensors")
    found, same = read_calibration(tmp_path / "sub/file.safetensors")
    assert same == digest and (found.encoder_id, found.rows, found.seed) == ("some-encoder", 300, 11)
    assert np.array_equal(found.mean, made.mean) and np.array_equal(found.matrix, made.matrix)


def test_spread_is_of_pairs_of_distinct_rows():
    few = unit_rows(np.random.default_rng(0).normal(size=(4, 3)))
    found, cosines = spread(few, 1), [float(few[i] @ few[j]) for i in range(4) for j in range(4) if i != j]
    assert found.mean == pytest.approx(np.mean(cosines), abs=5 / np.sqrt(PAIRS))
    assert found.passing[0.6] == pytest.approx(np.mean(np.array(cosines) >= 0.6), abs=0.01)
    assert found.percentiles[99.9] == pytest.approx(max(cosines), abs=1e-6)


def test_what_cannot_be_learned_is_said():
    with pytest.raises(InputError, match="too few"):
        learn("e", narrow(0, n=99), "centre", None, 0)
    for method, dimensions in (("whiten", 13), ("centre", 4)):
        with pytest.raises(ConfigError, match="--dimensions"):
            learn("e", narrow(0), method, dimensions, 0)


@pytest.fixture
def calibrated(base_settings, tmp_path):
    encoder = make_encoder(base_settings.encoder)
    rng = np.random.default_rng(0)
    shown = [rng.integers(0, 256, (12, 30, 3), dtype=np.uint8) for _ in range(100)]
    vectors = encode_pictures(encoder, shown)
    digest = write_calibration(learn(encoder.encoder_id, vectors, "centre", None, 0), tmp_path / "file")
    return shown, vectors, digest, base_settings.encoder.model_copy(update={"calibration": str(tmp_path / "file")})


def test_an_encoder_with_a_calibration_has_an_id_of_its_own(base_settings, calibrated):
    shown, vectors, digest, settings = calibrated
    encoder = make_encoder(settings)
    assert encoder.encoder_id == f"{make_encoder(base_settings.encoder).encoder_id}-cal{digest[:8]}"
    moved = vectors - vectors.astype(np.float64).mean(axis=0)
    assert encode_pictures(encoder, shown) == pytest.approx(unit_rows(moved), abs=1e-5)


def test_a_file_for_another_encoder_is_refused(calibrated):
    with pytest.raises(ConfigError, match=r"was made for perceptual-v1-frame2\.trim2.*perceptual-v1-frame2\.whole"):
        make_encoder(calibrated[-1].model_copy(update={"trim_borders": False}))


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 9])
def test_a_file_that_is_none_is_refused(base_settings, tmp_path, content):
    if content is not None:
        (tmp_path / "bad").write_bytes(content)
    with pytest.raises(ConfigError, match="calibrat"):
        make_encoder(base_settings.encoder.model_copy(update={"calibration": str(tmp_path / "bad")}))


@pytest.mark.parametrize("mean, matrix", [([1.0, np.nan], None), ([1.0, 2.0], [[1.0], [1.0], [1.0]])])
def test_a_damaged_file_is_refused(tmp_path, mean, matrix):
    array = None if matrix is None else np.array(matrix, np.float32)
    write_calibration(Calibration("e", np.array(mean, np.float32), array, 5, 0), tmp_path / "bad")
    with pytest.raises(ConfigError, match="damaged"):
        read_calibration(tmp_path / "bad")
