"""Chains: every picture gets the first vector that can be had, and says from whom."""

from __future__ import annotations

import numpy as np
import pytest
from embedding_server import MODEL, Endpoint, Reply

from bannermap.embedding.decoding.resizing import Box
from bannermap.embedding.decoding.views import View
from bannermap.embedding.encoders.chain import Chain, Link, Made, check_encoders, make_chain
from bannermap.embedding.encoders.interface import Encoded, EncoderUnavailable, encode_pictures, make_encoder, unit_rows
from bannermap.platform.errors import ConfigError
from bannermap.platform.settings import EncoderLink


class Fake:
    """Encodes pictures whose first pixel it knows; a call with one that it can't take fails as a whole."""

    def __init__(self, encoder_id: str, fails=(), hollow=()) -> None:
        self.encoder_id, self.fails, self.hollow, self.calls = encoder_id, set(fails), set(hollow), []
        self.looks = len(encoder_id) != 2

    def check(self) -> None: ...

    def prepare(self, pixels: np.ndarray) -> View:
        return View(pixels[:1, :1], Box(0.0, 1.0, 0.0, 1.0))

    def encode(self, inputs: list[View]) -> Encoded:
        numbers = [int(i.pixels[0, 0, 0]) for i in inputs]
        self.calls.append(numbers)
        if self.fails & set(numbers):
            raise EncoderUnavailable(f"no {sorted(self.fails & set(numbers))}")
        vectors = unit_rows(np.array([[0.0, 0.0] if n in self.hollow else [n, len(self.encoder_id)] for n in numbers]))
        return Encoded(vectors, np.array([[n, len(self.encoder_id)] for n in numbers]) if self.looks else None)


def pictures(n: int) -> list[np.ndarray]:
    return [np.full((2, 3, 3), number, np.uint8) for number in range(n)]


def outcomes(chain: Chain, n: int) -> list:
    return chain.encode([chain.prepare(p) for p in pictures(n)])


def naive(fakes: list[Fake], sizes: list[int], n: int) -> list[str | None]:
    """Who makes each vector, by the words of the documentation: slices of what is left, a slice fails as a whole."""
    owner: list[str | None] = [None] * n
    for fake, size in zip(fakes, sizes, strict=True):
        left = [i for i in range(n) if owner[i] is None]
        while left:
            part, left = left[:size], left[size:]
            if not fake.fails & set(part):
                for i in part:
                    owner[i] = None if i in fake.hollow else fake.encoder_id
    return owner


@pytest.mark.parametrize("seed", range(20))
def test_each_picture_gets_the_first_vector_that_can_be_had(seed):
    rng = np.random.default_rng(seed)
    n, sizes = 23, [int(s) for s in rng.integers(1, 9, 3)]
    drawn = [(rng.choice(n, 3), rng.choice(n, 2)) for _ in sizes]
    fakes = [Fake("abc"[: i + 1], map(int, f), map(int, h)) for i, (f, h) in enumerate(drawn)]
    found = outcomes(Chain([Link(f, s) for f, s in zip(fakes, sizes, strict=True)]), n)
    owners = naive(fakes, sizes, n)
    for number, (outcome, owner) in enumerate(zip(found, owners, strict=True)):
        if owner is None:
            assert isinstance(outcome, EncoderUnavailable) and all(f"{f.encoder_id}: " in str(outcome) for f in fakes)
        else:
            length = np.hypot(number, len(owner))
            assert isinstance(outcome, Made) and outcome.encoder_id == owner
            assert outcome.vector == pytest.approx([number / length, len(owner) / length])
            assert (None if outcome.emphasis is None else [*outcome.emphasis]) == (
                None if len(owner) == 2 else [number, len(owner)]
            )
    assert all(len(call) <= size for fake, size in zip(fakes, sizes, strict=True) for call in fake.calls)


def test_one_encoder_is_a_chain_of_one(base_settings):
    chain, encoder = make_chain(base_settings.encoder), make_encoder(base_settings.encoder)
    shown = [np.random.default_rng(n).integers(0, 256, (9, 30, 3), dtype=np.uint8) for n in range(5)]
    made = chain.encode([chain.prepare(p) for p in shown])
    assert chain.encoder_ids == (encoder.encoder_id,) and {m.encoder_id for m in made} == {encoder.encoder_id}
    assert np.array_equal(np.stack([m.vector for m in made]), encode_pictures(encoder, shown))
    assert make_chain(base_settings.encoder) is chain


