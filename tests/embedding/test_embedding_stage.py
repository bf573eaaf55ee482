"""The stage on Spark: only what is new, nothing twice, failures as rows, a new encoder without a fetch."""

from __future__ import annotations

import datetime
import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from tiny_checkpoints import save

from bannermap.embedding import job, making
from bannermap.embedding.encoders.emphasis import CELLS
from bannermap.embedding.encoders.interface import make_encoder
from bannermap.embedding.job import FETCH, STAGE, run_on_files
from bannermap.platform.cli import run_stage
from bannermap.platform.errors import ServiceError
from bannermap.platform.image_cache import ImageCache
from bannermap.platform.settings import EncoderLink
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import BANNER_DAYS, EMBEDDINGS, IMAGE_BYTES, IMAGE_FETCHES

FIRST = datetime.date(2026, 1, 1)


def png(seed: int) -> bytes:
    target = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def settings(base_settings, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in "abc":
        (images / f"{name}.png").write_bytes(png(ord(name)))
    (images / "copy-of-a.png").write_bytes(png(ord("a")))
    (images / "text.png").write_bytes(b"<html>")
    return base_settings.model_copy(update={"paths": base_settings.paths.model_copy(update={"images": str(images)})})


def serve(warehouse, day, **banners):
    rows = [(day, name, url, None, None, None, 1, 0) for name, url in banners.items()]
    warehouse.overwrite_partition(BANNER_DAYS, warehouse.spark.createDataFrame(rows, BANNER_DAYS.schema), dt=day)


def contents(warehouse) -> list:
    tables = (IMAGE_FETCHES, IMAGE_BYTES, EMBEDDINGS)
    return [sorted(map(str, warehouse.read(t).collect())) for t in tables]


def test_only_what_is_new_is_fetched_and_a_rerun_changes_nothing(settings, warehouse):
    serve(warehouse, FIRST, one="a.png", two="a.png", three="copy-of-a.png", four="text.png", five="gone.png", six=None)
    run = run_stage(STAGE, warehouse, settings, FIRST)
    statuses = {r.banner_id: r.status for r in warehouse.read(IMAGE_FETCHES).collect()}
    assert statuses == {"one": "ok", "two": "ok", "three": "ok", "four": "not_an_image", "five": "not_found", "six": "no_address"}
    assert run.rejected == {"not_an_image": 1, "not_found": 1, "no_address": 1}
    assert (run.rows_in, run.rows_out, run.metrics["images_fetched"]) == (6, 3, 5)
    assert warehouse.read(IMAGE_BYTES).count() == 1
    assert [r.emphasis for r in warehouse.read(EMBEDDINGS).collect()] == [None], "the perceptual encoder gives none"
    before = contents(warehouse)
    again = run_stage(STAGE, warehouse, settings, FIRST)
    assert (again.metrics["images_fetched"], again.metrics["stored_images_encoded"]) == (0, 0)
    assert contents(warehouse) == before


def test_pictures_can_be_fetched_first_and_encoded_later(settings, warehouse, tmp_path):
    banners = {"one": "a.png", "two": "copy-of-a.png", "three": "b.png", "four": "text.png", "five": "gone.png"}
    at_once = Warehouse(warehouse.spark, str(tmp_path / "at_once"))
    for place in (warehouse, at_once):
        serve(place, FIRST, **banners)
    nowhere = with_section(settings, "encoder", name="dinov2", weights="/nowhere", gpu_per_task=1.0)
    FETCH.check(nowhere)
    run = run_stage(FETCH, warehouse, nowhere, FIRST)
    assert (run.rows_in, run.rows_out, run.rejected) == (5, 3, {"not_an_image": 1, "not_found": 1})
    assert warehouse.read(IMAGE_BYTES).count() == 2 and not warehouse.exists(EMBEDDINGS)
    assert run_stage(FETCH, warehouse, nowhere, FIRST).metrics["images_fetched"] == 0
    later = run_stage(STAGE, warehouse, settings, FIRST)
    assert (later.metrics["images_fetched"], later.metrics["stored_images_encoded"]) == (0, 2)
    run_stage(STAGE, at_once, settings, FIRST)
    assert contents(warehouse) == contents(at_once)


def test_what_a_store_lost_is_no_silent_success(settings, warehouse, monkeypatch):
    serve(warehouse, FIRST, one="a.png", two="b.png")
    with monkeypatch.context() as patch:
        whole = job.t.fetch_rows
        patch.setattr(job.t, "fetch_rows", lambda *given: whole(*given).limit(1))
        with pytest.raises(ServiceError, match=r"2 banners were due, and 1 came back.*again"):
            run_stage(STAGE, warehouse, settings, FIRST)
    assert not warehouse.exists(IMAGE_FETCHES)
    assert run_stage(STAGE, warehouse, settings, FIRST).rows_out == 2 and warehouse.read(EMBEDDINGS).count() == 2


def test_stored_pictures_whose_batches_a_store_lost_are_no_silent_success(settings, warehouse, monkeypatch):
    serve(warehouse, FIRST, one="a.png", two="b.png", three="c.png")
    run_stage(FETCH, warehouse, settings, FIRST)
    whole = making._staged

    def loses_all_but_one(spark, folder):
        for file in sorted(Path(folder).glob("*.parquet"))[1:]:
            file.unlink()
        return whole(spark, folder)

    with monkeypatch.context() as patch:
        patch.setattr(making, "_staged", loses_all_but_one)
        with pytest.raises(ServiceError, match=r"3 stored pictures were due, and [12] came back.*again"):
            run_stage(STAGE, warehouse, settings, FIRST)
    assert warehouse.read(EMBEDDINGS).isEmpty()
    run_stage(STAGE, warehouse, settings, FIRST)
    assert warehouse.read(EMBEDDINGS).count() == 3


@pytest.mark.parametrize("kind", ["table", "cache"])
def test_stored_pictures_that_another_encoder_cannot_have_are_counted(settings, warehouse, tmp_path, kind):
    cache = str(tmp_path / "cache") if kind == "cache" else None
    settings = with_section(settings, "fetch", image_cache=cache)
    serve(warehouse, FIRST, one="a.png", two="b.png", three="c.png", four="text.png")
    run_stage(STAGE, warehouse, settings, FIRST)
    gone, spoilt = (hashlib.sha256(png(ord(name))).hexdigest() for name in "ab")
    if cache:
        ImageCache(cache).remove(gone)
        Path(ImageCache(cache).path(spoilt)).write_bytes(b"cut")
    else:
        table = f"delta.`{warehouse.path(IMAGE_BYTES)}`"
        warehouse.spark.sql(f"DELETE FROM {table} WHERE content_hash = '{gone}'")
        warehouse.spark.sql(f"UPDATE {table} SET data = X'00' WHERE content_hash = '{spoilt}'")
    other = with_section(settings, "encoder", trim_borders=False)
    for encoded in (1, 0):  # again, and again without an error
        run = run_stage(STAGE, warehouse, other, FIRST)
        assert (run.metrics["stored_images_encoded"], run.rejected["no_bytes"]) == (encoded, 2)
    assert warehouse.read(EMBEDDINGS).count() == 3 + 1
    strict = with_section(with_section(settings, "decode", max_pixels=1), "encoder", trim_borders=False, name="perceptual")
    warehouse.spark.sql(f"DELETE FROM delta.`{warehouse.path(EMBEDDINGS)}`")
    run = run_stage(STAGE, warehouse, strict, FIRST)
    assert (run.metrics["stored_images_encoded"], run.rejected["too_many_pixels"], run.rejected["no_bytes"]) == (0, 1, 2)


def test_stored_bytes_are_read_once_and_after_a_kill_only_those_of_what_is_left(settings, warehouse, monkeypatch):
    serve(warehouse, FIRST, one="a.png", two="b.png", three="c.png")
    run_stage(FETCH, warehouse, settings, FIRST)
    read, make, asked = making.stored_bytes, making.Workshop.from_contents, []
    monkeypatch.setattr(making, "stored_bytes", lambda *given: asked.append(given[-1].count()) or read(*given))

    def dies(workshop, contents):
        make(workshop, contents)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(making.Workshop, "from_contents", dies)
        with pytest.raises(KeyboardInterrupt):
            run_stage(STAGE, warehouse, settings, FIRST)
    assert asked == [3] and warehouse.read(EMBEDDINGS).isEmpty()
    serve(warehouse, FIRST, one="a.png", two="b.png", three="c.png", four="copy-of-a.png")
    run = run_stage(STAGE, warehouse, settings, FIRST)
    assert asked == [3, 0] and (run.metrics["images_fetched"], run.metrics["stored_images_encoded"]) == (1, 2)
    assert warehouse.read(EMBEDDINGS).count() == 3


def test_failures_are_tried_again_after_the_configured_days(settings, warehouse, tmp_path):
    patient = settings.model_copy(update={"fetch": settings.fetch.model_copy(update={"retry_after_days": 2})})
    fetched = []
    for offset in range(4):
        day = FIRST + datetime.timedelta(days=offset)
        serve(warehouse, day, one="late.png")
        fetched.append(run_stage(STAGE, warehouse, patient, day).metrics["images_fetched"])
        if offset == 0:
            (tmp_path / "images/late.png").write_bytes(png(9))
    assert fetched == [1, 0, 1, 0]
    (row,) = warehouse.read(IMAGE_FETCHES).collect()
    assert (row.status, row.fetched_dt) == ("ok", FIRST + datetime.timedelta(days=2))


def with_section(settings, section: str, **changes):
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=changes)})


