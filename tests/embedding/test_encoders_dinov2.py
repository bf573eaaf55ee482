"""DINOv2: the pooled vector against eager attention and plain loops, for any grid, with and without registers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode

from bannermap.embedding.decoding.resizing import Box
from bannermap.embedding.decoding.views import View
from bannermap.embedding.encoders.dinov2 import Dinov2Encoder
from bannermap.embedding.encoders.emphasis import CELLS
from bannermap.embedding.encoders.interface import encode_pictures
from bannermap.embedding.encoders.pooling import emphasis_weights, pooled
from bannermap.platform.errors import ConfigError

torch.set_num_threads(1)  # models this small only wait for each other's threads, and tests run beside others
MEAN, SPREAD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
SHAPE = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 56, "patch_size": 14}


@pytest.fixture(scope="module", params=[0, 4], ids=["plain", "registers"])
def checkpoint(request, tmp_path_factory):
    """A folder with random weights of a small model, large enough that attention differs between patches."""
    torch.manual_seed(request.param)
    if request.param:
        config = transformers.Dinov2WithRegistersConfig(**SHAPE, num_register_tokens=request.param, initializer_range=0.3)
        model = transformers.Dinov2WithRegistersModel(config)
    else:
        model = transformers.Dinov2Model(transformers.Dinov2Config(**SHAPE, initializer_range=0.3))
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def encoder(checkpoint, base_settings):
    def make(**changes) -> Dinov2Encoder:
        given = {"name": "dinov2", "weights": str(checkpoint), "resolution_px": 56, "precision": "fp32", "trim_borders": False}
        return Dinov2Encoder(base_settings.encoder.model_copy(update=given | changes))

    return make


def whole(images: list[np.ndarray]) -> list[View]:
    """Pictures that need no preparing."""
    return [View(image, Box(0.0, 1.0, 0.0, 1.0)) for image in images]


def eager_vector(folder, image: np.ndarray, strength: float) -> np.ndarray:
    """The definition, by loops over patches in float64, on what an eager model gives."""
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    pixels = torch.tensor(((image / 255.0 - MEAN) / SPREAD).transpose(2, 0, 1)[None], dtype=torch.float32)
    with torch.no_grad():
        output = model(pixel_values=pixels, output_attentions=True)
    skipped = 1 + getattr(model.config, "num_register_tokens", 0)
    tokens = output.last_hidden_state[0].double().numpy()
    attention = output.attentions[-1][0].double().numpy()[:, 0, skipped:].mean(axis=0)
    standardised = (attention - attention.mean()) / attention.std()
    weights = np.exp(strength * standardised) / np.exp(strength * standardised).sum()
    patches = tokens[skipped:]
    mean = sum(w * p for w, p in zip(weights, patches, strict=True))
    blocks = [tokens[0], mean, mean, np.max(patches, axis=0)]
    joined = np.concatenate([b / np.linalg.norm(b) for b in blocks])
    return joined / np.linalg.norm(joined)


@pytest.mark.parametrize("strength", [0.0, 2.0, 4.0])
@pytest.mark.parametrize("size", [(56, 56), (28, 112), (14, 224), (98, 28)])
def test_vectors_equal_the_definition_on_eager_attention(checkpoint, encoder, strength, size):
    images = list(np.random.default_rng(size[0]).integers(0, 256, (3, *size, 3), dtype=np.uint8))
    vectors = encoder(emphasis_strength=strength).encode(whole(images)).vectors
    expected = np.array([eager_vector(checkpoint, image, strength) for image in images])
    assert vectors.dtype == np.float32
    assert np.abs(vectors - expected).max() <= 1e-5


def test_emphasis_changes_vectors_and_none_is_the_plain_mean():
    rng = torch.Generator().manual_seed(1)
    cls, patches, attention = (torch.randn(size, generator=rng) for size in ((5, 8), (5, 12, 8), (5, 12)))
    mean = pooled(cls, patches, emphasis_weights(attention, 0.0))[:, 8:16]
    assert torch.allclose(mean * 2, torch.nn.functional.normalize(patches.mean(dim=1), dim=1), atol=1e-6)
    assert not torch.allclose(mean, pooled(cls, patches, emphasis_weights(attention, 2.0))[:, 8:16], atol=1e-3)


def test_even_attention_gives_even_weights_at_any_strength():
    assert torch.allclose(emphasis_weights(torch.full((2, 7), 0.125), 4.0), torch.full((2, 7), 1 / 7))


class Largest(TorchDispatchMode):
    """Notes each tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else (result,):
            if isinstance(one, torch.Tensor):
                self.shapes.add(tuple(one.shape))
        return result


def test_no_full_map_of_attention_is_ever_built(checkpoint, encoder):
    images = list(np.random.default_rng(0).integers(0, 256, (2, 56, 112, 3), dtype=np.uint8))
    tokens = 1 + 32 + getattr(transformers.AutoConfig.from_pretrained(checkpoint), "num_register_tokens", 0)

    def squares(shapes):
        return [s for s in shapes if s[-2:] == (tokens, tokens)]

    with Largest() as ours:
        encoder().encode(whole(images))
    model = transformers.AutoModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    with torch.no_grad(), Largest() as eager:
        model(pixel_values=torch.zeros(2, 3, 56, 112))
    assert squares(eager.shapes), "the check sees the map that eager attention builds"
    assert not squares(ours.shapes)


