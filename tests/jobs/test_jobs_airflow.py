"""The DAG in an environment of its own: BANNERMAP_AIRFLOW_PYTHON names the Python of one with Airflow 3 and its Spark provider.

    python -m venv afenv && afenv/bin/pip install apache-airflow==3.3.2 apache-airflow-providers-apache-spark
    BANNERMAP_AIRFLOW_PYTHON=afenv/bin/python ./spark-submit.sh test tests/jobs -k airflow

It cannot be that of the other tests: the provider brings a Spark client that clashes with pyspark.
"""

from __future__ import annotations

import ast
import itertools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from airflow_services import DAG, PYTHON, by_hand, installed, needs_airflow, tiny_world
from processes import checksums
from repository import ROOT

from bannermap.launcher.s3_jars import s3_jar_folder
from bannermap.platform.status import CHAIN
from bannermap.sample.world import days_of


def test_the_file_imports_only_airflow_and_names_jobs_that_are_there():
    tree = ast.parse(DAG.read_text())
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {a.name.split(".")[0] for n in imports if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module.split(".")[0] for n in imports if isinstance(n, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"airflow"}
    called = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "submitted"]
    jobs = [n.args[0].value for n in called]
    assert set(jobs) == {*CHAIN, "publish_clusters"} and all((ROOT / f"jobs/{job}.py").is_file() for job in jobs)


def in_airflow(home: Path, *days: str, **variables: str) -> dict:
    """What airflow_run.py prints, with a metadata database of its own."""
    line = [PYTHON, str(Path(__file__).parent / "airflow_run.py"), str(DAG), *days]
    done = subprocess.run(line, env=installed(home, **variables).variables, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return json.loads(done.stdout.splitlines()[-1])


@needs_airflow
def test_tasks_follow_the_chain_with_retries_a_pool_an_asset_and_one_run_at_a_time(tmp_path):
    found = in_airflow(tmp_path / "a", BANNERMAP_CONFIG="x.yaml:y.yaml")
    assert (found["runs_at_once"], found["catchup"], found["deadline_h"]) == (1, False, [])
    order = list(CHAIN)
    assert {t: v["after"] for t, v in found["tasks"].items()} == {j: order[n - 1 : n] if n else [] for n, j in enumerate(order)}
    assert all(t["retries"] == 2 and t["at_once"] == 1 for t in found["tasks"].values()), "a backfill may run many days at once"
    assert {t: v["pool"] for t, v in found["tasks"].items() if v["pool"] != "default_pool"} == {"embed_banners": "bannermap_gpu"}
    assert found["tasks"]["build_user_features"]["outlets"] == ["bannermap://user_features/"]
    final = {"2", "3", "4", "5"}
    wanted = {str(code): "AirflowFailException" if str(code) in final else "AirflowException" for code in range(1, 9)}
    assert found["ends"] == wanted, "what another try cannot mend is not tried again"
    options = ["--config", "x.yaml", "--config", "y.yaml", "--date", "{{ data_interval_start | ds }}"]
    assert all(t["arguments"] == options for t in found["tasks"].values())
    more = {
        "BANNERMAP_PUBLISH": "1",
        "BANNERMAP_DEADLINE_HOURS": "30",
        "BANNERMAP_DEADLINE_CALLBACK": "a.b",
        "BANNERMAP_HOUR": "3",
    }
    other = in_airflow(tmp_path / "b", **more)
    assert other["tasks"]["publish_clusters"]["after"] == ["cluster_banners"]
    assert other["deadline_h"] == [27.0], "of a day's 30 hours 3 are over when its data interval begins"


@needs_airflow
@pytest.mark.parametrize("master", ["local[2]", "spark://host:7077", "yarn"])
def test_a_task_is_submitted_by_the_launcher_with_what_its_master_needs(tmp_path, master):
    (tmp_path / "cloud.yaml").write_text("paths: {warehouse: s3a://bucket/w}\n")
    (tmp_path / "spark.conf").write_text("spark.executor.cores 3\n")
    connection = json.dumps({"conn_type": "spark", "host": master})
    more = {"BANNERMAP_CONFIG": f"{tmp_path}/cloud.yaml", "BANNERMAP_PROPERTIES": f"{tmp_path}/spark.conf"}
    found = in_airflow(tmp_path / "a", AIRFLOW_CONN_BANNERMAP_SPARK=connection, **more)
    for job, task in found["tasks"].items():
        assert task["command"][0] == str(ROOT / "spark-submit.sh") and job in task["command"]
    own = {**os.environ, "BANNERMAP_PYTHON": sys.executable, "HADOOP_CONF_DIR": str(tmp_path)}
    command = [*found["tasks"]["cluster_banners"]["command"], "--print-command"]
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    line = shlex.split(done.stdout)
    job = line.index(str(ROOT / "jobs/cluster_banners.py"))
    assert line[job + 1 :] == ["--config", f"{tmp_path}/cloud.yaml", "--date", "{{ data_interval_start | ds }}"]
    given = dict(itertools.pairwise(line[:job]))
    assert (given["--master"], given["--driver-memory"], given["--properties-file"]) == (master, "4g", f"{tmp_path}/spark.conf")
    assert "/.venv/jars/" in given["--jars"] and ("/s3-jars/" in given["--jars"]) == s3_jar_folder(ROOT).is_dir()
    assert ("--archives" in given) == (master != "local[2]")


@needs_airflow
@pytest.mark.slow
def test_days_run_by_airflow_leave_the_tables_of_days_run_by_hand(tmp_path, spark):
    sample, config = tiny_world(tmp_path, int(os.environ.get("BANNERMAP_AIRFLOW_DAYS", "1")))
    path = {"PYTHONPATH": f"{ROOT}/src"}
    found = in_airflow(tmp_path / "af", *map(str, days_of(sample)), BANNERMAP_CONFIG=str(config), **path)
    assert {day: run["state"] for day, run in found["runs"].items()} == {str(d): "success" for d in days_of(sample)}
    assert all(run["interval_start"].startswith(day) for day, run in found["runs"].items())

    by_hand(spark, sample, tmp_path / "hand")
    assert checksums(spark, tmp_path / "airflow") == checksums(spark, tmp_path / "hand")
