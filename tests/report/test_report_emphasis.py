"""What the encoder looks at: the curtain's opacity, and what a browser makes of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from report_models import SQUARE, report

from bannermap.report.emphasis import LEVELS, curtain
from bannermap.report.page import render


def opacity(emphasis: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(curtain(emphasis))).convert("RGBA"))[:, :, 3] / 255


@given(st.binary(min_size=256, max_size=256))
def test_a_curtain_is_as_opaque_as_the_root_of_the_weight_lacks(emphasis):
    found = opacity(emphasis)
    assert found.shape == (16, 16)
    for place, weight in enumerate(emphasis):
        assert abs(found[divmod(place, 16)] - (1 - (weight / 255) ** 0.5)) <= 0.5 / LEVELS + 1e-9


@given(st.binary(min_size=256, max_size=256))
def test_a_curtain_is_small_whatever_it_hides(emphasis):
    assert len(curtain(emphasis)) < 500


def test_nothing_looked_at_is_covered_and_the_strongest_part_is_clear():
    assert (opacity(bytes(256)) == 1).all() and (opacity(bytes([255] * 256)) == 0).all()


def screenshot(node) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(node.screenshot_as_png)).convert("RGB")).astype(int)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_looked_at_stands_out_in_a_browser(opened, shown, scheme):
    page = opened(f"index.html#cluster-{shown.clusters[0].cluster_id}", scheme=scheme)
    nodes = page.find_elements("css selector", ".curtained")
    assert [n.get_attribute("aria-label") for n in nodes] == [f"member {i} as the encoder looks at it" for i in (1, 3, 5)]
    node = nodes[0]
    covered = screenshot(node)
    page.execute_script("for (const c of document.querySelectorAll('.curtain')) c.hidden = true")
    bare = screenshot(node)
    height, width, _ = bare.shape
    assert covered.shape == bare.shape and min(height, width) > 40
    rows, columns = (np.arange(edge) * 16 // edge for edge in (height, width))
    near = np.zeros((16, 16), bool)  # the browser smooths over the edge of a cell
    near[SQUARE[0].start - 1 : SQUARE[0].stop + 1, SQUARE[1].start - 1 : SQUARE[1].stop + 1] = True
    core = np.zeros((16, 16), bool)
    core[SQUARE[0].start + 1 : SQUARE[0].stop - 1, SQUARE[1].start + 1 : SQUARE[1].stop - 1] = True
    change = np.abs(covered - bare).sum(axis=2)
    far = (~near)[rows][:, columns]
    assert change[core[rows][:, columns]].max() <= 3
    assert change[far].mean() > 60 and covered[far].std() < bare[far].std() / 2


def test_a_report_without_it_has_no_such_part(opened, shown):
    without = render(report(images={}), 200, 15_000_000).files["index.html"]
    assert '"em":[[' not in without
    page = opened(f"index.html#cluster-{shown.clusters[0].cluster_id}")
    titles = page.execute_script("return [...document.querySelectorAll('dialog h3')].map(h => h.textContent)")
    assert titles.index("What the encoder looks at") == titles.index("Pictures") + 1
