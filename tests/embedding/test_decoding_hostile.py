"""The hostile corpus in a child process: every file ends as a picture or a typed failure, in bounded time and memory. Once file
by file, and once through a task's kernel, in a process that has imported what Spark's Python worker imports."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
from hostile_images import hostile_images

from bannermap.embedding.decoding.decode import decode
from bannermap.embedding.statuses import DECODE_FAILURES, OK, Failure

WORKER_MB = 512
"""Peak resident memory of a worker, interpreter and libraries included. Read from /proc: what getrusage says survives an exec,
and so would be that of the test process."""

START = """
import json, re, sys, time
from pathlib import Path
from bannermap.platform.settings import Settings

whole = Settings.model_validate_json(sys.argv[1])
settings = whole.decode

def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
"""

WORKER = """
from bannermap.embedding.decoding.decode import decode
from bannermap.embedding.decoding.resizing import fitted
from bannermap.embedding.statuses import Failure

for path in sorted(Path(sys.argv[2]).iterdir()):
    data, started_s = path.read_bytes(), time.thread_time()
    try:
        pixels = decode(data, settings).pixels
        assert min(fitted(pixels, "grid", 112, 14).shape[:2]) >= 14
        status = "ok"
    except Failure as failure:
        status = failure.status
    print(json.dumps([path.name, status, time.thread_time() - started_s, peak_mb()]), flush=True)
"""

TASK = """
import pyarrow as pa
import pyspark.worker
from bannermap.embedding.kernel import ImageKernel

def stored():
    held = []
    for path in sorted(Path(sys.argv[2]).iterdir()):
        held.append(path.read_bytes())
        if sum(map(len, held)) >= 16 << 20:  # what Spark hands over at once, see platform/session.py
            yield pa.RecordBatch.from_pydict({"content_hash": [""] * len(held), "data": held})
            held = []
    yield pa.RecordBatch.from_pydict({"content_hash": [""] * len(held), "data": held})

kernel = ImageKernel(".", whole.fetch, settings, whole.encoder)
rows = [row for batch in kernel.from_bytes(stored()) for row in batch.drop_columns(["data"]).to_pylist()]
kept = ("content_hash", "status", "encoder_id", "not_encoded")
heavy = sorted({"torch", "transformers"} & set(sys.modules))
print(json.dumps([[{k: row[k] for k in kept} for row in rows], heavy, peak_mb()]), flush=True)
"""


@pytest.fixture(scope="module")
def corpus():
    return hostile_images()


@pytest.fixture(scope="module")
def worker(corpus, base_settings, tmp_path_factory):
    """The child process, after it went through all files, and the folder of the files."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, data in enumerate(corpus.values()):
        (folder / f"{number:04d}").write_bytes(data)
    return run_child(WORKER, base_settings, folder), folder


@pytest.fixture(scope="module")
def task(worker, base_settings):
    """Another one, after all files went through a kernel: rows, heavy modules, peak megabytes."""
    encoder = base_settings.encoder.model_copy(update={"name": "perceptual", "weights": None})
    done = run_child(TASK, base_settings.model_copy(update={"encoder": encoder}), worker[1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_child(script, settings, folder):
    command = [sys.executable, "-c", START + script, settings.model_dump_json(), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def outcomes(corpus, worker):
    """Name to (status, seconds of processor time, peak megabytes so far)."""
    rows = [json.loads(line) for line in worker[0].stdout.splitlines()]
    return dict(zip(corpus, (row[1:] for row in rows), strict=False))


def test_the_corpus_is_large(corpus):
    assert len(corpus) >= 100 and len(set(corpus.values())) > 0.95 * len(corpus)


def test_the_worker_lives_and_every_file_ends_typed(corpus, worker, outcomes):
    assert worker[0].returncode == 0, worker[0].stderr
    assert worker[0].stderr == ""
    assert outcomes.keys() == corpus.keys()
    assert {status for status, _, _ in outcomes.values()} <= {OK, *DECODE_FAILURES}


def test_no_file_takes_longer_than_its_limit_or_much_memory(outcomes, base_settings):
    """The limit is looked at between pieces, hence the second."""
    slow = {name: seconds for name, (_, seconds, _) in outcomes.items() if seconds > base_settings.decode.max_decode_s + 1}
    assert not slow
    assert max(peak for _, _, peak in outcomes.values()) < WORKER_MB


def test_a_task_gives_each_file_its_row_in_as_much_memory(corpus, task, outcomes):
    rows, heavy, peak_mb = task
    assert heavy == [] and peak_mb < WORKER_MB
    expected = sorted((hashlib.sha256(data).hexdigest(), outcomes[name][0]) for name, data in corpus.items())
    assert sorted((row["content_hash"], row["status"]) for row in rows) == expected
    assert all((row["encoder_id"] is not None) == (row["status"] == OK) and row["not_encoded"] is None for row in rows)


@pytest.mark.parametrize(
    ("group", "allowed"),
    [
        ("cut/", {"truncated", "decode_error", "not_an_image"}),
        ("mislabelled/", {"truncated", "decode_error", "not_an_image", "unsupported_format", "too_many_pixels"}),
        ("polyglots/", {OK, "unsupported_format"}),
    ],
)
def test_files_of_a_kind_end_as_they_should(group, allowed, outcomes):
    found = {name: status for name, (status, _, _) in outcomes.items() if name.startswith(group)}
    assert len(found) >= 5 and {n: s for n, s in found.items() if s not in allowed} == {}


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("png_bombs/30,000 x 30,000", "too_many_pixels"),
        ("png_bombs/strip of 50,000,000", "too_many_pixels"),
        ("png_bombs/4000 x 3000", OK),
        ("png_bombs/texts of 300 MB", OK),
        ("png_bombs/profiles of 300 MB", OK),
        ("png_bombs/EXIF that refers to itself", OK),
        ("png_bombs/a million chunks", "decode_error"),
        ("jpeg_lies/65,535 x 65,535", "too_many_pixels"),
        ("jpeg_lies/cut, with a whole picture in EXIF", "truncated"),
        ("jpeg_lies/EXIF that refers to itself", OK),
        ("jpeg_lies/progressive bomb of scans", "decode_error"),
        ("gif_lies/100,000 frames without delay", "too_many_frames"),
        ("gif_lies/199 frames of 4000 x 3000", "too_many_pixels"),
        ("gif_lies/frame outside the canvas", "too_many_pixels"),
        ("riff_lies/canvas of 16,777,216 x 16,777,216", "too_many_pixels"),
        ("riff_lies/5,000 frames", "too_many_frames"),
        ("avif_lies/EXIF that refers to itself", OK),
        ("bmp_lies/from top to bottom", OK),
        ("bmp_lies/size that overflows", "too_many_pixels"),
    ],
)
def test_what_is_known_of_a_file_is_said(name, status, outcomes):
    assert outcomes[name][0] == status


def test_an_image_that_takes_too_long_is_a_timeout(corpus, base_settings):
    hurried = base_settings.decode.model_copy(update={"max_decode_s": 1e-6})
    for name in ("jpeg_lies/86 scans of 4000 x 3000", "bmp_lies/run lengths of one pixel rows", "png_bombs/4000 x 3000"):
        with pytest.raises(Failure) as caught:
            decode(corpus[name], hurried)
        assert caught.value.status == "decode_timeout"
