"""The remote encoder against a real server on loopback: what it sends, what it accepts, and every way to fail."""

from __future__ import annotations

import datetime
import email.utils
import time

import numpy as np
import pytest
from embedding_server import MODEL, Endpoint, Reply, vector_of
from repository import ROOT

from bannermap.embedding.encoders.interface import EncoderUnavailable, encode_pictures
from bannermap.embedding.encoders.remote import PROTOCOL, RemoteEncoder
from bannermap.platform.config import load_settings
from bannermap.platform.errors import ConfigError

KEY = "a-key-that-nobody-may-see"


@pytest.fixture
def endpoint():
    server = Endpoint()
    yield server
    server.close()


@pytest.fixture
def make(base_settings, endpoint):
    def made(remote=None, **changes) -> RemoteEncoder:
        own = {"endpoint": endpoint.address, "model": MODEL, "deadline_s": 5.0, **(remote or {})}
        settings = base_settings.encoder.model_copy(update={"name": "remote", "resolution_px": 32, **changes})
        return RemoteEncoder(settings.model_copy(update={"remote": settings.remote.model_copy(update=own)}))

    return made


def pictures(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (rng.integers(5, 60), rng.integers(5, 60), 3), dtype=np.uint8) for _ in range(n)]


def expected(encoder: RemoteEncoder, shown: list[np.ndarray]) -> np.ndarray:
    raw = np.array([vector_of(encoder.prepare(p).pixels) for p in shown])
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def test_prepared_pixels_go_out_and_unit_vectors_come_back(make, endpoint):
    encoder, shown = make(), pictures(7)
    vectors = encode_pictures(encoder, shown)
    assert vectors.dtype == np.float32 and vectors == pytest.approx(expected(encoder, shown), abs=1e-6)
    (request,) = endpoint.requests
    assert (request["protocol"], request["model"], request["path"]) == (PROTOCOL, MODEL, "/embed?v=1")
    assert len(request["images"]) == 7 and "Authorization" not in request["headers"]


def test_the_key_goes_out_in_its_header_and_nowhere_else(make, endpoint, monkeypatch, capfd):
    monkeypatch.setenv("OUR_KEY", KEY)
    encoder = make({"key_variable": "OUR_KEY", "attempts": 1})
    encoder.check()
    encode_pictures(encoder, pictures(1))
    assert endpoint.requests[0]["headers"]["Authorization"] == f"Bearer {KEY}"
    endpoint.always = Reply(401, f"the key {KEY} is unknown".encode())
    with pytest.raises(EncoderUnavailable, match="status 401: the key") as failure:
        encode_pictures(encoder, pictures(1))
    assert KEY not in str(failure.value) + repr(encoder.__dict__) + encoder.encoder_id + "".join(capfd.readouterr())


def test_a_missing_key_is_said_before_spark_starts_and_on_an_executor(make, monkeypatch, endpoint):
    monkeypatch.delenv("OUR_KEY", raising=False)
    with pytest.raises(ConfigError, match="OUR_KEY"):
        make({"key_variable": "OUR_KEY"}).check()
    with pytest.raises(EncoderUnavailable, match="OUR_KEY"):
        encode_pictures(make({"key_variable": "OUR_KEY"}), pictures(1))
    assert not endpoint.requests


CUT_SHORT = Reply(headers={"Content-Length": "99999"})


@pytest.mark.parametrize("faults", [(Reply(429), Reply(500)), (Reply(503), CUT_SHORT), (Reply(408), Reply(502))])
def test_what_may_pass_is_tried_again(make, endpoint, faults):
    endpoint.faults, (encoder, shown) = list(faults), (make(), pictures(3))
    assert encode_pictures(encoder, shown) == pytest.approx(expected(encoder, shown), abs=1e-6)
    assert len(endpoint.requests) == 3 and np.diff(endpoint.times).min() >= 0.1


def test_retry_after_is_heeded_as_number_and_as_date(make, endpoint):
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    dated = Reply(503, headers={"Retry-After": email.utils.format_datetime(then, usegmt=True)})
    endpoint.faults = [dated, Reply(429, headers={"Retry-After": "1"})]
    encode_pictures(make({"deadline_s": 20.0}), pictures(1))
    first, second = np.diff(endpoint.times)
    assert first >= 0.9 and second >= 1.0


@pytest.mark.parametrize("asked", ["²", "٣", "soon", "Sun, 01 Mar 99999999999999999999 12:00:00 GMT"])
def test_a_retry_after_that_says_nothing_counts_as_none(make, endpoint, asked):
    headers = {"Retry-After": asked.encode().decode("latin-1")}
    endpoint.faults, (encoder, shown) = [Reply(503, headers=headers)], (make(), pictures(2))
    assert encode_pictures(encoder, shown) == pytest.approx(expected(encoder, shown), abs=1e-6)


def test_nobody_waits_longer_than_the_deadline(make, endpoint):
    endpoint.always, began = Reply(429, headers={"Retry-After": "3600"}), time.monotonic()
    with pytest.raises(EncoderUnavailable, match="status 429, after 1 attempts"):
        encode_pictures(make(), pictures(1))
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("fault", [Reply(wait_s=3.0), Reply(drip_s=0.05)], ids=("silent", "dripping"))
def test_a_slow_endpoint_ends_with_the_deadline(make, endpoint, fault):
    endpoint.always, began = fault, time.monotonic()
    with pytest.raises(EncoderUnavailable, match="no answer within"):
        encode_pictures(make({"deadline_s": 0.8, "attempts": 2}), pictures(1))
    assert 0.3 < time.monotonic() - began < 4.0


