"""A task's rows against the same done one by one, and batches that are staged whole or not at all."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bannermap.embedding.decoding.decode import decode
from bannermap.embedding.encoders.interface import encode_pictures, make_encoder
from bannermap.embedding.fetching.fetch import Fetched
from bannermap.embedding.fetching.stream import fetch_all
from bannermap.embedding.frames import IMAGES, STEPS
from bannermap.embedding.kernel import ImageKernel
from bannermap.embedding.staging import Staging
from bannermap.embedding.statuses import OK, Failure

TIMES = {f"{step}_s" for step in STEPS}


def png(seed: int) -> bytes:
    rng, target = np.random.default_rng(seed), io.BytesIO()
    height, width = rng.integers(5, 60, 2)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(target, "PNG")
    return target.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pictures, copies, damaged ones and texts."""
    root = tmp_path_factory.mktemp("pictures")
    for n in range(24):
        (root / f"{n}.png").write_bytes(png(n // 2))
    (root / "cut.png").write_bytes(png(3)[:200])
    (root / "text.png").write_bytes(b"<html>")
    (root / "empty.png").write_bytes(b"")
    return root


NAMES = [*(f"{n}.png" for n in range(24)), "cut.png", "text.png", "empty.png", "gone.png", "../outside.png", "ftp://a/b", None]


def naive(kernel: ImageKernel, address: str | None, fetched: Fetched) -> dict:
    """One picture by itself, from the parts."""
    encoder = make_encoder(kernel.encoder)
    row = dict.fromkeys(IMAGES.columns) | {"image_url": address, "status": fetched.status, "error": fetched.error}
    row |= {"attempts": fetched.attempts, "content_hash": fetched.content_hash}
    if fetched.data is None:
        return row
    row["bytes"] = len(fetched.data)
    try:
        picture = decode(fetched.data, kernel.decode)
    except Failure as failure:
        return row | {"status": failure.status, "error": failure.message}
    height, width, _ = picture.pixels.shape
    facts = {"pixel_hash": picture.pixel_hash, "format": picture.format, "frames": picture.frames}
    (vector,) = encode_pictures(encoder, [picture.pixels])
    made = {"data": fetched.data, "encoder_id": encoder.encoder_id, "vector": vector.tolist()}
    return row | facts | made | {"width": width, "height": height, "status": OK, "error": None}


def comparable(rows: list[dict], vectors: bool = True) -> list[str]:
    """Rows without times, in one order; vectors to 6 digits, since a batch may round the last bits another way."""
    shown = []
    for row in rows:
        vector = row["vector"] and np.round(row["vector"], 6).tolist() if vectors else None
        shown.append(str(sorted((row | {"vector": vector}).items())))
    return sorted(shown)


def without_times(rows: list[dict]) -> list[dict]:
    return [{k: None if k in TIMES else v for k, v in row.items()} for row in rows]


def batches_of(names, size, column="image_url"):
    return [pa.RecordBatch.from_pydict({column: pa.array(names[i : i + size], pa.string())}) for i in range(0, len(names), size)]


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sampled_from(NAMES), max_size=40),
    batch=st.integers(1, 9),
    threads=st.integers(1, 4),
    queued=st.integers(1, 9),
)
def test_rows_are_those_of_one_picture_at_a_time(base_settings, folder, names, batch, threads, queued):
    kernel = ImageKernel(
        str(folder),
        base_settings.fetch.model_copy(update={"queued_images": queued}),
        base_settings.decode.model_copy(update={"threads_per_task": threads}),
        base_settings.encoder.model_copy(update={"name": "perceptual", "weights": None, "batch_images": batch}),
    )
    made = list(kernel.from_addresses(batches_of(names, 7)))
    assert [b.num_rows for b in made] == [batch] * (len(names) // batch) + [len(names) % batch] * (len(names) % batch > 0)
    rows = [row for b in made for row in b.to_pylist()]
    expected = [naive(kernel, n, f) for n, f in zip(names, fetch_all(names, folder, kernel.fetch), strict=True)]
    assert comparable(without_times(rows)) == comparable(expected)
    assert all(math.isfinite(row[t]) and row[t] >= 0 for row in rows for t in TIMES)
    files = [f.read_bytes() for f in sorted(folder.iterdir())][: len(names)]
    stored = pa.RecordBatch.from_pydict({"content_hash": [""] * len(files), "data": pa.array(files, pa.binary())})
    again = [row for b in kernel.from_bytes([stored]) for row in b.to_pylist()]
    assert comparable(without_times(again)) == comparable([naive(kernel, None, Fetched(OK, data=f)) for f in files])


def test_what_is_only_fetched_and_decoded_has_all_but_a_vector_and_no_encoder_is_made(base_settings, folder):
    kernel = ImageKernel(str(folder), base_settings.fetch, base_settings.decode, base_settings.encoder)
    nowhere = base_settings.encoder.model_copy(update={"name": "dinov2", "weights": "/nowhere"})
    bare = ImageKernel(str(folder), base_settings.fetch, base_settings.decode, nowhere, encodes=False)
    rows = [row for b in bare.from_addresses(batches_of(NAMES, 7)) for row in b.to_pylist()]
    expected = [naive(kernel, n, f) for n, f in zip(NAMES, fetch_all(NAMES, folder, kernel.fetch), strict=True)]
    absent = dict.fromkeys(("vector", "encoder_id", "emphasis", "not_encoded"))
    assert comparable(without_times(rows)) == comparable([row | absent for row in expected])


def test_large_files_make_smaller_batches(base_settings, folder, monkeypatch):
    monkeypatch.setattr("bannermap.embedding.kernel.BATCH_BYTES", 1)
    kernel = ImageKernel(
        str(folder),
        base_settings.fetch,
        base_settings.decode,
        base_settings.encoder.model_copy(update={"name": "perceptual", "weights": None}),
    )
    assert {b.num_rows for b in kernel.from_addresses(batches_of(["1.png", "2.png", "cut.png"], 9))} == {1}


def test_a_schema_of_spark_reads_the_rows(base_settings, folder):
    kernel = ImageKernel(
        str(folder),
        base_settings.fetch,
        base_settings.decode,
        base_settings.encoder.model_copy(update={"name": "perceptual", "weights": None}),
    )
    (batch,) = kernel.from_addresses(batches_of(["1.png", None], 9))
    assert set(batch.schema.names) == set(IMAGES.columns)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", range(4))
def test_a_batch_is_staged_whole_or_not_at_all(tmp_path, monkeypatch, at):
    """The writing ends at each of its steps; what is there stays readable, and the same name can be written afterwards."""
    staging, rows = Staging(str(tmp_path / "stage")), pa.RecordBatch.from_pydict({"key": ["a", None, "b"]})
    staging.write(rows, "run-000001-0")
    steps = iter(range(10))

    def cut(stream_step):
        if next(steps) == at:
            raise Killed
        return stream_step

    real = pq.write_table

    def write_table(table, stream, **options):
        sink = io.BytesIO()
        real(table, sink, **options)
        for start in range(0, 3 * len(sink.getvalue()), len(sink.getvalue())):
            stream.write(cut(sink.getvalue()[start // 3 : (start + len(sink.getvalue())) // 3]))
        cut(b"")

    monkeypatch.setattr(pq, "write_table", write_table)
    with pytest.raises(Killed):
        staging.write(pa.RecordBatch.from_pydict({"key": ["c"]}), "run-000001-1")
    monkeypatch.setattr(pq, "write_table", real)
    shown = [p.name for p in (tmp_path / "stage").iterdir() if not p.name.startswith(("_", "."))]
    assert shown == ["run-000001-0.parquet"] and staging.values("run-000001-", "key") == {"a", "b", None}
    staging.write(pa.RecordBatch.from_pydict({"key": ["c"]}), "run-000001-1")
    staging.write(pa.RecordBatch.from_pydict({"key": ["d"]}), "run-000002-0")
    assert staging.values("run-000001-", "key") == {"a", "b", "c", None}
    assert staging.values("run-", "key") == {"a", "b", "c", "d", None} and staging.values("other-", "key") == set()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert Staging(str(tmp_path / "none")).values("", "key") == set()
