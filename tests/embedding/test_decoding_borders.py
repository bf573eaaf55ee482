"""Borders: bars of all kinds go, what belongs to the banner stays."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from bannermap.embedding.decoding.borders import EDGE_LINES, EDGE_SHARE, LEAST_SHARE, RINGING, ROUNDS, TOLERANCE, _bar, trimmed


def content(height: int = 90, width: int = 130, seed: int = 0) -> np.ndarray:
    """Bright and noisy everywhere, so that no line of it could be a bar on a dark ground."""
    return np.random.default_rng(seed).integers(100, 256, (height, width, 3), dtype=np.uint8)


def banner(text: str, size=(300, 100), ground=(240, 200, 30)) -> np.ndarray:
    image = Image.new("RGB", size, ground)
    ImageDraw.Draw(image).text((20, 30), text, fill=(0, 0, 80), font=ImageFont.load_default(28))
    return np.asarray(image)


def padded(pixels: np.ndarray, top=0, bottom=0, left=0, right=0, colour=(0, 0, 0)) -> np.ndarray:
    height, width, _ = pixels.shape
    out = np.empty((height + top + bottom, width + left + right, 3), np.uint8)
    out[:] = colour
    out[top : top + height, left : left + width] = pixels
    return out


def recompressed(pixels: np.ndarray, quality: int = 40) -> np.ndarray:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=quality)
    return np.asarray(Image.open(target))


@pytest.mark.parametrize("sides", [{"top": 40}, {"left": 7}, {"bottom": 1}, {"top": 30, "bottom": 31}, {"left": 3, "right": 60}])
def test_bars_go_whichever_sides_they_are_on(sides):
    assert np.array_equal(trimmed(padded(content(), **sides)), content())


def test_bars_of_several_colours_and_within_each_other_go():
    pixels = padded(padded(content(), top=20, colour=(9, 9, 9)), bottom=25, colour=(250, 0, 0))
    pixels = padded(padded(pixels, left=11, right=12, colour=(0, 0, 90)), 1, 1, 1, 1, colour=(0, 255, 0))
    assert np.array_equal(trimmed(pixels), content())


def test_a_letterboxed_banner_comes_down_to_what_the_banner_comes_down_to():
    rng = np.random.default_rng(5)
    for n in range(40):
        pixels = banner(f"SALE {n}") if n % 2 else content(seed=n)
        bars = dict(zip(("top", "bottom", "left", "right"), rng.integers(0, 80, 4).tolist(), strict=True))
        shown = trimmed(padded(pixels, **bars))
        assert np.array_equal(shown, pixels)
        assert np.array_equal(trimmed(shown), shown)


@pytest.mark.parametrize("margins", [(50, 60, 70, 80), (0, 90, 0, 100), (3, 3, 3, 3)])
def test_a_frame_however_wide_goes_but_not_the_margins_of_text(margins):
    assert np.array_equal(trimmed(padded(content(), *margins)), content())
    for text in ("ILLEGAL", "I", "HIT", "1"):
        pixels = banner(text)
        assert np.array_equal(trimmed(padded(pixels, *margins)), pixels)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (40, 90, 160)])
def test_bars_of_a_recompressed_copy_go_but_for_what_bleeds_within_a_block(colour):
    for pixels in (banner("BIG SUMMER SALE"), content() // 2 + 60):
        copy = recompressed(padded(pixels, 61, 70, 0, 0, colour))
        assert abs(trimmed(copy).shape[0] - len(pixels)) <= 8 and trimmed(copy).shape[1] == pixels.shape[1]


@pytest.mark.parametrize("ground", [(255, 255, 255), (240, 200, 30), (0, 0, 0)])
def test_text_on_a_plain_ground_keeps_its_margins(ground):
    pixels = banner("SALE", ground=ground)
    assert np.array_equal(trimmed(pixels), pixels)
    assert trimmed(recompressed(pixels)).shape == pixels.shape
    at_the_edge = padded(banner("I", (300, 100), (9, 9, 9)), 0, 0, 0, 0)
    at_the_edge[0, 3:7] = 255
    assert np.array_equal(trimmed(at_the_edge), at_the_edge)


def test_two_plain_banners_never_become_the_same():
    grounds = [(255, 255, 255), (240, 200, 30), (90, 200, 200)]
    shown = [trimmed(banner("SALE", ground=g)).tobytes() for g in grounds] + [
        trimmed(banner("SALE", (w, 100))).tobytes() for w in (200, 400)
    ]
    assert len(set(shown)) == 5


def test_nothing_is_trimmed_to_nothing():
    for size in ((1, 1), (1, 500), (500, 1), (40, 40)):
        plain = np.full((*size, 3), 77, np.uint8)
        assert np.array_equal(trimmed(plain), plain)
    thin = padded(content(2, 130), 60, 60)
    assert trimmed(thin).shape == thin.shape
    enough = padded(content(10, 130), 60, 60)
    assert len(enough) * LEAST_SHARE < 10 and np.array_equal(trimmed(enough), content(10, 130))


def test_a_gradient_is_no_bar():
    ramp = np.repeat(np.linspace(0, 255, 200).astype(np.uint8)[:, None], 90, axis=1)
    pixels = np.repeat(ramp[:, :, None], 3, axis=2)
    assert len(trimmed(pixels)) >= len(pixels) - 2 * ROUNDS * (TOLERANCE + EDGE_LINES)


def naive_bar(lines: np.ndarray, framed: bool) -> int | None:
    """The rule, pixel by pixel."""
    colour = np.median(lines[0], axis=0)
    far = [[max(abs(float(v) - c) for v, c in zip(p, colour, strict=True)) for p in line] for line in lines]
    plain = next((n for n, line in enumerate(far) if max(line) > TOLERANCE), len(lines))
    places = [x for x in range(len(lines[0])) if not framed or any(line[x] > TOLERANCE for line in far[plain:])]
    if plain == 0:
        return 0
    for n in range(plain, min(plain + EDGE_LINES, len(lines))):
        seen = far[n][places[0] : places[-1] + 1]
        if sum(d > TOLERANCE for d in seen) >= EDGE_SHARE * len(seen):
            return n
        if max(seen) > RINGING:
            return None
    return None


@pytest.mark.parametrize("framed", [False, True])
def test_bars_are_those_of_the_rule(framed):
    rng = np.random.default_rng(8)
    found = set()
    for _ in range(300):
        lines = rng.integers(40, 40 + rng.integers(2, 14), (24, 10, 3)).astype(np.uint8)
        start, share = int(rng.integers(0, 25)), rng.random()
        lines[start:][rng.random((24 - start, 10)) < share] = rng.choice([70, 105, 200])
        lines[:, : int(rng.integers(0, 5))] = 45
        assert _bar(lines, framed) == naive_bar(lines, framed)
        found.add(naive_bar(lines, framed))
    assert len(found) > 10 and {None, 0} < found