@pytest.mark.parametrize("kind", ["table", "cache"])
def test_another_encoder_reads_the_stored_bytes(settings, warehouse, tmp_path, kind):
    settings = with_section(settings, "fetch", image_cache=str(tmp_path / "cache") if kind == "cache" else None)
    serve(warehouse, FIRST, one="a.png", two="b.png")
    run_stage(STAGE, warehouse, settings, FIRST)
    assert warehouse.exists(IMAGE_BYTES) == (kind == "table")
    for file in (tmp_path / "images").iterdir():
        file.unlink()
    run = run_stage(STAGE, warehouse, with_section(settings, "encoder", trim_borders=False), FIRST)
    assert (run.metrics["images_fetched"], run.metrics["stored_images_encoded"]) == (0, 2)
    counts = {r.encoder_id: r["count"] for r in warehouse.read(EMBEDDINGS).groupBy("encoder_id").count().collect()}
    assert sorted(counts.values()) == [2, 2] and len(counts) == 2


def test_an_encoder_that_is_away_loses_no_picture_and_a_chain_goes_on_without_it(settings, warehouse):
    nowhere = settings.encoder.remote.model_copy(
        update={"endpoint": "http://127.0.0.1:9/embed", "model": "m", "deadline_s": 2.0, "attempts": 1}
    )
    away = with_section(settings, "encoder", name="remote", remote=nowhere)
    serve(warehouse, FIRST, one="a.png", two="b.png", three="gone.png")
    run = run_stage(STAGE, warehouse, away, FIRST)
    assert (run.rows_out, run.rejected) == (2, {"not_found": 1, "encoder_unavailable": 2})
    assert warehouse.read(EMBEDDINGS).count() == 0
    again = run_stage(STAGE, warehouse, away, FIRST)
    assert (again.metrics["images_fetched"], again.metrics["stored_images_encoded"]) == (0, 0)
    assert again.rejected == {"encoder_unavailable": 2}
    chained = with_section(away, "encoder", chain=(EncoderLink(name="perceptual"),))
    run = run_stage(STAGE, warehouse, chained, FIRST)
    assert (run.metrics["stored_images_encoded"], run.rejected) == (2, {})
    assert {r.encoder_id.split("-")[0] for r in warehouse.read(EMBEDDINGS).collect()} == {"perceptual"}
    assert run_stage(STAGE, warehouse, chained, FIRST).metrics["stored_images_encoded"] == 0


