"""The pages as text: what they hold, what they weigh, and that nothing in them is markup that should be text."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re

import pytest
from pages import data_of
from report_models import DAY, HOSTILE, SEARCH, empty_report, report

from bannermap.platform.errors import ConfigError
from bannermap.report.budget import Fill
from bannermap.report.names import brief_id, short_name
from bannermap.report.page import Pages, page_name, render
from bannermap.report.records import keeper_name, script_json

ROOM = 15_000_000


def pictures_of(text: str) -> list[int]:
    return [len([p for p in d["p"] if p[0] >= 0]) for d in data_of(text)["details"]]


def test_equal_figures_give_equal_pages():
    assert render(report(), 5, ROOM) == render(report(), 5, ROOM)


@pytest.mark.parametrize(("count", "per_page", "pages"), [(12, 12, 0), (12, 5, 3), (13, 12, 2), (1, 1, 0)])
def test_clusters_are_split_over_pages_and_the_overview_lists_them_all(count, per_page, pages):
    shown = report(count)
    found = render(shown, per_page, ROOM)
    assert sorted(found.files) == sorted([page_name(n) for n in range(pages + 1)])
    listed = data_of(found.files["index.html"])
    assert [c["id"] for c in listed["cards"]] == [c.cluster_id for c in shown.clusters]
    assert ("details" in listed) == (pages == 0)
    for card in listed["cards"]:
        there = data_of(found.files[page_name(card["g"])])
        at = [c["id"] for c in there["cards"]].index(card["id"])
        assert there["details"][at]["p"]


@pytest.mark.parametrize("room", [400_000, 700_000, 1_000_000, 3_000_000])
@pytest.mark.parametrize("per_page", [20, 200])
def test_all_pages_together_keep_within_their_bytes_and_no_cluster_is_favoured(room, per_page):
    found = render(report(60, thumbnail_px=56), per_page, room)
    assert sum(len(t.encode()) for t in found.files.values()) == found.total_bytes <= room
    bare = render(report(60, images={}), per_page, room)
    assert found.total_bytes > bare.total_bytes
    shown = [n for name, t in found.files.items() if "details" in data_of(t) for n in pictures_of(t)]
    assert min(shown) >= min(1, found.fill.pictures) and max(shown) <= 6
    assert f"first {found.fill.pictures} of its pictures" in re.sub(r"\s+", " ", found.files["index.html"])
    unused = room - found.total_bytes
    assert found.fill.one_more == 0 or unused < 4_000  # less than any further picture takes


def test_what_the_encoder_looks_at_is_the_first_to_go():
    shown = report(12, thumbnail_px=56)  # no more, so that no two clusters share a picture
    whole = render(shown, 200, ROOM).total_bytes
    dropped = []
    for room in (ROOM, whole, whole - 1_000, whole - 2_000):
        found = render(shown, 200, room)
        data = data_of(found.files["index.html"])
        dropped.append(0)
        for detail, cluster in zip(data["details"], shown.clusters, strict=True):
            looks = [i for i, p in enumerate(cluster.pictures) if shown.images[p.pixel_hash].curtain]
            assert [i for _, _, i in detail["em"]] == looks[: len(detail["em"])]
            assert all(at == detail["p"][i][0] for at, _, i in detail["em"])
            dropped[-1] += len(looks) - len(detail["em"])
            if detail["em"]:
                assert len([p for p in detail["p"] if p[0] >= 0]) == len(cluster.pictures), "all its pictures come first"
    assert dropped[0] == 0 < dropped[2] and dropped == sorted(dropped)


def test_more_room_never_shows_fewer_pictures():
    whole = render(report(60), 20, ROOM).total_bytes
    fills = [render(report(60), 20, whole - less).fill for less in (200_000, 100_000, 50_000, 0)]
    assert fills == sorted(fills, key=lambda f: (f.pictures, f.one_more)) and fills[0].pictures < fills[-1].pictures


def test_text_that_has_no_room_is_an_error_that_says_how_to_mend_it():
    with pytest.raises(ConfigError, match=r"max_total_bytes.*max_clusters"):
        render(report(), 5, 10_000)


def test_text_never_becomes_markup():
    for name, text in render(report(), 5, ROOM).files.items():
        assert HOSTILE not in text, name
        assert text.count("<script") == text.count("</script>") == 2, name
    assert json.loads(script_json({"a": HOSTILE + "\u2028"})) == {"a": HOSTILE + "\u2028"}


@pytest.mark.parametrize("shown", [empty_report(), empty_report(day=None)], ids=["day", "own images"])
def test_what_is_not_there_is_said_in_words(shown):
    text = render(shown, 5, ROOM).files["index.html"]
    for said in ("No themes are stored", "No near duplicates are stored", "No picture could be drawn"):
        assert said in text
    for said in ("No lineage is stored for this clustering, so", "No features are published"):
        assert (said in text) == (shown.day is not None)


def test_a_folder_of_images_speaks_of_files_and_names_the_one_to_keep():
    dated = report()
    pair = next(p for p in dated.duplicates.pairs if p.keeper)
    named = {pair.keeper: dataclasses.replace(dated.images[pair.keeper], address="holiday/beach.jpg")}
    undated = dataclasses.replace(dated, day=None, days=[], day_axis=[], images={**dated.images, **named})
    assert (undated.unit, dated.unit) == ("file", "banner")
    assert keeper_name(undated, pair) == "holiday/beach.jpg" and keeper_name(dated, pair) == pair.keeper_banner_id
    assert keeper_name(undated, dataclasses.replace(pair, keeper="unknown")) == pair.keeper_banner_id


def test_a_folder_of_images_shows_files_and_no_days():
    days = {"days": [], "day_axis": []}
    undated = datetime.date(1970, 1, 1)
    clusters = [dataclasses.replace(c, born_dt=undated, first_seen_dt=undated, last_seen_dt=undated) for c in report().clusters]
    for text in render(report(day=None, clustering_id="1970-01-01-abc", clusters=clusters, **days), 5, ROOM).files.values():
        data = data_of(text)
        assert not data["dated"]
        assert "1970" not in text and 'value="newest"' not in text
        assert 'id="days"' not in text and str(DAY) not in text
    assert any(len(p) == 4 for p in data["details"][0]["p"])


def test_a_page_is_a_page():
    pages = Pages({"a": "é"}, Fill(3, 0))
    assert pages.total_bytes == 2


@pytest.mark.parametrize(
    "name, shown",
    [
        ("0a" * 32, "0a" * 6),
        ("url:" + "0a" * 32, "url:" + "0a" * 6),
        ("0a" * 15, "0a" * 15),
        ("photos/" + "0a" * 20 + ".png",) * 2,
    ],
)
def test_hashes_are_told_by_their_first_letters_and_names_whole(name, shown):
    assert brief_id(name) == shown


def test_clusters_are_called_by_what_tells_them_apart():
    assert short_name("0123456789abcdef" * 2) == "01234567" and short_name("unclustered") == "unclustered"
    assert [short_name(f"2026-03-14-0123456789ab-{n}") for n in ("000007", "1000000")] == ["000007", "1000000"]


@pytest.mark.parametrize(
    ("found", "told", "not_told"),
    [
        (
            SEARCH,
            ["20 pictures were searched exhaustively", "90.000 to 92.000 %", "the fullest 14", "3.10 %"],
            ["compared with every"],
        ),
        ({k: SEARCH[k] for k in list(SEARCH)[:4]}, ["compared with every other", "0.7512"], ["searched exhaustively", "cells:"]),
        ({}, ["left no figures"], ["compared with every", "searched"]),
    ],
    ids=["by cells", "exact", "unknown"],
)
def test_the_search_says_what_it_missed_and_how_even_its_cells_are(found, told, not_told):
    text = render(report(search=found), 99, ROOM).files["index.html"]
    section = text[text.index('<section id="neighbours"') :].split("</section>")[0]
    assert all(words in section for words in told)
    assert not any(words in section for words in not_told)
    assert section.count("<tr>") == (6 if "edge_recall" in found else 0)


def test_no_two_things_on_a_page_have_the_same_id():
    for text in render(report(), 5, ROOM).files.values():
        ids = re.findall(r'\sid="([^"]+)"', text.split("<script")[0])
        assert len(ids) == len(set(ids))


def test_rising_and_falling_clusters_are_told_with_their_figures_or_in_words():
    shown = report()
    text = render(shown, 99, ROOM).files["index.html"]
    section = text[text.index('<section id="trends"') :].split("</section>")[0]
    for said in (
        "2 of 9 tested clusters rise, 2 fall; 3 had too little to test",
        "0 of 9 tested clusters rise, 0 fall",
        "at most 5 %",
    ):
        assert said in section
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", section)
    assert [("rises" in r, "falls" in r) for r in rows] == [(True, False)] * 2 + [(False, True)] * 2
    for row, trend, cluster in zip(rows[:3], shown.trends[0].shown[:3], shown.clusters[:3], strict=True):
        assert f"#cluster-{cluster.cluster_id}" in row and f"{100 * trend.rate_before:.3g} %" in row
    assert "unclustered" in rows[-1] and "href" not in rows[-1]
    assert section.count("<svg") == 1, "the family without a change has no chart"
    assert "No trends are stored" in render(report(trends=[]), 99, ROOM).files["index.html"]


def test_tags_and_audiences_stand_on_cards_and_in_details():
    shown = report()
    data = data_of(render(shown, 99, ROOM).files["index.html"])
    for cluster, card, detail in zip(shown.clusters, data["cards"], data["details"], strict=True):
        assert [data["names"][at] for at in card["tg"]] == list(cluster.tags)
        assert [a[:2] for a in detail["au"]] == [[a.attribute, a.value] for a in cluster.audiences]


def test_what_an_experiment_found_is_told_in_words_figures_and_a_picture():
    text = render(report(), 99, ROOM).files["index.html"]
    section = text[text.index('<section id="experiment"') :].split("</section>")[0]
    assert section.count("<svg") == 1 and "logistic, features: helps, 2.13%, 1.01% to 3.25%" in section
    assert "gradient boosting, placebo" not in section.split("</svg>")[0], "a gain that is not defined has no mark"
    assert [("helps" in li, "can&#39;t tell" in li) for li in re.findall(r"<li>(.*?)</li>", section)] == [
        (True, False),
        (False, True),
    ]
    (row,) = re.findall(r"<tbody><tr>(.*?)</tr></tbody>", section)
    assert "hurts" in row and "-1.11 %" in row and "-2.00 to -0.22" in row
    assert "No experiment is stored" in render(report(experiments=[]), 99, ROOM).files["index.html"]