def test_a_slow_attempt_leaves_time_for_another(make, endpoint):
    endpoint.faults, (encoder, shown) = [Reply(wait_s=9.0)], (make({"deadline_s": 3.0}), pictures(2))
    assert encode_pictures(encoder, shown) == pytest.approx(expected(encoder, shown), abs=1e-6)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 413, 422])
def test_what_will_not_pass_is_asked_once(make, endpoint, status):
    endpoint.always = Reply(status, b"no", {"Location": endpoint.address})
    with pytest.raises(EncoderUnavailable, match=f"status {status}: no"):
        encode_pictures(make(), pictures(1))
    assert len(endpoint.requests) == 1


CHANGES = {
    "too few": lambda c: {**c, "vectors": c["vectors"][1:]},
    "too many": lambda c: {**c, "vectors": c["vectors"] * 2},
    "ragged": lambda c: {**c, "vectors": [v[: 2 + i] for i, v in enumerate(c["vectors"])]},
    "flat": lambda c: {**c, "vectors": [v[0] for v in c["vectors"]]},
    "without dimensions": lambda c: {**c, "vectors": [[] for _ in c["vectors"]]},
    "words": lambda c: {**c, "vectors": [["a"] for _ in c["vectors"]]},
    "whole numbers beyond any float": lambda c: {**c, "vectors": [[10**400] * len(v) for v in c["vectors"]]},
    "no vectors": lambda c: {"model": c["model"]},
    "no model": lambda c: {"vectors": c["vectors"]},
    "another model": lambda c: {**c, "model": "tests/model-2"},
    "a list": lambda c: [c],
    "nothing": lambda c: None,
}


@pytest.mark.parametrize("kind", CHANGES)
def test_an_answer_of_another_shape_is_refused(make, endpoint, kind):
    endpoint.change = CHANGES[kind]
    with pytest.raises(EncoderUnavailable):
        encode_pictures(make(), pictures(3))
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_an_answer_that_is_no_json_is_refused(make, endpoint, body):
    endpoint.always = Reply(body=body)
    with pytest.raises(EncoderUnavailable, match="not what the protocol says"):
        encode_pictures(make(), pictures(1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, None])
def test_a_vector_without_direction_is_nan_and_the_others_are_kept(make, endpoint, bad):
    endpoint.change = lambda c: {**c, "vectors": [[bad] * 8, *c["vectors"][1:]]}
    encoder, shown = make(), pictures(3)
    vectors = encode_pictures(encoder, shown)
    assert np.isnan(vectors[0]).all() and vectors[1:] == pytest.approx(expected(encoder, shown)[1:], abs=1e-6)


def test_dimensions_never_change(make, endpoint):
    encoder = make()
    encode_pictures(encoder, pictures(1))
    endpoint.change = lambda c: {**c, "vectors": [v[:5] for v in c["vectors"]]}
    with pytest.raises(EncoderUnavailable, match="5 dimensions, before they had 8"):
        encode_pictures(encoder, pictures(1))


def test_an_endpoint_that_is_down_is_left_alone_for_a_while(make, endpoint):
    endpoint.always, encoder = Reply(400), make({"deadline_s": 2.0, "attempts": 1})
    for _ in range(10):
        with pytest.raises(EncoderUnavailable):
            encode_pictures(encoder, pictures(1))
    assert len(endpoint.requests) == 3
    endpoint.always = None
    time.sleep(2.1)
    encode_pictures(encoder, pictures(1))
    assert len(endpoint.requests) == 4


def test_nobody_listens(make, endpoint):
    endpoint.close()
    with pytest.raises(EncoderUnavailable, match="after 2 attempts"):
        encode_pictures(make({"attempts": 2, "deadline_s": 3.0}), pictures(1))


@pytest.mark.parametrize("remote, words", [
    ({"endpoint": None}, "endpoint"),
    ({"endpoint": "ftp://x/y"}, "http or https"),
    ({"endpoint": "http://"}, "http or https"),
    ({"endpoint": "https://me:secret@host/x"}, "holds a password"),
    ({"model": None}, "model is not set"),
])  # fmt: skip
def test_what_cannot_be_right_is_said_at_once(make, remote, words):
    with pytest.raises(ConfigError, match=words) as failure:
        make(remote)
    assert "secret" not in str(failure.value)


def test_a_key_in_place_of_its_variable_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="the key itself belongs into that variable") as failure:
        load_settings(ROOT / "conf/base.yaml", [], [f"encoder.remote={{key_variable: {KEY}}}"])
    assert KEY not in str(failure.value)


def test_ids_name_the_model_and_what_it_sees(make):
    ids = [make().encoder_id, make({"model": "tests_model-1"}).encoder_id, make(resolution_px=64).encoder_id]
    ids += [make(trim_borders=False).encoder_id, make(resize_mode="letterbox").encoder_id]
    assert len(set(ids)) == 5 and all("/" not in i for i in ids)
    assert make({"deadline_s": 9.0, "batch_images": 3}).encoder_id == ids[0]
