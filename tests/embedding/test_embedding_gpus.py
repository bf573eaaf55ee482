"""Tasks get GPUs of their own from a master that gives them; no device is needed to see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from killing import write_pictures
from repository import ROOT

from bannermap.embedding.making import made_in_tasks
from bannermap.launcher.masters import given_settings

DISCOVERY = ROOT / "conf/spark/gpus.sh"
ON_A_CLUSTER = """
import json, os, sys, time
import pyarrow as pa
from pathlib import Path
from bannermap.embedding.job import image_kernel
from bannermap.embedding.making import made_in_tasks
from bannermap.platform.config import load_settings
from bannermap.platform.session import build_session

base, extra, folder = sys.argv[1:]
settings = load_settings(Path(base))
spark = build_session(settings.spark.model_copy(update={"extra": json.loads(extra)}))
kernel = image_kernel(settings, ".")

def gpus():
    from pyspark import TaskContext
    return [a for r in TaskContext.get().resources().values() for a in r.addresses]

def shown(batches):
    began = time.time()
    for _ in batches:
        time.sleep(0.3)
    yield pa.RecordBatch.from_pydict({"addresses": [gpus()], "began": [began], "ended": [time.time()]})

def later(batches):
    for _ in batches:
        pass
    yield pa.RecordBatch.from_pydict({"count": [len(gpus())]})

def encoded(batches):
    from bannermap.embedding.encoders import backbone
    if not hasattr(backbone, "loads"):
        load, backbone.loads = backbone.load_model, 0
        def counted(*arguments):
            backbone.loads += 1
            return load(*arguments)
        backbone.load_model = counted
    vectors = sum(len(rows) - rows.column("vector").null_count for rows in kernel.from_bytes(batches))
    yield pa.RecordBatch.from_pydict({"pid": [os.getpid()], "gpu": gpus(), "vectors": [vectors], "loads": [backbone.loads]})

found, schema = {}, "addresses array<string>, began double, ended double"
for share in (0.0, 1.0, 0.5):
    encoder = settings.encoder.model_copy(update={"gpu_per_task": share})
    frame = made_in_tasks(spark.range(6).repartition(6), shown, encoder, schema)
    found[share] = [list(row) for row in frame.collect()]
frame = made_in_tasks(spark.range(2).repartition(2), shown, settings.encoder.model_copy(update={"gpu_per_task": 1.0}), schema)
found["later"] = [row[0] for row in frame.repartition(2).mapInArrow(later, "count long").collect()]
files = [(p.name, p.read_bytes()) for p in sorted(Path(folder).glob("*.png"))]
stored = spark.createDataFrame(files, "content_hash string, data binary").repartition(6, "content_hash")
encoder = settings.encoder.model_copy(update={"gpu_per_task": 1.0})
frame = made_in_tasks(stored, encoded, encoder, "pid long, gpu string, vectors long, loads long")
found["encoded"] = [row.asDict() for row in frame.collect()]
print(json.dumps(found))
spark.stop()
"""


def with_gpus(folder: Path, lines: str) -> dict[str, str]:
    """Variables of a machine whose nvidia-smi prints these lines."""
    folder.mkdir(exist_ok=True)
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{lines}\n")
    (folder / "nvidia-smi").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    """What tasks saw on a cluster of one worker, of conf/spark/gpu.conf with sizes that fit, and a machine of GPUs 3 and 7."""
    home = tmp_path_factory.mktemp("gpus")
    write_pictures(home / "pictures", 24)
    script = {f"spark.{who}.resource.gpu.discoveryScript": str(DISCOVERY) for who in ("worker", "executor")}
    extra = given_settings(["--properties-file", str(ROOT / "conf/spark/gpu.conf")], home) | script
    extra |= {f"spark.{who}.resource.gpu.amount": "2" for who in ("worker", "executor")}
    extra |= {"spark.master": "local-cluster[1,2,1024]", "spark.executor.cores": "2", "spark.executor.memory": "512m"}
    extra |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false"}
    extra |= {"spark.sql.shuffle.partitions": "2", "spark.executor.memoryOverhead": "512m"}
    line = [sys.executable, "-c", ON_A_CLUSTER, str(ROOT / "conf/base.yaml"), json.dumps(extra), str(home / "pictures")]
    own = with_gpus(home / "bin", "printf '3\\n7\\n'") | {"SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": f"{ROOT}/src"}
    done = subprocess.run(line, capture_output=True, text=True, cwd=home, env=own, timeout=400)
    assert done.returncode == 0, done.stderr[:3000] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_task_gets_the_share_of_gpus_that_the_settings_ask_for(found):
    assert [addresses for addresses, _, _ in found["0.0"]] == [[]] * 6
    for share, most in (("1.0", 1), ("0.5", 2)):
        assert {len(addresses) for addresses, _, _ in found[share]} == {1}
        assert {addresses[0] for addresses, _, _ in found[share]} <= {"3", "7"}
        for (address,), began, ended in found[share]:
            beside = [b for (a,), b, e in found[share] if a == address and b < ended and e > began]
            assert sum(began <= b for b in beside) <= most


@pytest.mark.slow
def test_only_the_stage_that_encodes_holds_gpus(found):
    assert found["later"] and set(found["later"]) == {0}


@pytest.mark.slow
def test_a_worker_loads_its_model_once_for_all_its_tasks(found):
    rows = found["encoded"]
    assert sum(row["vectors"] for row in rows) == 24 and {row["gpu"] for row in rows} == {"3", "7"}
    workers = {row["pid"] for row in rows}
    assert len(workers) <= 2 < len(rows), "tasks share workers"
    assert {row["loads"] for row in rows} == {1}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("printf '0\\n1\\n'", '{"name": "gpu", "addresses": ["0","1"]}'),
        ("printf ' 12 \\n'", '{"name": "gpu", "addresses": ["12"]}'),
    ],
)
def test_gpus_are_told_as_spark_reads_them(tmp_path, lines, told):
    done = subprocess.run([str(DISCOVERY)], capture_output=True, text=True, env=with_gpus(tmp_path / "bin", lines))
    assert (done.returncode, done.stdout.strip()) == (0, told) and json.loads(told)["name"] == "gpu"


@pytest.mark.parametrize("lines", ("echo No devices were found", "echo 'driver/library version mismatch'; exit 18", ":"))
def test_without_gpus_the_script_fails_with_its_words(tmp_path, lines):
    done = subprocess.run([str(DISCOVERY)], capture_output=True, text=True, env=with_gpus(tmp_path / "bin", lines))
    assert done.returncode == 1 and not done.stdout and done.stderr.startswith("gpus.sh: nvidia-smi")


def test_a_local_master_makes_without_asking_for_gpus(spark, base_settings):
    def counted(batches):
        import pyarrow as pa

        for batch in batches:
            yield pa.RecordBatch.from_pydict({"rows": [batch.num_rows]})

    encoder = base_settings.encoder.model_copy(update={"gpu_per_task": 1.0})
    rows = made_in_tasks(spark.range(7).repartition(1), counted, encoder, "rows long").collect()
    assert sum(r["rows"] for r in rows) == 7
