"""Small files that one process replaces while others read them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from bannermap.platform.files import read_text, write_bytes, write_text

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
