"""Making on Spark: staged batches are gone on with, one row per key is read, and nothing is left behind."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark import TaskContext
from test_embedding_kernel import NAMES, batches_of, comparable, png, without_times

from bannermap.embedding.frames import ADDRESSES
from bannermap.embedding.kernel import ImageKernel
from bannermap.embedding.making import StagedTask, Workshop
from bannermap.embedding.staging import Staging
from bannermap.platform.runs import JobContext, Run
from bannermap.platform.storage import Warehouse

DAY = datetime.date(2026, 1, 1)
PICTURES = [n for n in NAMES if n is None or not n.startswith(("..", "ftp"))]


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "images"
    root.mkdir()
    for n in range(24):
        (root / f"{n}.png").write_bytes(png(n // 2))
    for name in ("cut.png", "text.png", "empty.png"):
        (root / name).write_bytes(b"<html>")
    return root


@pytest.fixture
def workshop(folder, warehouse, base_settings):
    """Makes a workshop: of a new run each time, as a job has it."""

    def made(read_only=False, **changes):
        encoder = base_settings.encoder.model_copy(update={"name": "perceptual", "weights": None, "batch_images": 4, **changes})
        kernel = ImageKernel(str(folder), base_settings.fetch, base_settings.decode, encoder)
        place = Warehouse(warehouse.spark, warehouse.root, read_only=read_only)
        return Workshop(JobContext(place, base_settings, DAY, Run("embed_banners", DAY)), kernel)

    return made


def rows_of(frame) -> list[str]:
    return comparable(without_times([row.asDict() for row in frame.collect()]))


def staged_files(warehouse) -> list[Path]:
    return sorted(Path(warehouse.root).glob("_staging/embed_banners/**/*.parquet"))


def test_what_ran_twice_or_was_staged_before_is_one_row_and_is_not_made_again(spark, warehouse, workshop, folder):
    todo = spark.createDataFrame([(n,) for n in PICTURES], ADDRESSES.schema)
    expected = rows_of(workshop(read_only=True).from_addresses(todo))
    assert len(expected) == len(PICTURES) and staged_files(warehouse) == []
    assert rows_of(workshop().from_addresses(todo)) == expected
    files = staged_files(warehouse)
    # A task that ran twice at once staged its batches under another attempt; one of them was cut off by a kill.
    twice = [f.with_name(f.name.replace("-0000", "-9999", 1)) for f in files[:3]]
    for old, new in zip(files, twice, strict=False):
        new.write_bytes(old.read_bytes())
    files[-1].unlink()
    lost = len(expected) - sum(len(pq.read_table(f)) for f in files[:-1])
    before = {f: f.stat().st_mtime_ns for f in staged_files(warehouse)}
    for file in folder.iterdir():
        file.touch()
    again = workshop().from_addresses(todo)
    added = [f for f in staged_files(warehouse) if f not in before]
    assert sum(len(pq.read_table(f)) for f in added) == lost > 0
    for _ in range(2):
        assert Counter(rows_of(again)) == Counter(expected)
    some = spark.createDataFrame([(n,) for n in PICTURES[:5]], ADDRESSES.schema)
    assert rows_of(workshop().from_addresses(some)) == rows_of(workshop(read_only=True).from_addresses(some))
    count = len(staged_files(warehouse))
    other = workshop(trim_borders=False)
    assert rows_of(other.from_addresses(todo)) != expected  # other settings are another encoder_id
    assert len(staged_files(warehouse)) > count
    workshop(read_only=True).clear()
    assert staged_files(warehouse)
    other.clear()
    assert not (Path(warehouse.root) / "_staging/embed_banners" / f"dt={DAY}").exists()


def test_nothing_to_do_gives_no_rows(spark, workshop):
    assert workshop().from_addresses(spark.createDataFrame([], ADDRESSES.schema)).collect() == []


class Attempt:
    """What a task knows of itself."""

    def __init__(self, number: int) -> None:
        self.number = number

    def partitionId(self) -> int:
        return 3

    def taskAttemptId(self) -> int:
        return 100 + self.number


@pytest.mark.parametrize("killed_after", range(4))
def test_a_further_attempt_makes_only_what_is_not_staged(tmp_path, monkeypatch, killed_after):
    """An attempt that ends after some batches; the next gets what is left, and all are staged once."""
    made = []

    def making(batches):
        left = [key for batch in batches for key in batch.column(0).to_pylist()]
        for start in range(0, len(left), 2):
            made.append(left[start : start + 2])
            yield pa.RecordBatch.from_pydict({"image_url": pa.array(left[start : start + 2], pa.string())})

    keys = ["a", "b", None, "c", "d", "e"]
    task = StagedTask(making, Staging(str(tmp_path)), "image_url", "run")
    monkeypatch.setattr(TaskContext, "get", lambda: Attempt(0))
    first = task(batches_of(keys, 4))
    counts = [next(first).column(0).to_pylist() for _ in range(killed_after)]
    first.close()
    monkeypatch.setattr(TaskContext, "get", lambda: Attempt(1))
    counts += [batch.column(0).to_pylist() for batch in task(batches_of(keys, 4))]
    assert counts == [[2]] * 3
    assert made == [["a", "b"], [None, "c"], ["d", "e"]]
    rows = [key for f in sorted(tmp_path.glob("*.parquet")) for key in pq.read_table(f).column(0).to_pylist()]
    assert rows == keys
