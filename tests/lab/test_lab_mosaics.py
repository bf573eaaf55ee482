"""Which pictures stand for a cluster, and what is drawn of them."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from lab_worlds import pictures, planted, tools
from PIL import Image

from bannermap.lab.comparing import compare, told
from bannermap.lab.labels import coded
from bannermap.lab.mosaics import CLUSTERS, COLUMNS, GAP_PX, TILE_PX, LeftOut, Sheets, chosen_pictures, mosaics
from bannermap.lab.naming import file_name
from bannermap.lab.page import SHEET_CLUSTERS, page, shown_names
from bannermap.lab.sheets import contact_sheets, wanted_mosaics
from bannermap.platform.settings import LabSettings


def file(colour: tuple[int, int, int], size: tuple[int, int]) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, colour).save(target, "PNG")
    return target.getvalue()


def test_the_largest_clusters_are_shown_from_the_most_to_the_least_typical_picture():
    vectors, _ = planted(3, 200)
    labels = np.repeat([-1, 4, 0, 9], [50, 90, 57, 3])
    names = np.array([f"n{i:03d}" for i in range(200)], object)
    found = chosen_pictures(vectors, labels, names, clusters=3, pictures=5)
    assert [c.label for c in found] == [4, 0, 9] and [len(c.names) for c in found] == [5, 5, 3]
    assert [c.share for c in found] == [0.45, 0.285, 0.015]
    rows = np.flatnonzero(labels == 4)
    centre = vectors[rows].mean(axis=0)
    order = rows[np.argsort(-(vectors[rows] @ centre))]
    assert found[0].names == tuple(names[order[[0, 22, 44, 67, 89]]])
    assert chosen_pictures(vectors, np.full(200, -1), names) == []


def test_a_mosaic_has_the_tiles_that_there_are():
    labels, names = np.array([0, 0, 0, 0, 1]), np.array(list("abcde"), object)
    chosen = chosen_pictures(planted(3, 5)[0], labels, names)
    order = [n for n in chosen[0].names if n != "b"]
    colours = dict(zip(order, [(250, 10, 10), (10, 10, 250), (10, 250, 10)], strict=True))
    (made,) = mosaics(chosen, {n: file(c, (60, 60)) for n, c in colours.items()})  # nothing of the second cluster
    sheet = Image.open(io.BytesIO(made.webp)).convert("RGB")
    assert sheet.size == (COLUMNS * (TILE_PX + GAP_PX) - GAP_PX, TILE_PX)
    for place, name in enumerate(order):
        seen = sheet.getpixel((place * (TILE_PX + GAP_PX) + TILE_PX // 2, TILE_PX // 2))
        assert np.abs(np.array(seen) - colours[name]).max() < 40


@pytest.fixture(scope="module")
def done():
    """A comparison whose recommended configuration has more clusters than others get mosaics of."""
    settings = LabSettings(
        mode="fast", strategies=("recursive", "dbscan"), budget_s=1e6, curve_shares=(), bootstrap_replicates=20
    )
    return compare("enc", pictures(9, 400, groups=25, spread=0.1), None, settings, tools(), 1.0, lambda text: None, np.arange(3))


def test_every_cluster_of_what_is_recommended_is_drawn_and_the_largest_of_the_others(done):
    chosen = done.outcome.recommendation.chosen
    clusters = {name: coded(done.labels[name]).clusters for name in shown_names(done)}
    assert clusters[chosen] > CLUSTERS and len(clusters) > 1
    wanted = wanted_mosaics([done], 500)
    assert {n for _, n in wanted} == set(clusters) and {c.label for c in wanted["enc", chosen]} == set(done.labels[chosen]) - {-1}
    for (_, name), found in wanted.items():
        assert len(found) == (clusters[name] if name == chosen else min(CLUSTERS, clusters[name]))
    few = wanted_mosaics([done], 5)["enc", chosen]
    sizes = sorted((int((done.labels[chosen] == c).sum()) for c in set(done.labels[chosen]) - {-1}), reverse=True)
    assert [round(c.share * 400) for c in few] == sizes[:5]


class Stored:
    """Stands for a warehouse, its session and a drawing: only what `contact_sheets` asks of them."""

    def __init__(self, absent):
        self.absent, self.spark, self.asked = absent, self, []

    def createDataFrame(self, rows, schema):
        return rows

    def draw(self, warehouse, cache, asked):
        self.asked = [name for name, _ in asked]
        return {n: file((9, 9, 9), (20, 30)) for n in self.asked if n not in self.absent}


def test_what_has_no_mosaic_is_counted_and_said(done, capsys):
    chosen = done.outcome.recommendation.chosen
    smallest = wanted_mosaics([done], 20)["enc", chosen][-1]
    stored = Stored({*done.pictures.names[done.labels[chosen] == smallest.label]})
    lab = SimpleNamespace(lab=SimpleNamespace(mosaic_clusters=20), fetch=SimpleNamespace(image_cache=None))
    context = SimpleNamespace(warehouse=stored, settings=lab, title="title")
    sheets = contact_sheets(context, [done], stored.draw)
    beyond = coded(done.labels[chosen]).clusters - 20
    assert beyond > 0 and sheets.left_out == {"enc": LeftOut(beyond, 1)} and len(sheets.mosaics["enc", chosen]) == 19
    named = {n for t in done.targets for n in (t.node_id, *t.nearest)}
    assert (
        set(sheets.tiles) == named - stored.absent and named <= set(stored.asked) and len(set(stored.asked)) == len(stored.asked)
    )
    said = capsys.readouterr().out
    assert f"by enc: {beyond} beyond lab.mosaic_clusters 20, 1 without stored bytes" in said


def test_the_page_has_few_mosaics_and_leads_to_all_of_them(done):
    chosen, settings = done.outcome.recommendation.chosen, LabSettings()
    tiles = {n: file((0, 90, 0), (30, 20)) for n in done.pictures.names}
    made = {key: mosaics(found, tiles) for key, found in wanted_mosaics([done], 500).items()}
    html = page("c", 400, [done], [told(done, settings)], "pca", Sheets(made))
    assert html.count('<img alt="cluster') == sum(min(SHEET_CLUSTERS, len(found)) for found in made.values())
    assert f'<a href="mosaics/enc/{file_name(chosen)}/">{len(made["enc", chosen])} mosaics</a>' in html
