"""Training: the loss against a loop, batches that follow from their number, and a network that learns."""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from bannermap.embedding.encoders.interface import encode_pictures, make_encoder
from bannermap.platform.errors import ConfigError
from bannermap.training.batches import Pairs, batches
from bannermap.training.command import run
from bannermap.training.loop import Recipe, train
from bannermap.training.loss import info_nce
from bannermap.training.network import PooledNetwork, loaded, make_network, sine_positions
from bannermap.training.views import EDITED, PHOTOGRAPHED, RENDITION, view

SHARES = {"banners": 0.3, "photos": 0.3, "photo_banners": 0.2, "packages": 0.2}
RECIPE = Recipe(
    steps=200, learning_rate=2e-3, weight_decay=0.05, temperature=0.1, kept_share=0.5, full_share=0.2, max_minutes=None
)


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((160, 120)) for _ in range(12)]


def test_loss_equals_a_loop_over_pairs():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, 5, 7))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    rows, losses = vectors.reshape(10, 7), []
    for i in range(10):
        others = [math.exp(rows[i] @ rows[j] / 0.2) for j in range(10) if j != i]
        losses.append(-math.log(math.exp(rows[i] @ rows[(i + 5) % 10] / 0.2) / sum(others)))
    found = info_nce(torch.tensor(vectors[0]), torch.tensor(vectors[1]), 0.2)
    assert float(found) == pytest.approx(np.mean(losses), abs=1e-9)


def test_a_batch_follows_from_its_number_whoever_draws_it(photos):
    pairs = Pairs(photos, things=20, side_px=28, steps=3, seed=5, shares=SHARES)
    drawn = list(batches(pairs, workers=2))
    assert all(torch.equal(a, pairs[n]) for n, a in enumerate(drawn))
    assert drawn[0].shape == (2, 20, 28, 28, 3)
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0][0], drawn[0][1])


@pytest.mark.parametrize("strength", [RENDITION, EDITED, PHOTOGRAPHED])
def test_a_view_is_a_square_of_its_picture_and_follows_from_the_seed(photos, strength):
    one, again, other = (view(photos[0], strength, 28, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (28, 28, 3)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_edits_lose_all_colours_sometimes_and_what_ad_servers_do_never(photos):
    def coloured_views(strength):
        plain = replace(strength, sticker=0.0)
        seen = [view(photos[0], plain, 28, np.random.default_rng(seed)).astype(int) for seed in range(60)]
        return [np.abs(v - v.mean(axis=2, keepdims=True)).max() > 6 for v in seen]

    assert all(coloured_views(RENDITION))
    assert 0.6 < np.mean(coloured_views(EDITED)) < 1.0


def test_positions_are_all_different_and_near_for_neighbours():
    places = sine_positions(6, 32)
    distances = torch.cdist(places, places)
    assert distances[~torch.eye(36, dtype=torch.bool)].min() > 1e-3
    assert distances[0, 1] < distances[0, 5]
    assert distances[0, 6] < distances[0, 30]


def test_a_network_learns_to_find_partners_that_it_has_not_seen(photos):
    """Random weights find some partners by colour alone; training has to find more, on batches that were not trained on."""
    network = PooledNetwork(make_network(48, 2, 3, 28, 0), emphasis_strength=2.0)
    unseen = [Pairs(photos, things=40, side_px=28, steps=4, seed=99, shares=SHARES)[n] for n in range(4)]

    def unseen_loss() -> float:
        with torch.no_grad():
            return float(np.mean([float(info_nce(*(network(views, 1.0) for views in batch), 0.1)) for batch in unseen]))

    before, reports = unseen_loss(), []
    pairs = Pairs(photos, things=40, side_px=28, steps=200, seed=1, shares=SHARES)
    train(network, batches(pairs, workers=0), RECIPE, reports.append)
    assert [r.step for r in reports] == [100, 200]
    assert unseen_loss() < before - 0.3


def test_a_time_limit_ends_the_schedule_early(photos):
    network = PooledNetwork(make_network(48, 1, 3, 28, 0), emphasis_strength=2.0)
    hurried = Recipe(**{**RECIPE.__dict__, "steps": 10**9, "max_minutes": 1 / 60})
    pairs = Pairs(photos, things=4, side_px=28, steps=10**6, seed=1, shares=SHARES)
    asked = itertools.count()
    last = train(network, (pairs[next(asked)] for _ in range(len(pairs))), hurried, print)
    drawn = next(asked)
    assert 1 < drawn < len(pairs), "it has trained, and has not gone through the schedule"
    assert last.step == drawn - 1, "the last batch was drawn when time was up"


def test_a_checkpoint_is_gone_on_from_and_its_positions_are_stretched(tmp_path):
    network = make_network(48, 2, 3, 56, 0)
    network.save_pretrained(tmp_path)
    same, larger = (loaded(tmp_path, 48, 2, 3, side) for side in (56, 112))
    places = network.embeddings.position_embeddings
    assert torch.equal(same.embeddings.position_embeddings, places)
    stretched = larger.embeddings.position_embeddings[0, 1:].reshape(8, 8, 48)
    assert larger.config.image_size == 112
    assert torch.equal(larger.embeddings.position_embeddings[0, 0], places[0, 0])
    inner = places[0, 1:].reshape(4, 4, 48)
    assert torch.allclose(stretched.mean(dim=(0, 1)), inner.mean(dim=(0, 1)), atol=0.02)
    with pytest.raises(ConfigError, match=r"\(48, 2, 3\).*\(48, 3, 3\)"):
        loaded(tmp_path, 48, 3, 3, 56)


def test_the_command_writes_a_checkpoint_that_the_encoder_loads_and_a_card(photos, base_settings, tmp_path):
    for number, photo in enumerate(photos):
        photo.save(tmp_path / f"{number}.png")
    shape = {"steps": 2, "pairs_per_batch": 8, "hidden_size": 48, "layers": 1, "resolution_px": 28, "workers": 0, "threads": 1}
    training = base_settings.training.model_copy(update=shape)
    settings = base_settings.model_copy(update={"training": training})
    given = argparse.Namespace(photos=tmp_path, out=tmp_path / "out", start=None, about="Noise of our own.")
    run(settings, given)
    text = (tmp_path / "out/README.md").read_text()
    assert "12 photos" in text and "Noise of our own." in text and "{" not in text
    encoder = make_encoder(settings.encoder.model_copy(update={"name": "dinov2", "weights": str(tmp_path / "out")}))
    assert encode_pictures(encoder, [np.asarray(photo) for photo in photos]).shape == (12, 4 * 48)
    with pytest.raises(ConfigError, match="not an empty folder"):
        run(settings, given)
