"""Colours, orientation and transparency against raw planes; files are written here where Pillow could be wrong twice."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hostile_images import chunk, png
from PIL import Image, ImageOps

from bannermap.embedding.decoding.decode import decode
from bannermap.platform.exif import orientation, upright

RNG = np.random.default_rng(11)
HEIGHT, WIDTH = 19, 23


@pytest.fixture
def settings(base_settings):
    return base_settings.decode


def samples(top: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, top + 1, (HEIGHT, WIDTH, *shape))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def packed(values: np.ndarray, depth: int) -> bytes:
    """Rows of a PNG without filter; samples of 1 to 16 bits, most significant first."""
    rows = values.reshape(HEIGHT, -1).astype(np.int64)
    bits = (rows[:, :, None] >> np.arange(depth - 1, -1, -1) & 1).reshape(HEIGHT, -1).astype(np.uint8)
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in np.packbits(bits, axis=1)))


def raw_png(values: np.ndarray, depth: int, colours: int, *before: bytes) -> bytes:
    return png(WIDTH, HEIGHT, *before, chunk(b"IDAT", packed(values, depth)), depth=depth, colours=colours)


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Composited in real numbers; colour of 255, alpha of 1."""
    part = alpha[:, :, None]
    return colour * part + 255.0 * (1.0 - part)


def assert_shows(data: bytes, settings, expected: np.ndarray, off_by: float = 0.5001) -> None:
    shown = decode(data, settings).pixels
    assert shown.dtype == np.uint8 and shown.flags.c_contiguous
    wanted = np.broadcast_to(expected if expected.ndim == 3 else expected[:, :, None], (HEIGHT, WIDTH, 3))
    assert np.abs(shown - wanted.astype(float)).max() <= off_by


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_png_of_every_depth_with_and_without_a_transparent_value(depth, settings):
    top = 2**depth - 1
    values = samples(top)
    grey = values * 255.0 / top
    assert_shows(raw_png(values, depth, 0), settings, grey)
    hidden = int(values[3, 4])
    clear = chunk(b"tRNS", struct.pack(">H", hidden))
    assert_shows(raw_png(values, depth, 0, clear), settings, np.where(values == hidden, 255.0, grey))


@pytest.mark.parametrize("depth", [8, 16])
def test_rgb_png_with_and_without_a_transparent_colour(depth, settings):
    top, off_by = 2**depth - 1, {8: 0.0, 16: 1.0}[depth]
    values = samples(top, 3)
    rgb = values * 255.0 / top
    assert_shows(raw_png(values, depth, 2), settings, rgb, off_by)
    hidden = values[5, 6]
    clear = chunk(b"tRNS", struct.pack(">HHH", *hidden.tolist()))
    same = (values == hidden).all(axis=2)
    assert_shows(raw_png(values, depth, 2, clear), settings, np.where(same[:, :, None], 255.0, rgb), off_by)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("colours", "planes"), [(4, 1), (6, 3)])
def test_alpha_is_composited_on_white(depth, colours, planes, settings):
    """Within one level, and two where 16 bits lose their low byte in colour and alpha."""
    top = 2**depth - 1
    values = samples(top, planes + 1)
    values[0, :4, -1], values[1, :4, -1] = 0, top
    expected = on_white(np.broadcast_to(values[:, :, :-1] * 255.0 / top, (HEIGHT, WIDTH, 3)), values[:, :, -1] / top)
    assert_shows(raw_png(values, depth, colours), settings, expected, {8: 1.0, 16: 2.0}[depth])
    shown = decode(raw_png(values, depth, colours), settings).pixels
    assert (shown[0, :4] == 255).all()
    assert np.abs(shown[1, :4] - expected[1, :4]).max() <= {8: 0.0, 16: 1.0}[depth]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_with_and_without_alpha(depth, settings):
    values = samples(2**depth - 1)
    palette, alpha = RNG.integers(0, 256, (2**depth, 3)), RNG.integers(0, 256, 2**depth)
    colours = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    assert_shows(raw_png(values, depth, 3, colours), settings, palette[values].astype(float), 0)
    clear = chunk(b"tRNS", alpha.astype(np.uint8).tobytes())
    assert_shows(raw_png(values, depth, 3, colours, clear), settings, on_white(palette[values], alpha[values] / 255), 1.0)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "PNG", "BMP"])
