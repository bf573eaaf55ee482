"""Bytes of pictures: the same rows from the table and from a cache of objects."""

from __future__ import annotations

import hashlib

import pytest

from bannermap.platform.image_cache import ImageCache
from bannermap.platform.image_store import held_contents, keep_bytes, stored_bytes


def test_a_cache_holds_each_content_once_and_gives_only_what_its_name_says(tmp_path):
    cache, data = ImageCache(str(tmp_path / "cache")), b"some bytes"
    name = hashlib.sha256(data).hexdigest()
    assert cache.get(name) is None
    cache.put(name, data)
    cache.put(name, b"others are not taken")
    assert cache.get(name) == ImageCache(f"file://{tmp_path}/cache").get(name) == data
    (file,) = [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert file == tmp_path / "cache" / name[:2] / name[2:4] / name
    file.write_bytes(data[:-1])
    assert cache.get(name) is None
    for hostile in ("../../etc/passwd", "", name.upper(), name + "/x"):
        with pytest.raises(ValueError):
            cache.put(hostile, b"x")


@pytest.mark.parametrize("kind", ["table", "cache"])
def test_what_was_kept_comes_back_and_nothing_else(warehouse, tmp_path, kind):
    cache = str(tmp_path / "cache") if kind == "cache" else None
    contents = {hashlib.sha256(d).hexdigest(): d for d in (bytes([i]) * 100 for i in range(40))}
    images = warehouse.spark.createDataFrame(list(contents.items()), "content_hash string, data binary")
    for _ in range(2):
        keep_bytes(warehouse, cache, images)
    asked = warehouse.spark.createDataFrame([(n,) for n in (*list(contents)[:7], "0" * 64)], "content_hash string")
    found = {r.content_hash: bytes(r.data) for r in stored_bytes(warehouse, cache, asked).collect()}
    assert found == {n: contents[n] for n in list(contents)[:7]}
    assert {r.content_hash for r in held_contents(warehouse, cache, asked).collect()} == set(found)
