"""Animations: frames as they are seen, their count, and which of them is the picture."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hostile_images import gif
from PIL import Image

from bannermap.embedding.decoding.decode import decode, hash_frames
from bannermap.embedding.decoding.frames import FRAMES_LOOKED_AT, information, looked_at

COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 200, 0], [20, 40, 250]])
SIDE = 12


@pytest.fixture
def settings(base_settings):
    return base_settings.decode


def picture(seed: int, size=(160, 120)) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def animation(frames, kind="PNG", **options) -> bytes:
    images, target = [Image.fromarray(f) for f in frames], io.BytesIO()
    images[0].save(target, kind, save_all=True, append_images=images[1:], duration=40, **options)
    return target.getvalue()


def lzw(indices: np.ndarray) -> bytes:
    """Two-bit colours without compression: a clear code before every second one keeps codes at three bits."""
    codes = [code for n, value in enumerate(indices.ravel().tolist()) for code in ([4, value] if n % 2 == 0 else [value])]
    bits = sum(code << (3 * n) for n, code in enumerate([*codes, 5]))
    data = bits.to_bytes(3 * (len(codes) + 1) // 8 + 1, "little")
    blocks = [data[n : n + 255] for n in range(0, len(data), 255)]
    return b"\2" + b"".join(bytes([len(b)]) + b for b in blocks) + b"\0"


def random_gif(seed: int) -> tuple[bytes, np.ndarray]:
    """A GIF of parts that are transparent in places and disposed of, and its frames composed by hand.

    Its colour table is in each frame, as its writer here has four colours. The first frame covers the canvas.
    """
    rng = np.random.default_rng(seed)
    canvas = np.full((SIDE, SIDE), -1)
    blocks, seen = [], []
    for number in range(5):
        left, top = (0, 0) if number == 0 else rng.integers(0, SIDE - 2, 2).tolist()
        width, height = (SIDE, SIDE) if number == 0 else (int(rng.integers(1, SIDE - left)), int(rng.integers(1, SIDE - top)))
        indices, disposal = rng.integers(0, 4, (height, width)), int(rng.integers(1, 4 if number else 3))
        blocks.append(b"!\xf9\4" + bytes((disposal << 2 | 1, 4, 0, 3)) + b"\0")
        table = COLOURS.astype(np.uint8).tobytes()
        blocks.append(b"," + struct.pack("<HHHHB", left, top, width, height, 0x81) + table + lzw(indices))
        before = canvas.copy()
        part = canvas[top : top + height, left : left + width]
        part[indices != 3] = indices[indices != 3]
        seen.append(np.where(canvas[:, :, None] < 0, 255, COLOURS[canvas]))
        if disposal == 2:
            canvas[top : top + height, left : left + width] = -1
        elif disposal == 3:
            canvas = before
    return gif(SIDE, SIDE, *blocks), np.stack(seen).astype(np.uint8)


@pytest.mark.parametrize("seed", range(12))
def test_gif_frames_are_composed_as_the_format_says(seed, settings):
    data, seen = random_gif(seed)
    shown = decode(data, settings)
    assert shown.frames == 5
    assert shown.pixel_hash == hash_frames(SIDE, SIDE, [frame.tobytes() for frame in seen])
    assert any(np.array_equal(shown.pixels, frame) for frame in seen)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_frames_of_other_animations_are_counted_and_hashed(kind, options, settings):
    frames = [picture(n) for n in range(4)]
    data = animation(frames, kind, **options)
    shown = decode(data, settings)
    assert (shown.format, shown.frames) == (kind.lower(), 4)
    assert shown.pixel_hash == hash_frames(160, 120, [f.tobytes() for f in frames])


def test_an_animated_avif_has_its_frames(settings):
    shown = decode(animation([picture(n) for n in range(4)], "AVIF", quality=90), settings)
    assert (shown.format, shown.frames) == ("avif", 4)


def test_a_phone_photo_with_further_pictures_is_the_jpeg_it_starts_with(settings):
    first, second = picture(0), picture(1, (80, 60))
    whole = decode(animation([first, second], "MPO"), settings)
    target = io.BytesIO()
    Image.fromarray(first).save(target, "JPEG")
    assert (whole.format, whole.frames) == ("jpeg", 1)
    assert whole.pixel_hash == decode(target.getvalue(), settings).pixel_hash


def test_what_is_drawn_outside_of_the_canvas_is_not_seen(settings):
    blue = b"," + struct.pack("<HHHHB", 0, 0, 4, 4, 0x81) + COLOURS.astype(np.uint8).tobytes() + lzw(np.full((4, 4), 3))
    outside = b"," + struct.pack("<HHHHB", 2, 2, 6, 6, 0x81) + COLOURS.astype(np.uint8).tobytes() + lzw(np.full((6, 6), 1))
    seen = np.full((2, 4, 4, 3), COLOURS[3], np.uint8)
    seen[1, 2:, 2:] = COLOURS[1]
    assert decode(gif(4, 4, blue, outside), settings).pixel_hash == hash_frames(4, 4, [f.tobytes() for f in seen])


def blends(a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    shares = np.linspace(0, 1, 9)[:, None, None, None]
    return list(np.rint(a * (1 - shares) + b * shares).astype(np.uint8))


@pytest.mark.parametrize("seed", range(8))
def test_the_picture_is_never_half_way_through_a_fade(seed, settings):
    """From blank to a picture, from that to another, and to blank again: one of the two pictures is chosen."""
    blank, a, b = np.full((120, 160, 3), 255 * (seed % 2), np.uint8), picture(seed), picture(seed + 100)
    frames = [*blends(blank, a), *blends(a, b), *blends(b, blank)]
    shown = decode(animation(frames), settings).pixels
    better = max((a, b), key=information)
    assert np.array_equal(shown, better)


def test_a_blend_is_never_more_informative_than_both_of_its_ends():
    rng = np.random.default_rng(3)
    for n in range(100):
        size = tuple(rng.integers(1, 300, 2).tolist())
        a, b = picture(n, size), rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        middle = blends(a, b)[int(rng.integers(9))]
        assert information(middle) <= max(information(a), information(b)) + 2  # cells are rounded twice


def naive_information(pixels: np.ndarray) -> float:
    height, width, _ = pixels.shape
    block = -(-max(height, width) // 128)
    cells = [
        [pixels[y : y + block, x : x + block].mean(axis=(0, 1)) for x in range(0, width, block)] for y in range(0, height, block)
    ]
    grid = np.array(cells)
    return sum(float(np.abs(d).mean()) for d in (np.diff(grid, axis=0), np.diff(grid, axis=1)) if d.size)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (300, 7), (128, 128), (260, 131)])
def test_information_is_the_mean_difference_of_cells(size):
    pixels = np.random.default_rng(4).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert information(pixels) == pytest.approx(naive_information(pixels), abs=1.0)
    assert information(np.full_like(pixels, 77)) == 0.0


def test_of_equal_frames_the_earliest_is_the_picture_and_few_are_looked_at(settings):
    assert looked_at(1) == {0} and looked_at(5) == set(range(5))
    many = looked_at(200)
    assert len(many) == FRAMES_LOOKED_AT and {0, 199} <= many
    steps = np.diff(sorted(many))
    assert steps.max() - steps.min() <= 1
    a = picture(1)
    mirrored = np.ascontiguousarray(a[:, ::-1])
    assert information(a) == information(mirrored)
    assert np.array_equal(decode(animation([a, mirrored, a]), settings).pixels, a)
    assert np.array_equal(decode(animation([mirrored, a, mirrored]), settings).pixels, mirrored)
