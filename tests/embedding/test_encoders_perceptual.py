"""The perceptual encoder: unit vectors that depend on the banner alone, near for copies, far for strangers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from bannermap.embedding.decoding.borders import trimmed
from bannermap.embedding.encoders.interface import encode_pictures
from bannermap.embedding.encoders.perceptual import PerceptualEncoder

ENCODER = PerceptualEncoder(trim_borders=True)


def recompressed(image):
    target = io.BytesIO()
    image.save(target, "JPEG", quality=40)
    return Image.open(target).convert("RGB")


COPIES = {
    "recompressed": recompressed,
    "half": lambda i: i.resize((i.width // 2, i.height // 2)),
    "brighter": lambda i: ImageEnhance.Brightness(i).enhance(1.1),
    "cropped": lambda i: i.crop((i.width // 40, i.height // 40, i.width - i.width // 50, i.height - i.height // 50)),
    "letterboxed": lambda i: ImageOps.expand(i, (60, 0), (255, 255, 255)),
}


def vectors(images) -> np.ndarray:
    return encode_pictures(ENCODER, [np.asarray(i) for i in images])


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 10, 40)])
@pytest.mark.parametrize("size", [(1, 1), (728, 90), (3, 500)])
def test_any_plain_image_gives_a_unit_vector(colour, size):
    vector = vectors([Image.new("RGB", size, colour)])
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector[0]) == pytest.approx(1.0, abs=1e-6)


def test_a_vector_depends_on_its_image_alone():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (50 + n, 80, 3), dtype=np.uint8) for n in range(9)]
    together = encode_pictures(ENCODER, images)
    assert np.array_equal(np.concatenate([encode_pictures(ENCODER, [i]) for i in images]), together)
    assert np.array_equal(encode_pictures(ENCODER, images[::-1])[::-1], together)


def test_borders_are_trimmed_and_plain_images_kept():
    image = np.full((30, 40, 3), 250, np.uint8)
    image[10:20, 5:35] = np.random.default_rng(0).integers(0, 200, (10, 30, 3))
    assert np.array_equal(trimmed(image), image[10:20, 5:35])
    assert trimmed(np.zeros((4, 4, 3), np.uint8)).shape == (4, 4, 3)


def test_what_differs_only_outside_a_centre_crop_is_seen():
    strip = np.random.default_rng(1).integers(0, 256, (90, 728, 3), dtype=np.uint8)
    other = strip.copy()
    other[:, :300] = 255 - other[:, :300]
    a, b = encode_pictures(ENCODER, [strip, other])
    assert a @ b < 0.9


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_photos_are_near_and_strangers_far(kind, shared_data):
    names = sorted((shared_data / "clothing").rglob("*.jpg"))[::60]
    photos = [Image.open(n).convert("RGB") for n in names]
    original, copies = vectors(photos), vectors([COPIES[kind](p) for p in photos])
    scores = original @ copies.T
    own, others = np.diag(scores), scores[~np.eye(len(photos), dtype=bool)]
    assert (scores.argmax(axis=0) == np.arange(len(photos))).all()
    assert np.percentile(own, 5) > 0.9 > 0.75 > np.percentile(others, 99)
