"""The page in a real browser, and what it is made of."""

from __future__ import annotations

import dataclasses
import datetime
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from bannermap.report.page import Card, Page, Picture, Step, render
from bannermap.report.thumbnails import thumbnail

DAY = datetime.date(2026, 1, 31)
HOSTILE = "<script>document.title='owned'</script>\"'&"


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def noise(seed: int, size=(300, 250)) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.NEAREST)


def card(number: int, **changes) -> Card:
    pictures = [Picture(thumbnail(encoded(noise(10 * number + i)), 112), 1, 0.9) for i in range(3)]
    base = Card(
        cluster_id=f"{number:032x}",
        size=100 - number,
        nodes=3,
        cohesion=0.5 + 0.04 * number,
        threshold=0.75,
        depth=0,
        first_seen_dt=DAY - datetime.timedelta(days=(7 * number) % 10),
        last_seen_dt=DAY,
        advertisers=[(f"Brand {number}", 3)],
        pictures=pictures,
        impressions=1000,
        clicks=(number * 37) % 100,
    )
    return dataclasses.replace(base, **changes)


def page(**changes) -> Page:
    base = Page(
        day=DAY,
        clustering_id="2026-01-31-abc",
        encoder_id="perceptual",
        funnel=[Step("Log rows of the day", 1234, "5 refused"), Step("Clusters", 12)],
        days=[],
        cards=[card(n) for n in range(11)] + [card(11, advertisers=[(HOSTILE, 1)], pictures=[Picture(None, 1)])],
        all_clusters=40,
        outliers=[Picture(thumbnail(encoded(noise(999, (728, 90))), 112), 2)],
        all_outliers=2,
        failures=[{"status": "truncated", "banners": 3, "examples": [{"image_url": HOSTILE, "error": HOSTILE}]}],
        rejects=[("dedupe_banners", "no_banner_id_and_no_image_url", 5)],
        runs=[("dedupe_banners", 1.5, "read 1.0")],
    )
    return dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def browser():
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if not (driver and chromium):
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1440,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield running
    running.quit()


@pytest.fixture
def opened(browser, tmp_path):
    (tmp_path / "index.html").write_text(render(page()))
    browser.get(f"file://{tmp_path}/index.html")
    return browser


def visible(browser) -> list[str]:
    script = "return [...document.querySelectorAll('.card')].filter(c => !c.hidden).map(c => c.querySelector('code').textContent)"
    return browser.execute_script(script)


def choose(browser, order: str) -> list[str]:
    script = "const s = document.getElementById('sort'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))"
    browser.execute_script(script, order)
    return visible(browser)


def test_the_page_opens_without_errors_or_network(opened):
    errors = [e for e in opened.get_log("browser") if e["level"] == "SEVERE"]
    asked = [e["message"] for e in opened.get_log("performance") if "Network.requestWillBeSent" in e["message"]]
    assert errors == []
    assert not [m for m in asked if '"url":"http' in m]
    assert opened.title == f"Banner clusters, {DAY}"
    assert len(visible(opened)) == 12
    assert "12 of 40 clusters shown" in opened.find_element("id", "shown").text


def test_sorting_and_searching(opened):
    cards = {c.cluster_id: c for c in page().cards}
    orders = {
        "size": lambda c: -c.size,
        "cohesion": lambda c: c.cohesion,
        "newest": lambda c: -c.first_seen_dt.toordinal(),
        "ctr": lambda c: -(c.ctr or 0),
    }
    for name, key in orders.items():
        values = [key(cards[i]) for i in choose(opened, name)]
        assert values == sorted(values), name
    opened.find_element("id", "search").send_keys("BRAND 7")
    assert visible(opened) == [f"{7:032x}"]
    assert "1 of 12 match" in opened.find_element("id", "shown").text
    opened.find_element("id", "search").send_keys(" nothing")
    assert opened.find_element("id", "none").is_displayed()


def test_hostile_text_stays_text(opened):
    assert "owned" not in opened.title
    assert opened.find_element("css selector", "#failures code").text == HOSTILE
    assert HOSTILE in opened.find_element("css selector", f"[data-words*='{11:032x}'] dl").text


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_sticks_out(opened, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width


def test_equal_figures_give_an_equal_page():
    assert render(page()) == render(page())
    assert "not a number" not in render(page(cards=[], outliers=[], failures=[], rejects=[], runs=[]))


@pytest.mark.parametrize(
    ("size", "expected"), [((300, 250), (112, 93)), ((728, 90), (112, 14)), ((160, 600), (30, 112)), ((20, 10), (20, 10))]
)
def test_thumbnails_keep_proportions_and_never_grow(size, expected):
    assert Image.open(io.BytesIO(thumbnail(encoded(noise(1, size)), 112))).size == expected


def test_thumbnails_show_the_drawn_frame_and_white_behind_transparency():
    blank, drawn = Image.new("RGB", (100, 80), "white"), noise(2, (100, 80))
    gif = encoded(blank, "GIF", save_all=True, append_images=[drawn, blank])
    shown = np.asarray(Image.open(io.BytesIO(thumbnail(gif, 112))).convert("RGB")).astype(int)
    assert np.abs(shown - np.asarray(drawn).astype(int)).mean() < 20
    clear = Image.new("RGBA", (50, 50), (0, 0, 0, 0))
    assert np.asarray(Image.open(io.BytesIO(thumbnail(encoded(clear), 112))).convert("RGB")).min() > 250


@pytest.mark.parametrize("data", [b"", b"<html>", encoded(noise(3))[:200]])
def test_a_broken_picture_is_a_placeholder(data):
    assert thumbnail(data, 112) is None
