"""Text from pictures: the real program where it is installed; programs that hang, fail, devour memory; nothing is read twice."""

from __future__ import annotations

import io
import shutil
import stat
import sys

import pytest
from PIL import Image, ImageDraw, ImageFont

from bannermap.analytics import transforms as t
from bannermap.analytics.reading import Reader, read_text, reader
from bannermap.analytics.words import words
from bannermap.platform.config import load_settings
from bannermap.platform.errors import ConfigError


def picture(text: str, size=(300, 100), kind="PNG") -> bytes:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).text((12, 30), text, fill="black", font=ImageFont.load_default(32))
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


def program(folder, body: str) -> str:
    """A program that does what the body says, in the place of tesseract."""
    path = folder / "reads"
    path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def asked(base_settings):
    """Settings that ask for reading."""
    changed = base_settings.analytics.model_copy(update={"read_images": True})
    return base_settings.model_copy(update={"analytics": changed})


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ("data = sys.stdin.buffer.read(); print(' Summer \\n\\n SALE', data[1:4].decode())", "ok", "Summer SALE PNG"),
        ("sys.stdout.buffer.write(b'caf\\xc3\\xa9 \\xff')", "ok", "café \ufffd"),
        ("pass", "ok", ""),
        ("sys.exit(1)", "failed", None),
        ("import os; os.abort()", "failed", None),
        ("import time; time.sleep(60)", "timeout", None),
        ("try:\n    bytearray(2 ** 31)\nexcept MemoryError:\n    sys.exit('std::bad_alloc')", "out_of_memory", None),
    ],
    ids=["text", "bytes", "nothing", "fails", "aborts", "hangs", "devours"],
)
def test_whatever_the_program_does_is_a_row(asked, tmp_path, body, status, text):
    limit = 1.0 if status == "timeout" else 30.0
    by = Reader(asked.analytics.ocr.model_copy(update={"deadline_s": limit}), "1", program(tmp_path, body))
    assert read_text(picture("SALE"), by) == (status, text)


def test_a_picture_is_read_upright_and_no_other_entry_of_exif_with_it(asked, tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise AssertionError("entries of strangers are parsed")

    target, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (300, 100), "white").save(target, "PNG", exif=exif)
    monkeypatch.setattr("PIL.Image.Exif.load", refused)
    size = "import struct; print(*struct.unpack('>II', sys.stdin.buffer.read()[16:24]))"
    assert read_text(target.getvalue(), Reader(asked.analytics.ocr, "1", program(tmp_path, size))) == ("ok", "200 600")


def test_pictures_that_are_none_or_too_large_reach_no_program(asked):
    by = Reader(asked.analytics.ocr.model_copy(update={"max_pixels": 100}), "1", "/nowhere/tesseract")
    assert read_text(b"GIF89a", by) == ("undecodable", None)
    assert read_text(picture("x"), by) == ("too_large", None)
    assert read_text(picture("x", (10, 10)), by) == ("failed", None)


def test_a_reader_that_is_absent_or_lacks_a_language_ends_before_spark_starts(asked, base_settings, tmp_path):
    assert reader(base_settings) is None
    with pytest.raises(ConfigError, match="cannot be started"):
        reader(asked, "/nowhere/tesseract")
    said = "print({'--version': 'tesseract 5.9\\n more', '--list-langs': 'List:\\ndeu\\n'}[sys.argv[1]])"
    with pytest.raises(ConfigError, match="asks for eng"):
        reader(asked, program(tmp_path, said))
    known = reader(asked, program(tmp_path, said.replace("deu", "eng")))
    assert known is not None and known.name.startswith("tesseract 5.9 eng ")


def test_languages_are_checked_with_the_configuration(base_settings):
    from repository import ROOT

    with pytest.raises(ConfigError, match="no language of tesseract"):
        load_settings(ROOT / "conf/base.yaml", [], ["analytics.ocr.languages=['-l']"])


@pytest.mark.slow
def test_each_picture_is_read_once_and_told_with_its_banners(asked, spark, tmp_path):
    by = Reader(asked.analytics.ocr, "1", program(tmp_path, "print('boots')"))
    fetches = spark.createDataFrame(
        [("a", "p1", "ok", "c1"), ("b", "p1", "ok", "c0"), ("c", "p2", "ok", "c2"), ("d", None, "timeout", None)],
        "banner_id string, pixel_hash string, status string, content_hash string",
    )
    members = spark.createDataFrame([("a", "p1"), ("b", "p1"), ("c", "p2")], "banner_id string, pixel_hash string")
    none = spark.createDataFrame([], "content_hash string, reader string, status string, text string")
    unread = t.unread_pictures(members, fetches, none)
    assert sorted(r.content_hash for r in unread.collect()) == ["c0", "c2"]
    data = spark.createDataFrame([("c0", bytearray(picture("x"))), ("c2", bytearray(b"no"))], "content_hash string, data binary")
    texts = t.texts_of(data, by).persist()
    assert sorted(tuple(r) for r in texts.collect()) == [("c0", by.name, "ok", "boots"), ("c2", by.name, "undecodable", None)]
    assert t.unread_pictures(members, fetches, texts).isEmpty()
    ads = members.select("banner_id")
    told = {r.banner_id: r.picture_text for r in t.with_picture_texts(ads, members, fetches, texts).collect()}
    assert told == {"a": "boots", "b": "boots", "c": None}


def test_the_real_program_reads_a_banner(asked):
    if not shutil.which("tesseract"):
        pytest.skip("tesseract is not installed")
    by = reader(asked)
    status, text = read_text(picture("SUMMER SALE"), by)
    assert status == "ok" and {"summer", "sale"} <= set(words(text))
