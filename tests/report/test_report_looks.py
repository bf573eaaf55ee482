"""How the pages look in a real browser: nothing sticks out, everything stands out from its ground, in light and in dark."""

from __future__ import annotations

import pytest
from report_models import SINGLE, SPLIT


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
const parse = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
const ground = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const linear = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ratio = (one, other) => {
  const [more, less] = [light(one), light(other)].sort((a, b) => b - a);
  return (more + 0.05) / (less + 0.05);
};
const found = [];
for (const node of document.querySelectorAll("body *")) {
  if (!node.checkVisibility() || ["SCRIPT", "STYLE", "OPTION"].includes(node.tagName)) continue;
  const style = getComputedStyle(node);
  const svg = node.ownerSVGElement;
  const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  if (text && !svg) found.push([ratio(parse(style.color), ground(node)), node.textContent.trim().slice(0, 40), 4.5]);
  if (!svg || parse(style.fill).length < 3) continue;
  const name = `${svg.querySelector("title").textContent}: ${node.tagName}`;
  found.push([ratio(parse(style.fill), ground(svg.parentElement)), name, node.tagName === "text" ? 4.5 : 3]);
}
return found;
"""
"""Of every text and every filled shape of a chart: its contrast to what lies behind, what it is, and the least by WCAG 2.2 AA."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("where", ["index", "detail"])
def test_text_and_charts_stand_out_from_their_ground(opened, shown, scheme, where):
    page = opened("index.html" + (f"#cluster-{shown.clusters[0].cluster_id}" if where == "detail" else ""), scheme=scheme)
    page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = page.execute_script(CONTRAST)
    assert len(found) > 100 and any(": path" in text for _, text, _ in found)
    assert [(round(r, 2), text) for r, text, least in found if r < least] == []


def test_light_and_dark_differ_also_in_the_charts(opened):
    ground = (
        "return getComputedStyle(document.body).backgroundColor + getComputedStyle(document.querySelector('svg.chart text')).fill"
    )
    assert opened(scheme="light").execute_script(ground) != opened(scheme="dark").execute_script(ground)