def test_lossless_colours_are_those_that_were_stored(kind, settings):
    pixels = samples(255, 3).astype(np.uint8)
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}.get(kind, {})
    assert_shows(encoded(Image.fromarray(pixels), kind, **options), settings, pixels, 6 if kind == "AVIF" else 0)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_alpha_of_webp_and_avif_is_composited(kind, settings):
    flat = np.full((HEIGHT, WIDTH, 4), (200, 40, 90, 255), np.uint8)
    flat[:, : WIDTH // 2, 3] = 100
    options = {"WEBP": {"lossless": True, "exact": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}[kind]
    expected = on_white(flat[:, :, :3], flat[:, :, 3] / 255)
    assert_shows(encoded(Image.fromarray(flat), kind, **options), settings, expected, 3 if kind == "AVIF" else 1.0)


def test_cmyk_jpeg_is_multiplied_out(settings):
    planes = np.full((HEIGHT, WIDTH, 4), (30, 200, 90, 60), np.uint8)
    data = encoded(Image.fromarray(planes, "CMYK"), "JPEG", quality=100)
    ink = 255.0 - planes.astype(float)
    assert_shows(data, settings, ink[:, :, :3] * ink[:, :, 3:] / 255, 3)


def test_ycck_jpeg_is_turned_to_cmyk_first(settings):
    """The Adobe segment says that the same four planes are luminance, two colour differences and black."""
    planes = np.full((HEIGHT, WIDTH, 4), (100, 140, 90, 60), np.uint8)
    data = encoded(Image.fromarray(planes, "CMYK"), "JPEG", quality=100)
    at = data.index(b"Adobe")
    assert data[at + 11] == 0
    y, blue, red, black = (255.0 - planes[0, 0].astype(float)).tolist()
    rgb = np.array([y + 1.402 * (red - 128), y - 0.344136 * (blue - 128) - 0.714136 * (red - 128), y + 1.772 * (blue - 128)])
    expected = np.broadcast_to((255.0 - np.clip(rgb, 0, 255)) * black / 255, (HEIGHT, WIDTH, 3))
    shown = decode(data[: at + 11] + b"\2" + data[at + 12 :], settings).pixels
    assert np.abs(shown - expected).max() <= 4


def test_a_profile_changes_nothing(settings):
    pixels = Image.fromarray(samples(255, 3).astype(np.uint8))
    for kind in ("PNG", "JPEG", "WEBP", "AVIF"):
        plain, profiled = encoded(pixels, kind), encoded(pixels, kind, icc_profile=b"\0" * 500)
        assert decode(plain, settings).pixel_hash == decode(profiled, settings).pixel_hash


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_orientation_is_that_of_pillow(kind, turned, settings):
    pixels, exif = Image.fromarray(samples(255, 3).astype(np.uint8)), Image.Exif()
    exif[0x0112], exif[0x010E] = turned, "a description"
    data = encoded(pixels, kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert np.array_equal(decode(data, settings).pixels, expected)
    assert np.array_equal(upright(np.asarray(pixels), turned).shape, expected.shape)


def test_exif_is_read_in_both_byte_orders_and_any_bytes_are_harmless():
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, 7, 0)
        block = mark + struct.pack(order + "IH", 8, 1) + entry
        assert orientation(block) == orientation(b"Exif\0\0" + block) == 7
        for at in range(len(block)):
            assert 1 <= orientation(block[:at]) <= 8
            for value in (0, 9, 255):
                assert 1 <= orientation(block[:at] + bytes([value]) + block[at + 1 :]) <= 8
    assert orientation(b"") == 1


def test_large_pictures_are_converted_in_strips_to_the_same_pixels(settings, monkeypatch):
    values = samples(255, 4)
    data = raw_png(values, 8, 6)
    whole = decode(data, settings).pixels
    monkeypatch.setattr("bannermap.embedding.decoding.colours.STRIP_PX", 5 * WIDTH)
    assert np.array_equal(decode(data, settings).pixels, whole)
    hidden = chunk(b"tRNS", struct.pack(">H", int(values[0, 0, 0])))
    grey = raw_png(values[:, :, 0], 8, 0, hidden)
    assert_shows(grey, settings, np.where(values[:, :, 0] == values[0, 0, 0], 255.0, values[:, :, 0]), 0)