def test_order_and_company_of_banners_do_not_matter(encoder):
    rng = np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (int(h), int(w), 3), dtype=np.uint8) for h, w in rng.integers(20, 300, (9, 2))]
    for mode in ("resize", "letterbox", "grid"):
        one = encoder(resize_mode=mode, max_batch_tokens=70)
        together = encode_pictures(one, pictures)
        alone = np.concatenate([encode_pictures(one, [p]) for p in pictures])
        assert np.abs(together - alone).max() <= 1e-5
        assert np.abs(encode_pictures(one, pictures[::-1])[::-1] - together).max() <= 1e-5


def test_what_differs_only_outside_a_centre_crop_is_seen_by_all_other_modes(encoder):
    strip = np.random.default_rng(1).integers(0, 256, (90, 728, 3), dtype=np.uint8)
    other = strip.copy()
    other[:, :300] = 255 - other[:, :300]
    for mode in ("resize", "letterbox", "grid", "center_crop"):
        a, b = encode_pictures(encoder(resize_mode=mode), [strip, other])
        assert np.array_equal(a, b) == (mode == "center_crop")


def test_half_precision_is_another_encoder_and_nearly_the_same_vector(encoder):
    images = list(np.random.default_rng(0).integers(0, 256, (4, 56, 56, 3), dtype=np.uint8))
    full, half = encoder(), encoder(precision="bf16")
    assert full.encoder_id != half.encoder_id
    assert (full.encode(whole(images)).vectors * half.encode(whole(images)).vectors).sum(axis=1).min() > 0.99


def test_the_id_names_all_that_changes_a_vector_and_nothing_else(encoder):
    base = encoder().encoder_id
    changes = ({"emphasis_strength": 1.0}, {"resize_mode": "grid"}, {"resolution_px": 70}, {"trim_borders": True})
    assert len({base, *(encoder(**c).encoder_id for c in changes)}) == 1 + len(changes)
    assert encoder(max_batch_tokens=99).encoder_id == base


def test_a_resolution_that_patches_do_not_divide_is_refused_with_the_nearest_that_they_do(encoder):
    with pytest.raises(ConfigError, match=r"100 .*take 98"):
        encoder(resolution_px=100)


def eager_weights(folder, image: np.ndarray, strength: float) -> np.ndarray:
    """What each patch weighs in the vector, by the definition on eager attention; (rows, columns)."""
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    pixels = torch.tensor(((image / 255.0 - MEAN) / SPREAD).transpose(2, 0, 1)[None], dtype=torch.float32)
    with torch.no_grad():
        attentions = model(pixel_values=pixels, output_attentions=True).attentions
    skipped = 1 + getattr(model.config, "num_register_tokens", 0)
    attention = attentions[-1][0].double().numpy()[:, 0, skipped:].mean(axis=0)
    weights = np.exp(strength * (attention - attention.mean()) / attention.std())
    return weights.reshape(image.shape[0] // 14, image.shape[1] // 14)


@pytest.mark.parametrize("size", [(56, 56), (28, 112), (14, 224)])
def test_the_map_is_what_eager_attention_makes_each_patch_weigh(checkpoint, encoder, size):
    images = list(np.random.default_rng(size[1]).integers(0, 256, (3, *size, 3), dtype=np.uint8))
    found = encoder(emphasis_strength=2.0).encode(whole(images)).emphasis
    assert found.shape == (3, CELLS, CELLS) and found.dtype == np.uint8
    for image, seen in zip(images, found, strict=True):
        weights = eager_weights(checkpoint, image, 2.0)
        rows, columns = (np.arange(CELLS) * count // CELLS for count in weights.shape)  # patches are as large as cells, or larger
        assert np.abs(seen - 255 * weights[rows][:, columns] / weights.max()).max() <= 1


def test_maps_stay_with_their_pictures_whatever_the_passes(encoder):
    rng = np.random.default_rng(8)
    pictures = [rng.integers(0, 256, (int(h), int(w), 3), dtype=np.uint8) for h, w in rng.integers(20, 300, (7, 2))]
    one = encoder(resize_mode="grid", max_batch_tokens=40)
    views = [one.prepare(p) for p in pictures]
    together = one.encode(views).emphasis.astype(int)
    alone = np.concatenate([one.encode([v]).emphasis for v in views])
    assert np.abs(together - alone).max() <= 1
    assert len({m.tobytes() for m in alone}) == len(pictures)


def test_without_emphasis_there_is_no_map(encoder):
    pictures = [np.zeros((30, 40, 3), np.uint8)]
    one = encoder(emphasis_strength=0.0)
    assert one.encode([one.prepare(p) for p in pictures]).emphasis is None
