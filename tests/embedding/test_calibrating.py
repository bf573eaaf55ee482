"""The command on stored vectors: which it draws, what it says, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from bannermap.embedding.calibrating import Request, calibrate, drawn_vectors, encoder_to_calibrate
from bannermap.embedding.calibration import read_calibration
from bannermap.embedding.encoders.interface import make_encoder, unit_rows
from bannermap.platform.errors import InputError
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import EMBEDDINGS

WIDTH = 16


def shared_mean(n: int) -> np.ndarray:
    return unit_rows(2.0 + np.random.default_rng(0).normal(size=(n, WIDTH)))


@pytest.fixture(scope="module")
def stored(spark, base_settings, tmp_path_factory):
    """A warehouse's settings, and the vectors of the configured encoder and of another in it."""
    home = tmp_path_factory.mktemp("calibrating")
    settings = base_settings.model_copy(update={"paths": base_settings.paths.model_copy(update={"warehouse": str(home)})})
    vectors, encoder_id = shared_mean(600), encoder_to_calibrate(settings)
    rows = [(encoder_id, f"c{i}", v.tolist(), None) for i, v in enumerate(vectors)]
    rows += [("other", f"c{i}", [1.0] + [0.0] * (WIDTH - 1), None) for i in range(50)]
    Warehouse(spark, str(home)).insert_new(EMBEDDINGS, spark.createDataFrame(rows, EMBEDDINGS.schema))
    return settings, vectors, encoder_id


def test_the_file_is_of_the_configured_encoder_and_its_figures_are_of_vectors_it_has_not_seen(stored, spark, tmp_path):
    settings, vectors, encoder_id = stored
    said = calibrate(spark, settings, Request(tmp_path / "file", rows=500), encoder_id)
    made, digest = read_calibration(tmp_path / "file")
    assert (made.encoder_id, made.rows, made.seed) == (encoder_id, 400, 0)
    assert made.mean == pytest.approx(vectors.mean(axis=0), abs=0.03)
    figures = {line[:24].strip(): line[24:].split() for line in said.splitlines() if line[24:].split()[:1] and line[24] == " "}
    before, after = map(float, figures["mean"])
    assert before == pytest.approx((vectors @ vectors.T).mean(), abs=0.03) and abs(after) < 0.05
    assert float(figures["share at 0.60 or more"][0]) > 0.9 > 0.1 > float(figures["share at 0.60 or more"][1])
    own = settings.encoder.model_copy(update={"calibration": str(tmp_path / "file")})
    assert make_encoder(own).encoder_id in said and make_encoder(own).encoder_id.endswith(digest[:8])
    assert encoder_to_calibrate(settings.model_copy(update={"encoder": own})) == encoder_id


def test_the_draw_depends_on_vectors_and_seed_alone(spark):
    vectors = shared_mean(60).tolist()
    odd = [None, [1.0], [0.0] * WIDTH, [float("nan")] * WIDTH]
    frames = [
        spark.createDataFrame([(v,) for v in [*vectors[:: 1 - 2 * back], *odd]], "vector array<float>").repartition(parts)
        for back, parts in ((0, 1), (1, 3))
    ]
    a, b = (drawn_vectors(f, 40, 7) for f in frames)
    assert np.array_equal(a, b) and not np.array_equal(a[:30], drawn_vectors(frames[0], 40, 8)[:30])
    whole = drawn_vectors(frames[0], 100, 7)
    assert np.array(sorted(whole.tolist())) == pytest.approx(np.array(sorted(vectors)), abs=1e-6)


def test_vectors_of_a_file_are_taken_as_the_encoders(stored, spark, tmp_path):
    settings, vectors, encoder_id = stored
    spark.createDataFrame([(v.tolist(),) for v in 3 * vectors], "vector array<double>").write.parquet(str(tmp_path / "in"))
    calibrate(spark, settings, Request(tmp_path / "out", "whiten", 4, str(tmp_path / "in")), encoder_id)
    made, _ = read_calibration(tmp_path / "out")
    assert made.encoder_id == encoder_id and made.matrix.shape == (WIDTH, 4) and made.rows == 480


def test_an_encoder_without_vectors_is_refused_with_words(stored, spark, tmp_path):
    with pytest.raises(InputError, match=r"no vector of strange.*other, perceptual"):
        calibrate(spark, stored[0], Request(tmp_path / "out"), "strange")
    with pytest.raises(InputError, match="too few"):
        calibrate(spark, stored[0], Request(tmp_path / "out"), "other")
    assert not (tmp_path / "out").exists()
