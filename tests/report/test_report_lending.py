"""Which file of a picture is drawn, for the report and for those it lends its drawing to."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image
from pyspark.sql import functions as F

from bannermap.platform.image_store import keep_bytes
from bannermap.platform.tables import IMAGE_BYTES, IMAGE_FETCHES
from bannermap.report.lending import thumbnails


def picture(seed: int, level: int) -> bytes:
    """A file; of one seed all have the same pixels and other bytes."""
    target = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(target, "PNG", compress_level=level)
    return target.getvalue()


@pytest.mark.parametrize("kind", ["table", "cache"])
def test_a_picture_is_drawn_from_any_of_its_files_that_is_there(spark, warehouse, tmp_path, monkeypatch, kind):
    files = {f"p{seed}": [picture(seed, level) for level in (0, 1, 9)] for seed in range(6)}
    named = {p: {hashlib.sha256(data).hexdigest(): data for data in several} for p, several in files.items()}
    cache, rng = str(tmp_path / "cache") if kind == "cache" else None, np.random.default_rng(1)
    there = {p: {name for name in several if rng.random() < 0.5} for p, several in named.items()}
    there["p1"], there["p2"] = set(), {max(named["p2"])}  # none; not the one that comes first
    kept = [(name, named[p][name]) for p, names in there.items() for name in names]
    keep_bytes(warehouse, cache, spark.createDataFrame(kept, IMAGE_BYTES.schema))
    facts = [(p, name, "ok") for p, several in named.items() for name in several]
    known = spark.createDataFrame(facts, ("pixel_hash", "content_hash", "status")).withColumn("banner_id", F.col("content_hash"))
    warehouse.append(IMAGE_FETCHES, spark.createDataFrame([], IMAGE_FETCHES.schema).unionByName(known, allowMissingColumns=True))
    wanted = spark.createDataFrame([(p, 16) for p in [*named, "p-unknown"] if p != "p0"], "pixel_hash string, side int")
    persisted, persist = [], type(wanted).persist
    monkeypatch.setattr(type(wanted), "persist", lambda self, *level: persisted.append(self) or persist(self, *level))
    drawn = thumbnails(warehouse, cache, wanted)
    assert set(drawn) == {p for p, names in there.items() if names} - {"p0"} >= {"p2"}
    sizes = {Image.open(io.BytesIO(file)).size for file in drawn.values()}
    assert all(width * height <= 16 * 16 and width > height for width, height in sizes)
    assert persisted and not any(f.storageLevel.useMemory or f.storageLevel.useDisk for f in persisted)
