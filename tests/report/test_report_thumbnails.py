"""Thumbnails and their figures."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from bannermap.embedding.decoding.decode import decode
from bannermap.report.thumbnails import Drawn, draw, laplacian_variance


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def noise(seed: int, size=(300, 250)) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.NEAREST)


def shown(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(draw(data, [112]).files[112]))


@settings(deadline=None)  # the first call opens codecs
@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([16, 56, 112]))
def test_a_thumbnail_has_the_area_of_a_square_at_most_and_its_proportions(width, height, side):
    file = draw(encoded(Image.new("RGB", (width, height), "red")), [side]).files[side]
    w, h = Image.open(io.BytesIO(file)).size
    assert w * h <= side * side and max(w, h) <= 2 * side
    assert w <= width and h <= height
    assert abs(w - h * width / height) <= max(1, width / height) + 1e-6
    allowed = min(width * height, side * side, (2 * side) ** 2 * min(width, height) / max(width, height))
    assert (w + 1) * (h + 1) >= allowed * (1 - 1e-9)


def test_several_sides_come_of_one_decoding():
    found = draw(encoded(noise(1)), [40, 112])
    assert [math.prod(Image.open(io.BytesIO(f)).size) for f in found.files.values()] == pytest.approx([1600, 12544], rel=0.05)


def test_thumbnails_show_the_drawn_frame_and_white_behind_transparency():
    blank, drawn = Image.new("RGB", (100, 80), "white"), noise(2, (100, 80))
    gif = encoded(blank, "GIF", save_all=True, append_images=[drawn, blank])
    seen = np.asarray(shown(gif).convert("RGB")).astype(int)
    assert np.abs(seen - np.asarray(drawn).astype(int)).mean() < 20
    clear = Image.new("RGBA", (50, 50), (0, 0, 0, 0))
    assert np.asarray(shown(encoded(clear)).convert("RGB")).min() > 250


def turned_by(turned: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = turned, "a description"
    return exif


def as_decoded(data: bytes, base_settings) -> Drawn:
    return draw(encoded(Image.fromarray(decode(data, base_settings.decode).pixels)), [56])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_a_picture_is_as_upright_as_it_was_decoded(kind, turned, base_settings):
    data = encoded(noise(4, (60, 40)), kind, exif=turned_by(turned))
    assert draw(data, [56]) == as_decoded(data, base_settings)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_as_upright_as_it_was_decoded(kind, base_settings):
    frames = {"save_all": True, "append_images": [noise(5, (60, 40))], "lossless": True}
    data = encoded(Image.new("RGB", (60, 40), "white"), kind, exif=turned_by(6), **frames)
    assert draw(data, [56]) == as_decoded(data, base_settings)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_drawing_asks_for_no_entry_of_exif_but_the_orientation(kind, monkeypatch):
    def refused(*_: object) -> None:
        raise AssertionError("entries of strangers are parsed")

    data, plain = (encoded(noise(6, (60, 40)), kind, exif=turned_by(turned)) for turned in (3, 1))
    monkeypatch.setattr("PIL.Image.Exif.load", refused)
    assert draw(data, [56]).files and (draw(data, [56]) == draw(plain, [56])) == (kind == "GIF")


@pytest.mark.parametrize("data", [b"", b"<html>", encoded(noise(3))[:200]])
def test_a_broken_picture_is_a_placeholder(data):
    assert draw(data, [112]) == Drawn()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_sharpness_is_the_variance_of_the_laplacian(height, width, seed):
    grey = np.random.default_rng(seed).uniform(0, 255, (height, width))
    sums = [
        grey[y - 1, x] + grey[y + 1, x] + grey[y, x - 1] + grey[y, x + 1] - 4 * grey[y, x]
        for y in range(1, height - 1)
        for x in range(1, width - 1)
    ]
    mean = sum(sums) / max(len(sums), 1)
    expected = sum((s - mean) ** 2 for s in sums) / max(len(sums), 1)
    assert laplacian_variance(grey) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_blurring_lowers_sharpness_and_darkening_brightness(seed):
    picture = noise(seed)
    plain = draw(encoded(picture), [16])
    blurred = draw(encoded(picture.filter(ImageFilter.GaussianBlur(4))), [16])
    dark = draw(encoded(picture.point(lambda v: v // 4)), [16])
    assert blurred.sharpness < plain.sharpness and blurred.brightness == pytest.approx(plain.brightness, abs=0.02)
    assert dark.brightness < plain.brightness
