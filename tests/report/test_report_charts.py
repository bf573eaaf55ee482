"""Charts: colours of the page only, ids of their own, nothing fetched, and every figure told in words."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from bannermap.report import charts

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>&\"'</script>"
DRAWN = {
    "histogram": lambda name, label: charts.histogram(name, label, [(label, 5), ("4-7", 7), ("8-15", 9)], label, "clusters"),
    "changes": lambda name, label: charts.changes_by_day(
        name, label, [("03-01", {"born": 5, "split": 7}), ("03-02", {"retired": 9})]
    ),
    "counts": lambda name, label: charts.counts_by_day(name, label, [("03-01", 5), ("03-02", 7), ("03-03", 9)], label),
    "rates": lambda name, label: charts.rates(name, label, [(label, 0.05, 0.01, 0.07), ("b", 0.09, 0.0, 0.2)], 0.06),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_a_chart_is_titled_described_and_coloured_by_the_page(kind):
    text = DRAWN[kind]("one", HOSTILE)
    root = ElementTree.fromstring(text.replace("xlink:", ""))
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("role") == "img" and root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text == HOSTILE
    assert all(figure in description.text for figure in ("5", "7", "9"))
    colours = {n.get(a) for n in root.iter() for a in ("fill", "stroke") if n.get(a)}
    assert colours - {"none", "transparent"} and all(c.startswith("var(--") for c in colours - {"none", "transparent"})
    assert not root.get("width") and root.get("viewBox")
    assert "http" not in text.replace("http://www.w3.org", "")


def test_ids_of_two_charts_never_meet():
    ids = [re.findall(r'\bid="([^"]+)"', DRAWN[kind](name, "x")) for kind in DRAWN for name in ("one", "two")]
    for first, second in zip(ids[::2], ids[1::2], strict=True):
        assert first and not set(first) & set(second)


@pytest.mark.parametrize("counts", [[1], [3, 1, 2], [0, 10, 5]])
def test_bars_are_as_long_as_their_counts(counts):
    text = charts.histogram("one", "t", [(str(i), c) for i, c in enumerate(counts)], "x", "y")
    bars = re.findall(r'd="M[\d.]+,([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+Z" fill="var\(--accent\)"', text)
    heights = [float(h) for _, _, h in bars]
    assert [h / max(heights) for h in heights] == pytest.approx([c / max(counts) for c in counts], abs=0.01)
