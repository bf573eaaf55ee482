"""The pages in a real browser: sorting, searching, opening, keys alone, links from elsewhere, hostile text."""

from __future__ import annotations

import time

import pytest
import report_models
from report_models import COUNT, DAY, HOSTILE, SINGLE, SPLIT, report

from bannermap.report.page import render
from bannermap.report.site import publish

MODEL = "2026-03-14-0123456789ab"


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
    assert (
        f"{cluster.clicks} of {cluster.impressions}: {100 * cluster.ctr:.2f} % clicks ({100 * low:.2f} to {100 * high:.2f} %)"
        in text
    )
    siblings = [c for c in shown.clusters if c.parent == cluster.parent and c is not cluster]
    links = page.execute_script("return [...document.querySelectorAll('#detail a')].map(a => a.getAttribute('href'))")
    assert {f"#cluster-{i[:12]}" for i in (*(c.cluster_id for c in siblings), cluster.changes[0].other)} <= set(links)
    for said in (
        cluster.parent[:12],
        "4 banners of the group",
        "took banners from",
        "cosine 0.9700",
        "best quality",
        "and 3 more pairs",
    ):
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
        assert page.execute_script(
            "return document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )


@pytest.mark.parametrize("name", ["index.html", "clusters-001.html", "clusters-003.html"])
def test_a_link_to_a_cluster_opens_it_from_any_page(opened, shown, name):
    for cluster in (shown.clusters[0], shown.clusters[-1]):
        page = opened(f"{name}#cluster-{cluster.cluster_id}", per_page=SPLIT)
        eventually(lambda page=page, cluster=cluster: cluster.cluster_id[:8] in title(page))
        assert page.current_url.endswith(f"#cluster-{cluster.cluster_id}") and "clusters-" in page.current_url


def test_links_inside_a_detail_lead_on(opened, shown):
    cluster = shown.clusters[0]
    page = opened(f"index.html#cluster-{cluster.cluster_id}", per_page=SPLIT)
    eventually(lambda: title(page))
    links = "return [...document.querySelectorAll('#detail a')].map(a => a.href)"
    other = next(link for link in page.execute_script(links) if cluster.changes[0].other[:12] in link)
    page.get(other)
    eventually(lambda: cluster.changes[0].other[:8] in title(page))
    assert page.current_url.endswith(cluster.changes[0].other)


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


def test_clusters_of_a_saved_model_are_told_apart_by_their_numbers(browser, tmp_path, monkeypatch):
    hashed = report_models.name
    monkeypatch.setattr(report_models, "name", lambda kind, n: f"{MODEL}-{n:06d}" if kind == 1 else hashed(kind, n))
    publish(tmp_path / "numbered", render(report(COUNT), SPLIT, 15_000_000).files)
    address = f"file://{tmp_path}/numbered/index.html"
    browser.get(address)
    assert sorted(c.text for c in browser.find_elements("css selector", "#cards .top code")) == [f"{n:06d}" for n in range(COUNT)]
    browser.find_element("id", "search").send_keys("000003")
    assert cards(browser) == [f"{MODEL}-000003"]
    browser.get(f"{address}#cluster-{MODEL}-000004")
    eventually(lambda: "000004" in title(browser))
    links = browser.execute_script("return [...document.querySelectorAll('#detail a')].map(a => [a.textContent, a.href])")
    shown, link = next(one for one in links if one[1].endswith("-000005"))
    browser.get(link)
    eventually(lambda: "000005" in title(browser))
    assert shown == "000005"
    browser.get("about:blank")
    browser.get(f"{address}#cluster-{MODEL}")  # the beginning of all of them is none
    eventually(lambda: "is not in this report" in browser.find_element("id", "shown").text)