def test_a_run_cut_after_its_vectors_is_completed_by_the_next(settings, warehouse):
    serve(warehouse, FIRST, one="a.png", two="b.png", three="gone.png")
    run_stage(STAGE, warehouse, settings, FIRST)
    whole = contents(warehouse)
    warehouse.spark.sql(f"DELETE FROM delta.`{warehouse.path(IMAGE_FETCHES)}`")
    run_stage(STAGE, warehouse, settings, FIRST)
    assert contents(warehouse) == whole


def test_every_file_of_a_folder_becomes_a_row(spark, base_settings, shared_data, tmp_path):
    run_on_files(spark, base_settings, {"images": str(shared_data / "formats"), "out": str(tmp_path / "out")})
    rows = pd.read_parquet(tmp_path / "out").set_index("file")
    files = [p for p in (shared_data / "formats").rglob("*") if p.is_file()]
    assert sorted(rows.index) == sorted(str(p.relative_to(shared_data / "formats")) for p in files)
    pictures = rows[[not n.endswith(("LICENSE", ".md")) for n in rows.index]]
    assert set(pictures.status) == {"ok"}
    assert set(rows.status) == {"ok", "not_an_image"}
    vectors = {n: np.asarray(v) for n, v in pictures.vector.items()}
    modes = [n for n in vectors if "/modes/" in n and n.split("/")[-1].split(".")[0] in ("RGB", "RGBA", "P", "CMYK", "YCbCr")]
    original = vectors["misc-images/modes/original.jpg"]
    assert min(vectors[n] @ original for n in modes) > 0.95
    assert rows.pixel_hash["misc-images/modes/RGBA.png"] == rows.pixel_hash["bridge-mods/aaa-orig.jpg"]
    assert {tuple(rows.loc[f"dih/bridge-{n}.jpg", ["width", "height"]]) for n in ("2-rotate-90", "4-rotate-270")} == {
        (1004, 1600)
    }


