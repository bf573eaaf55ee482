"""A browser, and a report on one page and on several, opened in it."""

from __future__ import annotations

import re
import shutil

import pytest
from report_models import COUNT, SINGLE, SPLIT, report

from bannermap.report.page import render
from bannermap.report.site import publish


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def shown():
    return report(COUNT)


@pytest.fixture(scope="session")
def site(shown, tmp_path_factory):
    """Folders of the same report on one page and on several."""
    home = tmp_path_factory.mktemp("site")
    for per_page in (SINGLE, SPLIT):
        publish(home / str(per_page), render(shown, per_page, 15_000_000).files)
    return home


@pytest.fixture
def opened(browser, site):
    """Opens a page; afterwards nothing was wrong and nothing was asked of a network."""

    def go(name: str = "index.html", per_page: int = SINGLE, width: int = 1440, scheme: str = "light"):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get("about:blank")
        browser.get(f"file://{site}/{per_page}/{name}")
        return browser

    browser.get_log("browser"), browser.get_log("performance")
    yield go
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []
    asked = [e["message"] for e in browser.get_log("performance") if "Network.requestWillBeSent" in e["message"]]
    assert not [m for m in asked if re.search(r'"url":"(?!file:|data:|about:)', m)]