@pytest.fixture
def remote_first(base_settings):
    server = Endpoint()
    remote = base_settings.encoder.remote.model_copy(
        update={"endpoint": server.address, "model": MODEL, "batch_images": 2, "deadline_s": 3.0}
    )
    chain = (EncoderLink(name="perceptual"),)
    yield base_settings.encoder.model_copy(update={"name": "remote", "remote": remote, "chain": chain}), server
    server.close()


def test_a_request_that_fails_falls_back_and_the_others_do_not(remote_first):
    settings, server = remote_first
    chain = make_chain(settings)
    server.faults = [Reply(), Reply(400)]
    made = outcomes(chain, 6)
    remote, perceptual = chain.encoder_ids
    assert [m.encoder_id for m in made] == [remote, remote, perceptual, perceptual, remote, remote]
    assert remote.startswith("remote-") and perceptual == "perceptual-v1-frame2.trim2-resize64"
    alone = encode_pictures(make_encoder(base(settings)), [np.zeros((64, 64, 3), np.uint8)])
    assert [m.vector.shape for m in made[1:3]] == [(8,), alone[0].shape]


def base(settings):
    return settings.model_copy(update={"name": "perceptual", "chain": ()})


def test_further_links_have_weights_of_their_own_and_the_rest_of_the_first(remote_first):
    settings, _ = remote_first
    whole = settings.model_copy(update={"trim_borders": False, "resolution_px": 64})
    assert make_chain(whole).encoder_ids[1] == "perceptual-v1-frame2.whole-resize64"


def test_a_chain_of_the_same_twice_is_refused(base_settings):
    with pytest.raises(ConfigError, match="twice"):
        check_encoders(base_settings.encoder.model_copy(update={"chain": (EncoderLink(name="perceptual"),)}))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("perceptual", {"resize_mode": "letterbox"}),
        ("perceptual", {"resolution_px": 448}),
        ("perceptual", {"weights": "/nowhere", "resize_mode": "grid"}),
        ("remote", {"weights": "/nowhere"}),
    ],
)
def test_what_an_encoder_has_no_use_for_is_refused_wherever_it_is_given(remote_first, name, given):
    settings, _ = remote_first
    first = settings.model_copy(update={"name": name, "chain": (), **given})
    further = settings.model_copy(update={"name": "dinov2", "chain": (EncoderLink(name=name, **given),)})
    for whole in (first, further):
        with pytest.raises(ConfigError) as refused:
            check_encoders(whole)
        assert all(f"encoder.{key} ({value})" in str(refused.value) for key, value in given.items())


def test_a_link_is_not_blamed_for_what_the_first_encoder_was_given(remote_first):
    settings, _ = remote_first
    whole = settings.model_copy(update={"resize_mode": "letterbox", "resolution_px": 64, "emphasis_strength": 0.0})
    check_encoders(whole)
    assert make_chain(whole).encoder_ids[1] == "perceptual-v1-frame2.trim2-resize64"


def test_every_link_is_checked(remote_first):
    settings, _ = remote_first
    broken = settings.model_copy(update={"chain": (EncoderLink(name="hf", weights="/nowhere"),)})
    with pytest.raises(ConfigError, match="no such folder"):
        check_encoders(broken)


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_unit_rows_of_any_size(scale):
    rows = np.random.default_rng(0).normal(size=(5, 7)) * scale
    expected = [[v / scale / np.sqrt(sum((x / scale) ** 2 for x in row)) for v in row] for row in rows]
    assert unit_rows(rows) == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -np.inf])
def test_rows_without_direction_are_nan(bad):
    rows = np.ones((3, 4))
    rows[1] = bad if bad == 0.0 else [1.0, bad, 1.0, 1.0]
    assert np.isnan(unit_rows(rows)[1]).all() and unit_rows(rows)[[0, 2]] == pytest.approx(0.5)
