"""What fetching keeps: rows of an older version, and bytes in a cache in place of the table."""

from __future__ import annotations

import datetime
import hashlib

import pytest

from bannermap.embedding.fetching.cache import ImageCache
from bannermap.embedding.frames import CONTENTS, IMAGES
from bannermap.embedding.transforms import images_of_cache, put_in_cache
from bannermap.platform.tables import IMAGE_FETCHES

DAY = datetime.date(2026, 1, 5)


def test_failures_of_an_older_table_count_from_their_last_try(spark):
    """The step's values; that steps are applied, repeated and cut off safely is shown for all tables together."""
    step, empty = IMAGE_FETCHES.migrations[2], dict.fromkeys(IMAGE_FETCHES.columns)
    given = [("a", "u", "ok"), ("b", None, "no_address"), ("c", "v", "timeout")]
    rows = [empty | {"banner_id": b, "image_url": u, "status": s, "fetched_dt": DAY} for b, u, s in given]
    older = spark.createDataFrame([tuple(r.values()) for r in rows], IMAGE_FETCHES.schema).drop(*step.names)
    values = spark.sql(step.values, image_fetches=older)
    assert values.columns == [*IMAGE_FETCHES.key, *step.names] and step.reads == ("image_fetches",)
    assert sorted(map(tuple, values.collect())) == [("b", None, DAY), ("c", "v", DAY)]


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


def test_tasks_put_decodable_images_into_a_cache_and_get_those_that_are_there(spark, tmp_path):
    cache = ImageCache(str(tmp_path / "cache"))
    contents = {hashlib.sha256(d).hexdigest(): d for d in (bytes([i]) * 100 for i in range(40))}
    empty = dict.fromkeys(IMAGES.columns)
    rows = [empty | {"image_url": f"{i}{n}", "content_hash": n, "data": d} for i in "ab" for n, d in contents.items()]
    rows.append(empty | {"image_url": "failed", "content_hash": "0" * 64, "status": "not_an_image"})
    images = spark.createDataFrame([tuple(r.values()) for r in rows], IMAGES.schema)
    assert sorted(r.content_hash for r in put_in_cache(images, cache).collect()) == sorted(contents)
    asked = spark.createDataFrame([(n,) for n in (*list(contents)[:7], "0" * 64)], CONTENTS.schema)
    found = {r.content_hash: bytes(r.data) for r in images_of_cache(asked, cache).collect()}
    assert found == {n: contents[n] for n in list(contents)[:7]}