def test_exif_turned_files_have_the_vector_of_the_upright_one(spark, base_settings, tmp_path):
    upright = Image.open(io.BytesIO(png(3))).resize((120, 80))
    exif = Image.Exif()
    exif[0x0112] = 8
    (tmp_path / "in").mkdir()
    upright.save(tmp_path / "in/upright.png")
    upright.rotate(-90, expand=True).save(tmp_path / "in/turned.png", exif=exif)
    assert ImageOps.exif_transpose(Image.open(tmp_path / "in/turned.png")).size == upright.size
    run_on_files(spark, base_settings, {"images": str(tmp_path / "in"), "out": str(tmp_path / "out")})
    rows = pd.read_parquet(tmp_path / "out").set_index("file")
    assert rows.pixel_hash["upright.png"] == rows.pixel_hash["turned.png"]
    assert np.array_equal(rows.vector["upright.png"], rows.vector["turned.png"])


@pytest.fixture(scope="module")
def dinov2(base_settings, tmp_path_factory):
    """Settings of a tiny checkpoint with random weights."""
    folder = tmp_path_factory.mktemp("checkpoint")
    save("dinov2", folder)
    return base_settings.encoder.model_copy(
        update={"name": "dinov2", "weights": str(folder), "resolution_px": None, "precision": "fp32"}
    )


def test_rows_tell_where_in_the_picture_their_vector_comes_from(settings, warehouse, dinov2):
    serve(warehouse, FIRST, one="a.png", two="b.png", three="text.png")
    looking = settings.model_copy(update={"encoder": dinov2})
    run_stage(STAGE, warehouse, looking, FIRST)
    stored = {r.content_hash: bytes(r.emphasis) for r in warehouse.read(EMBEDDINGS).collect()}
    encoder = make_encoder(dinov2)
    files = [png(ord(name)) for name in "ab"]
    pixels = [np.asarray(Image.open(io.BytesIO(f)).convert("RGB")) for f in files]
    maps = encoder.encode([encoder.prepare(p) for p in pixels]).emphasis.astype(int)
    assert sorted(stored) == sorted(hashlib.sha256(f).hexdigest() for f in files)
    for file, expected in zip(files, maps, strict=True):
        seen = np.frombuffer(stored[hashlib.sha256(file).hexdigest()], np.uint8).reshape(CELLS, CELLS)
        assert seen.max() == 255 and np.abs(seen - expected).max() <= 1
