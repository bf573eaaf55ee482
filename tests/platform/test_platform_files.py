"""Small files that one process replaces while others read them."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bannermap.platform import files
from bannermap.platform.files import create_new, read_text, write_bytes, write_text
from bannermap.platform.leftovers import newest_ms

TIMES = 300


def test_readers_of_a_small_file_that_is_replaced_see_one_text_or_the_next_never_a_part(spark, tmp_path):
    path = str(tmp_path / "_claims/x/000000001.json")
    texts = [json.dumps({"beat": n, "title": "t" * (n % 7 * 50)}) for n in range(TIMES)]
    write_text(spark, path, texts[0])
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [write_text(spark, path, text) for text in texts])
        seen = [read_text(spark, path)]
        while not writing.done():
            seen.append(read_text(spark, path))
        writing.result()
    assert set(seen) <= set(texts)
    beats = [json.loads(text)["beat"] for text in seen]
    assert beats == sorted(beats) and read_text(spark, path) == texts[-1]
    assert [p.name for p in (tmp_path / "_claims/x").iterdir()] == ["000000001.json"]


def test_a_text_replaces_what_hadoop_wrote_with_its_sums(spark, tmp_path):
    path = str(tmp_path / "note.json")
    write_bytes(spark, path, b"as it was")
    assert (tmp_path / ".note.json.crc").exists()
    write_text(spark, path, "as it is")
    assert read_text(spark, path) == "as it is"


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_small_texts_can_be_read_by_those_who_read_what_hadoop_writes(spark, tmp_path, mask):
    before = os.umask(mask)
    try:
        write_text(spark, f"{tmp_path}/made/note.json", "a text")
        assert create_new(spark, f"{tmp_path}/claims/1.json", "a claim")
        write_bytes(spark, f"{tmp_path}/hadoops/note.json", b"a text")
    finally:
        os.umask(before)
    modes = [[oct(p.stat().st_mode) for p in (file.parent, file)] for file in sorted(tmp_path.glob("*/*.json"))]
    assert len(modes) == 3 and modes[0] == modes[1] == modes[2]


def test_a_file_that_goes_while_it_is_read_is_none(spark, tmp_path, monkeypatch):
    path = tmp_path / "claim.json"
    path.write_text("held")
    read = files._content

    def taken_over(*given):
        path.unlink()
        return read(*given)

    monkeypatch.setattr(files, "_content", taken_over)
    assert read_text(spark, str(path)) is None
    monkeypatch.setattr(files, "_content", lambda *_: 1 / 0)
    path.write_text("there")
    with pytest.raises(ZeroDivisionError):
        read_text(spark, str(path))


def test_the_age_of_a_folder_can_be_asked_while_a_run_gives_signs_of_life_there(spark, tmp_path):
    folder = tmp_path / "_claims/x"
    write_text(spark, f"{folder}/1.json", "0")
    began = time.time_ns() // 1_000_000 - 1
    with ThreadPoolExecutor(1) as pool:
        beats = pool.submit(lambda: [write_text(spark, f"{folder}/1.json", str(n)) for n in range(TIMES)])
        seen = [newest_ms(spark, str(folder))]
        while not beats.done():
            seen.append(newest_ms(spark, str(folder)))
        beats.result()
    assert min(seen) >= began // 1000 * 1000, "of a disk that may keep whole seconds"
    os.utime(folder / "1.json", (7, 7))
    assert newest_ms(spark, str(folder)) == 7000
    with pytest.raises(Exception, match="No FileSystem for scheme"):
        newest_ms(spark, "nowhere://x/y")
