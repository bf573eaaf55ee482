"""The chain on a standalone cluster, from the built wheel in an environment of its own: the same tables as in one process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from processes import ROOT, checksums, complete, overlay, start
from small_spark import COMPILED, INTERPRETED, JVM

from bannermap.sample.world import days_of

WHERE_FROM = """
import sys
from bannermap.platform.session import build_session
from bannermap.platform.config import load_settings
from pathlib import Path
settings = load_settings(Path("conf/base.yaml"), [Path(sys.argv[1])])
spark = build_session(settings.spark)
def found(rows):
    import bannermap, os
    yield f"{bannermap.__file__}|{os.pathsep.join(sys.path)}|{os.getcwd()}"
print("\\n".join(sorted(set(spark.sparkContext.parallelize(range(8), 8).mapPartitions(found).collect()))))
spark.stop()
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """An installation as a cluster has it: the wheel, the pinned packages, the jars, jobs and conf; nothing of the checkout."""
    home = tmp_path_factory.mktemp("installed")
    source = home / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", home, source], check=True)
    shutil.rmtree(source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "env"], check=True)
    packages = next((home / "env/lib").glob("python*/site-packages"))
    (wheel,) = home.glob("bannermap-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", packages, wheel], check=True)
    # A path file makes the pinned packages importable but not the checkout, which they know by a path file of their own.
    (packages / "pinned.pth").write_text(sysconfig.get_path("purelib"))
    shutil.copytree(Path(sys.prefix) / "jars", home / "env/jars")
    shutil.copytree(ROOT / "jobs", home / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "conf", home / "conf")
    return home


@pytest.fixture(scope="module")
def master(environment, tmp_path_factory):
    """A standalone master and two workers on loopback; they inherit no path of this process."""
    import pyspark

    spark_home, logs = Path(pyspark.__file__).parent, tmp_path_factory.mktemp("cluster")
    port, clean = free_port(), {k: os.environ[k] for k in ("PATH", "HOME", "JAVA_HOME", "LANG") if k in os.environ}
    clean |= {"SPARK_HOME": str(spark_home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_NO_DAEMONIZE": "1"}
    address, started = f"spark://127.0.0.1:{port}", []

    def launch(name: str, *line: str) -> Path:
        log = logs / f"{name}.log"
        command = [str(spark_home / "bin/spark-class"), *line]
        with log.open("w") as out:
            started.append(subprocess.Popen(command, env=clean, cwd=logs, stdout=out, stderr=subprocess.STDOUT))
        return log

    launch("master", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")
    size = ("--cores", "1", "--memory", "1g", "--webui-port", "0", "--host", "127.0.0.1")
    workers = [
        launch(f"worker-{n}", "org.apache.spark.deploy.worker.Worker", *size, "--work-dir", str(logs / f"work-{n}"), address)
        for n in (1, 2)
    ]
    wait_until(lambda: all("Successfully registered" in log.read_text() for log in workers), workers)
    yield address
    for process in reversed(started):
        process.terminate()
    for process in started:
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, logs: list[Path], limit_s: float = 120.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "\n".join(log.read_text()[-2000:] for log in logs)
        time.sleep(0.3)


def on_cluster(master: str) -> dict[str, str]:
    return {
        "spark.executor.extraJavaOptions": JVM,
        "spark.master": master,
        "spark.executor.memory": "768m",
        "spark.executor.cores": "1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }


@pytest.mark.slow
def test_executors_know_the_wheel_and_nothing_of_the_checkout(environment, master, tmp_path):
    config = overlay(tmp_path, tmp_path / "asked", on_cluster(master))
    (environment / "ask.py").write_text(WHERE_FROM)
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYSPARK_PYTHON")}
    line = [environment / "env/bin/python", environment / "ask.py", config]
    asked = subprocess.run(line, env=clean, cwd=environment, capture_output=True, text=True, timeout=300)
    assert asked.returncode == 0, asked.stderr[-4000:]
    for answer in asked.stdout.strip().splitlines():
        package, paths, folder = answer.split("|")
        assert package.startswith(str(environment / "env")) and "work-" in folder
        assert not {str(ROOT / "src"), str(ROOT / "jobs"), str(ROOT)} & set(paths.split(os.pathsep))


@pytest.mark.slow
def test_a_cluster_gives_the_tables_of_one_process(environment, master, chain, spark, tmp_path):
    settings, warehouse, _ = chain
    world, home = Path(settings.paths.banner_log).parent, tmp_path / "spread"
    installed = {"python": str(environment / "env/bin/python"), "jobs": environment / "jobs", "home": environment}
    for day, expressions in zip(days_of(settings.sample), (COMPILED, INTERPRETED), strict=True):
        spread = overlay(world, home, on_cluster(master) | expressions)
        complete(start("daily_pipeline", spread, day, **installed), spread)
    expected = checksums(spark, Path(warehouse.root).parent)
    assert checksums(spark, home) == expected
    assert {"embeddings", "cluster_members", "cluster_lineage", "themes", "user_features"} <= set(expected)
