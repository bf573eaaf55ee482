"""Words of many scripts, and nothing that looks like a person or a key."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannermap.analytics.words import MAX_CHARACTERS, ad_words, url_parts, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Summer SALE: 50% off, don't wait", ["summer", "sale", "off", "don", "wait"]),
        ("Straße STRASSE ﬁtness", ["strasse", "strasse", "fitness"]),
        ("Große Größen cafe\u0301 café", ["grosse", "grössen", "café", "café"]),
        ("Летняя распродажа", ["летняя", "распродажа"]),
        ("Θάλασσα ΘΑΛΑΣΣΑΣ", ["θάλασσα", "θαλασσασ"]),
        ("تخفيضات الصيف", ["تخفيضات", "الصيف"]),
        ("הנחות קיץ", ["הנחות", "קיץ"]),
        ("गर्मी की छूट", ["गर्मी", "की", "छूट"]),
        ("여름 세일", ["여름", "세일"]),
        ("夏季大促销", ["夏季", "季大", "大促", "促销"]),
        ("夏のセール", ["夏の", "のセ", "セー", "ール"]),
        ("ＳＡＬＥ　ｾｰﾙ", ["sale", "セー", "ール"]),
        ("iPhone手机壳", ["iphone", "手机", "机壳"]),
        ("ลดราคา", ["ลด", "ดร", "รา", "าค", "คา"]),
        ("น้ำหอม", ["น้\u0e4dา", "าห", "หอ", "อม"]),
        ("車", ["車"]),
    ],
)
def test_each_script_has_its_words(text, expected):
    assert list(words(text)) == expected


@pytest.mark.parametrize(
    "personal",
    [
        "max.muster@example.com",
        "Ｍａｘ＠example.com",
        "+49 170 1234567",
        "4111111111111111",
        "123e4567-e89b-12d3-a456-426614174000",
        "d41d8cd98f00b204e9800998ecf8427e",
        "deadbeef1",
        "order2026111",
        "٠١٢٣٤٥٦٧٨٩",
        "x" * (MAX_CHARACTERS + 1),
    ],
)
def test_what_looks_like_a_person_or_a_key_is_no_word(personal):
    assert list(words(f"shoes {personal} boots")) == ["shoes", "boots"]


def test_an_address_gives_host_and_path_alone():
    url = "https://Anna:secret@shop.b%C3%BCcher.example:8443/Wander-Schuhe/gore_tex/item-20391.html?user=anna&id=77#top"
    assert ad_words(None, url) == sorted({"shop", "bücher", "example", "wander", "schuhe", "gore", "tex", "item", "html"})


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://xn--bcher-kva.example/%E5%A4%8F", ["bücher", "example", "夏"]),
        ("shop.example/a/b", ["shop", "example", "a", "b"]),
        ("https://example.com/u/7Yh2-kQ9x_31mZ0pLw84/cart", ["example", "com", "u", "cart"]),
        ("http://192.0.2.7/x", ["192", "0", "2", "7", "x"]),
        ("http://[broken/x", []),
        ("https://example.com/%FF%FE/ok", ["example", "com", "ok"]),
        ("", []),
    ],
)
def test_parts_of_addresses(url, parts):
    assert url_parts(url) == parts


@given(st.text(max_size=60))
def test_words_are_folded_and_bounded_whatever_the_text(text):
    found = list(words(text))
    for word in found:
        assert 1 <= len(word) <= 4 * MAX_CHARACTERS and not any(c.isspace() for c in word)
        assert any(unicodedata.category(c)[0] in "LN" for c in word)
    assert list(words(text)) == found


def test_words_of_an_ad_are_a_set_in_the_same_order():
    texts = ["red shoes", "Shoes red", "red  SHOES shoes"]
    assert {tuple(ad_words(t, None)) for t in texts} == {("red", "shoes")}
    assert ad_words("red", "https://blue.example", "green 夏季") == ["blue", "example", "green", "red", "夏季"]
