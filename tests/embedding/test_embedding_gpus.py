"""Tasks get GPUs of their own from a master that gives them; no device is needed to see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from repository import ROOT

from bannermap.embedding.making import made_in_tasks

ON_A_CLUSTER = """
import json, sys, time
import pyarrow as pa
from pathlib import Path
from bannermap.embedding.making import made_in_tasks
from bannermap.platform.config import load_settings
from bannermap.platform.session import build_session

discovery, base = sys.argv[1:]
settings = load_settings(Path(base))
extra = {
    "spark.master": "local-cluster[1,2,1024]",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.worker.resource.gpu.amount": "2",
    "spark.worker.resource.gpu.discoveryScript": discovery,
    "spark.executor.resource.gpu.amount": "2",
    "spark.executor.resource.gpu.discoveryScript": discovery,
    "spark.executor.memory": "512m",
    "spark.sql.shuffle.partitions": "2",
}
spark = build_session(settings.spark.model_copy(update={"extra": extra}))

def shown(batches):
    from pyspark import TaskContext
    began = time.time()
    for _ in batches:
        time.sleep(0.3)
    addresses = [list(r.addresses) for r in TaskContext.get().resources().values()]
    yield pa.RecordBatch.from_pydict({"addresses": addresses or [[]], "began": [began], "ended": [time.time()]})

found = {}
for gpus in (0.0, 1.0, 0.5):
    encoder = settings.encoder.model_copy(update={"gpu_per_task": gpus})
    frame = made_in_tasks(spark.range(6).repartition(6), shown, encoder, "addresses array<string>, began double, ended double")
    found[gpus] = [list(row) for row in frame.collect()]
print(json.dumps(found))
spark.stop()
"""


@pytest.mark.slow
def test_a_task_gets_the_share_of_gpus_that_the_settings_ask_for(tmp_path):
    discovery = tmp_path / "gpus.sh"
    discovery.write_text("""#!/bin/sh\necho '{"name": "gpu", "addresses": ["3", "7"]}'\n""")
    discovery.chmod(0o755)
    line = [sys.executable, "-c", ON_A_CLUSTER, str(discovery), str(ROOT / "conf/base.yaml")]
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": f"{ROOT}/src"}
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-6000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert [addresses for addresses, _, _ in found["0.0"]] == [[]] * 6
    for share, most in (("1.0", 1), ("0.5", 2)):
        assert {len(addresses) for addresses, _, _ in found[share]} == {1}
        assert {addresses[0] for addresses, _, _ in found[share]} <= {"3", "7"}
        for (address,), began, ended in found[share]:
            beside = [b for (a,), b, e in found[share] if a == address and b < ended and e > began]
            assert sum(began <= b for b in beside) <= most


def test_a_local_master_makes_without_asking_for_gpus(spark, base_settings):
    def counted(batches):
        import pyarrow as pa

        for batch in batches:
            yield pa.RecordBatch.from_pydict({"rows": [batch.num_rows]})

    encoder = base_settings.encoder.model_copy(update={"gpu_per_task": 1.0})
    rows = made_in_tasks(spark.range(7).repartition(1), counted, encoder, "rows long").collect()
    assert sum(r["rows"] for r in rows) == 7
