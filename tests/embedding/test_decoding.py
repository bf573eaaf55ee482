"""Decoding: every format right, every broken file a typed failure, the pixel hash as it is defined."""

from __future__ import annotations

import hashlib
import io
import struct

import numpy as np
import pytest
from PIL import Image

from bannermap.embedding.decoding.decode import decode
from bannermap.embedding.decoding.frames import information
from bannermap.embedding.statuses import STATUSES, Failure


def picture(seed=0, size=(64, 40)) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.NEAREST)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def animation(frames: list[Image.Image]) -> bytes:
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


@pytest.fixture
def settings(base_settings):
    return base_settings.decode


def failure(data, settings) -> str:
    with pytest.raises(Failure) as caught:
        decode(data, settings)
    assert caught.value.status in STATUSES and caught.value.message
    return caught.value.status


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_pixel_hash_is_sha256_of_sizes_and_pixels_whatever_the_format(kind, settings):
    image = picture()
    expected = hashlib.sha256(struct.pack("<III", 64, 40, 1) + np.asarray(image).tobytes()).hexdigest()
    assert decode(encoded(image, kind), settings).pixel_hash == expected
    assert decode(encoded(image, "WEBP", lossless=True), settings).pixel_hash == expected


def test_pixel_hash_covers_every_frame_but_not_their_durations(settings):
    frames = [picture(n).quantize(64) for n in range(4)]
    whole = decode(animation(frames), settings)
    composed = b"".join(np.asarray(f.convert("RGB")).tobytes() for f in frames)
    assert whole.pixel_hash == hashlib.sha256(struct.pack("<III", 64, 40, 4) + composed).hexdigest()
    slower = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=900)
    assert decode(slower, settings).pixel_hash == whole.pixel_hash
    other = [*frames[:3], picture(9).quantize(64)]
    assert decode(animation(other), settings).pixel_hash != whole.pixel_hash


def test_the_picture_of_an_animation_is_not_its_blank_first_frame(settings):
    blank, drawn = Image.new("RGB", (64, 40), "white").quantize(4), picture(3).quantize(128)
    shown = decode(animation([blank, drawn, blank]), settings)
    assert shown.frames == 3
    assert np.array_equal(shown.pixels, np.asarray(drawn.convert("RGB")))
    assert information(shown.pixels) > information(np.asarray(blank.convert("RGB"))) == 0.0


def test_transparency_is_composited_on_white_in_every_mode(settings):
    image = picture()
    alpha = Image.fromarray(np.where(np.arange(64)[None, :] < 32, 0, 255).astype(np.uint8).repeat(40, axis=0))
    expected = np.where((np.arange(64) < 32)[None, :, None], 255, np.asarray(image))
    rgba = image.copy()
    rgba.putalpha(alpha)
    assert np.array_equal(decode(encoded(rgba, "PNG"), settings).pixels, expected)
    grey = image.convert("L")
    grey.putalpha(alpha)
    assert (decode(encoded(grey, "PNG"), settings).pixels[:, :32] == 255).all()
    palette = image.quantize(16)
    index = palette.getpixel((0, 0))
    shown = decode(encoded(palette, "PNG", transparency=index), settings).pixels
    assert (shown[np.asarray(palette) == index] == 255).all()


def test_exif_orientation_is_applied(settings):
    image, exif = picture(), Image.Exif()
    exif[0x0112] = 6
    turned = decode(encoded(image, "PNG", exif=exif), settings)
    assert np.array_equal(turned.pixels, np.rot90(np.asarray(image), -1))


def test_sixteen_bits_are_scaled_not_cut(settings):
    values = np.linspace(0, 65535, 256 * 2).astype(np.uint16).reshape(2, 256)
    shown = decode(encoded(Image.fromarray(values), "PNG"), settings).pixels[:, :, 0]
    assert np.abs(shown.astype(int) - np.rint(values / 257.0)).max() == 0


def test_cmyk_and_palette_look_like_the_original(settings):
    image = picture(size=(256, 160))
    original = np.asarray(image).astype(int)
    for data in (encoded(image.convert("CMYK"), "JPEG", quality=95), encoded(image.quantize(256), "PNG")):
        assert np.abs(decode(data, settings).pixels.astype(int) - original).mean() < 6


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "ANIMATION"])
def test_a_file_cut_anywhere_is_a_typed_failure(kind, settings):
    frames = [picture(n, (120, 90)).quantize(64) for n in range(3)]
    data = animation(frames) if kind == "ANIMATION" else encoded(picture(1, (120, 90)), kind)
    assert decode(data, settings).pixels.shape == (90, 120, 3)
    cuts = sorted({*np.linspace(0, len(data) - 2, 40).astype(int).tolist(), len(data) - 2})
    outcomes = {failure(data[:cut], settings) for cut in cuts}
    assert "truncated" in outcomes
    assert outcomes <= {"truncated", "not_an_image", "decode_error"}


def test_bombs_are_refused_before_they_are_decoded(settings):
    one = settings.model_copy(update={"max_pixels": 64 * 40 * 3, "max_frames": 4})
    frames = [picture(n).quantize(8) for n in range(6)]
    assert decode(animation(frames[:3]), one).frames == 3
    assert failure(animation(frames[:4]), one) == "too_many_pixels"
    assert failure(animation(frames), one) == "too_many_frames"
    header = encoded(Image.new("1", (30000, 30000)), "PNG")
    assert failure(header, settings) == "too_many_pixels"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "not_an_image"),
        (b"<!doctype html><p>404", "not_an_image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, None),
        (b"%PDF-1.7 ...", "unsupported_format"),
        (encoded(picture(), "TIFF"), "unsupported_format"),
    ],
)
def test_what_is_no_allowed_image_is_named(data, status, settings):
    assert failure(data, settings) == status or status is None


def test_random_damage_never_raises_anything_untyped(settings):
    rng = np.random.default_rng(5)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP"):
        data = encoded(picture(2, (90, 70)), kind)
        for _ in range(60):
            damaged = bytearray(data)
            for at in rng.integers(0, len(data), 4):
                damaged[at] = rng.integers(256)
            try:
                assert decode(bytes(damaged), settings).pixels.ndim == 3
            except Failure as typed:
                assert typed.status in STATUSES
