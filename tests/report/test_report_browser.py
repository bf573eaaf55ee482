"""The pages in a real browser: sorting, searching, opening, keys alone, links from elsewhere, width, colours, no network."""

from __future__ import annotations

import re
import shutil
import time

import pytest
from report_models import DAY, HOSTILE, report

from bannermap.report.page import render
from bannermap.report.site import publish

pytestmark = pytest.mark.xdist_group("report_browser")  # one browser for all
SINGLE, SPLIT = 200, 5
COUNT = 12


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


@pytest.fixture(scope="module")
def shown():
    return report(COUNT)


@pytest.fixture(scope="module")
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


def cards(browser) -> list[str]:
    return browser.execute_script("return [...document.querySelectorAll('#cards li')].map(c => c.dataset.id)")


def choose(browser, order: str) -> list[str]:
    script = "const s = document.getElementById('sort'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))"
    browser.execute_script(script, order)
    return cards(browser)


def focused(browser) -> str:
    return browser.execute_script("const f = document.activeElement; return f.closest('li')?.dataset.id || f.id || f.tagName")


def press(browser, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def title(browser) -> str:
    """Heading of the open dialog; empty where none is open."""
    return browser.execute_script("return document.querySelector('dialog[open] h2')?.textContent || ''")


def eventually(condition) -> None:
    """Changing the page takes the browser a moment."""
    for _ in range(100):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_the_overview_opens_with_all_clusters(opened, shown):
    page = opened()
    assert page.title == f"Banner clusters, {DAY}"
    assert cards(page) == [c.cluster_id for c in sorted(shown.clusters, key=lambda c: -c.size)]
    assert f"{COUNT} of {shown.all_clusters} clusters" in page.find_element("css selector", "#clusters .note").text
    assert "no picture" not in page.find_element("id", "cards").text


def test_every_picture_can_be_drawn(opened):
    page = opened()
    broken = "return [...document.images].filter(i => i.complete && !i.naturalWidth).length"
    eventually(lambda: page.execute_script("return [...document.images].every(i => i.complete)"))
    assert page.execute_script(broken) == 0
    assert page.execute_script("return document.images.length") > COUNT


@pytest.mark.parametrize("per_page", [SINGLE, SPLIT])
def test_sorting(opened, shown, per_page):
    page = opened(per_page=per_page)
    by_id = {c.cluster_id: c for c in shown.clusters}
    orders = {
        "size": lambda c: -c.size,
        "newest": lambda c: -c.born_dt.toordinal(),
        "cohesion": lambda c: c.cohesion,
        "advertisers": lambda c: -c.advertiser_count,
        "ctr": lambda c: -(-1 if c.ctr is None else c.ctr),
        "surely": lambda c: -(c.ctr_interval[0] if c.ctr_interval else -1),
    }
    offered = page.execute_script("return [...document.querySelectorAll('#sort option')].map(o => o.value)")
    assert set(offered) == set(orders)
    for order, key in orders.items():
        found = [(round(key(by_id[i]), 6), i) for i in choose(page, order)]
        assert found == sorted(found), order


@pytest.mark.parametrize("per_page", [SINGLE, SPLIT])
def test_searching(opened, shown, per_page):
    page = opened(per_page=per_page)
    box = page.find_element("id", "search")
    wanted = {
        "BRAND 7": [c for c in shown.clusters if "Brand 7" in dict(c.advertisers)],
        "brand 1": [c for c in shown.clusters if any("Brand 1" in name for name, _ in c.advertisers)],
        "shared": shown.clusters,
        shown.clusters[4].cluster_id[:9]: [shown.clusters[4]],
        "theme5-2": [c for c in shown.clusters if c.themes[5] == 2],
        "theme10-1": [c for c in shown.clusters if c.themes[10] == 1],
        "brand nothing": [],
    }
    for text, expected in wanted.items():
        box.clear()
        box.send_keys(text)
        assert sorted(cards(page)) == sorted(c.cluster_id for c in expected), text
        assert f"{len(expected)} of {COUNT} match" in page.find_element("id", "shown").text
    assert page.find_element("id", "none").is_displayed()


def test_a_theme_leads_to_its_clusters(opened, shown):
    page = opened()
    page.find_element("css selector", "[data-search='theme5-3']").click()
    assert sorted(cards(page)) == sorted(c.cluster_id for c in shown.clusters if c.themes[5] == 3)


def test_the_detail_tells_everything_about_its_cluster(opened, shown):
    cluster = next(c for c in shown.clusters if c.pairs and c.fell_out.banners and c.parent and c.impressions)
    page = opened(f"index.html#cluster-{cluster.cluster_id}")
    text = page.find_element("id", "detail").text
    assert f"{cluster.size} banners" in title(page) and cluster.cluster_id in text
    low, high = cluster.ctr_interval
    assert f"{cluster.clicks} of {cluster.impressions}: {100 * cluster.ctr:.2f} % clicks ({100 * low:.2f} to {100 * high:.2f} %)" in text
    siblings = [c for c in shown.clusters if c.parent == cluster.parent and c is not cluster]
    links = page.execute_script("return [...document.querySelectorAll('#detail a')].map(a => a.getAttribute('href'))")
    assert {f"#cluster-{c.cluster_id}" for c in siblings} | {f"#cluster-{cluster.changes[0].other}"} <= set(links)
    for said in (cluster.parent[:12], "4 banners of the group", "took banners from", "cosine 0.9700", "best quality", "and 3 more pairs"):
        assert said in text, said
    for name, banners in cluster.advertisers:
        assert f"{name} {banners} banner" in text
    heights = page.execute_script("return [...document.querySelectorAll('.dayrow span')].map(s => parseFloat(s.style.height))")
    assert heights == pytest.approx([100 * b / max(cluster.day_banners) for b in cluster.day_banners], abs=0.01)
    assert page.execute_script("return document.querySelectorAll('#detail .sheet')[0].children.length") == len(cluster.pictures)


def test_the_keyboard_alone_is_enough(opened):
    from selenium.webdriver.common.keys import Keys

    page = opened()
    press(page, "/")
    assert focused(page) == "search"
    press(page, "shared", Keys.ARROW_DOWN)
    order = cards(page)
    assert focused(page) == order[0]
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert focused(page) == order[1]
    press(page, Keys.END)
    assert focused(page) == order[-1]
    press(page, Keys.HOME, Keys.ARROW_DOWN)
    below = order.index(focused(page))
    assert below > 1
    press(page, Keys.ARROW_UP, Keys.TAB)
    assert focused(page) == order[1]
    outline = "const s = getComputedStyle(document.activeElement); return [s.outlineStyle, parseFloat(s.outlineWidth)]"
    style, width = page.execute_script(outline)
    assert style == "solid" and width >= 2
    press(page, Keys.ENTER)
    eventually(lambda: order[1][:8] in title(page))
    press(page, Keys.ARROW_RIGHT)
    eventually(lambda: order[2][:8] in title(page))
    press(page, Keys.ARROW_LEFT)
    eventually(lambda: order[1][:8] in title(page))
    press(page, Keys.ESCAPE)
    eventually(lambda: not title(page))
    assert focused(page) == order[1] and "#" not in page.current_url


def test_tab_stays_inside_an_open_detail(opened, shown):
    from selenium.webdriver.common.keys import Keys

    page = opened(f"index.html#cluster-{shown.clusters[0].cluster_id}")
    for _ in range(30):
        press(page, Keys.TAB)
        assert page.execute_script("return document.activeElement === document.body || !!document.activeElement.closest('dialog')")


@pytest.mark.parametrize("name", ["index.html", "clusters-001.html", "clusters-003.html"])
def test_a_link_to_a_cluster_opens_it_from_any_page(opened, shown, name):
    for cluster in (shown.clusters[0], shown.clusters[-1]):
        page = opened(f"{name}#cluster-{cluster.cluster_id}", per_page=SPLIT)
        eventually(lambda page=page, cluster=cluster: cluster.cluster_id[:8] in title(page))
        assert page.current_url.endswith(f"#cluster-{cluster.cluster_id}") and "clusters-" in page.current_url


def test_a_link_to_a_cluster_that_is_not_there_says_so(opened):
    page = opened("clusters-001.html#cluster-nothing", per_page=SPLIT)
    eventually(lambda: "Cluster nothing is not in this report" in page.find_element("id", "shown").text)
    assert not title(page)


def test_pairs_are_compared_side_by_side(opened, shown):
    from selenium.webdriver.common.keys import Keys

    page = opened()
    first = page.find_element("css selector", "[data-pair]")
    page.execute_script("arguments[0].focus()", first)
    press(page, Keys.ENTER)
    eventually(lambda: title(page) == f"Pair 1 of {len(shown.duplicates.pairs)}")
    compared = page.find_element("css selector", "#detail .compare")
    assert len(compared.find_elements("css selector", "img")) == 4 and "keep" in compared.text and "difference" in compared.text
    assert "cosine 0.9700" in page.find_element("id", "detail").text
    press(page, Keys.ARROW_RIGHT)
    eventually(lambda: title(page).startswith("Pair 2"))
    press(page, Keys.ESCAPE)
    eventually(lambda: not title(page))
    assert page.execute_script("return document.activeElement.matches('[data-pair]')")


def test_many_clusters_are_drawn_step_by_step(browser, tmp_path):
    publish(tmp_path / "many", render(report(150), 50, 15_000_000).files)
    browser.get(f"file://{tmp_path}/many/index.html")
    assert len(cards(browser)) == 60
    browser.find_element("id", "more").click()
    assert len(cards(browser)) == 120
    browser.find_element("id", "more").click()
    assert len(cards(browser)) == len(set(cards(browser))) == 150
    assert not browser.find_element("id", "more").is_displayed()


def test_hostile_text_stays_text(opened, shown):
    page = opened()
    assert "owned" not in page.title
    assert page.find_element("css selector", "#failures code").text == HOSTILE
    assert HOSTILE in page.find_element("css selector", f"[data-id='{shown.clusters[1].cluster_id}']").text
    opened(f"index.html#cluster-{shown.clusters[1].cluster_id}")
    assert HOSTILE in page.find_element("id", "detail").text and "owned" not in page.title


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("where", ["index", "page", "detail", "pair"])
def test_nothing_sticks_out(opened, shown, width, where):
    ident = f"#cluster-{shown.clusters[1].cluster_id}" if where == "detail" else ""
    name, per_page = ("clusters-001.html", SPLIT) if where == "page" else ("index.html", SINGLE)
    page = opened(name + ident, per_page=per_page, width=width)
    page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    if where == "pair":
        page.execute_script("document.querySelector('[data-pair]').click()")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    over = "const d = document.querySelector('dialog'); return d.open ? d.scrollWidth - d.clientWidth : 0"
    assert page.execute_script(over) <= 0


CONTRAST = """
const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
const ground = (node) => { for (let n = node; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
const found = [];
for (const node of document.querySelectorAll("body *")) {
  if (!node.checkVisibility() || ["SCRIPT", "STYLE", "OPTION"].includes(node.tagName)) continue;
  const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
  const svg = node.ownerSVGElement;
  if (own && !svg) found.push([ratio(parse(getComputedStyle(node).color), ground(node)), node.textContent.trim().slice(0, 40), 4.5]);
  const fill = svg && parse(getComputedStyle(node).fill);
  if (svg && fill.length >= 3) found.push([ratio(fill, ground(svg.parentElement)), svg.querySelector("title").textContent + ": " + node.tagName, node.tagName === "text" ? 4.5 : 3]);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("where", ["index", "detail"])
def test_text_and_charts_stand_out_from_their_ground(opened, shown, scheme, where):
    page = opened("index.html" + (f"#cluster-{shown.clusters[0].cluster_id}" if where == "detail" else ""), scheme=scheme)
    page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = page.execute_script(CONTRAST)
    assert len(found) > 100 and any(": path" in text for _, text, _ in found)
    assert [(round(r, 2), text) for r, text, least in found if r < least] == []


def test_light_and_dark_differ_also_in_the_charts(opened):
    ground = "return getComputedStyle(document.body).backgroundColor + getComputedStyle(document.querySelector('svg.chart text')).fill"
    assert opened(scheme="light").execute_script(ground) != opened(scheme="dark").execute_script(ground)
