"""The chain on a standalone cluster, from the archive that the launcher packs, executors killed: the tables of one process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import ROOT, checksums, complete, family, overlay, parents_of_all, runs_program, start
from small_spark import COMPILED, INTERPRETED, JVM

from bannermap.launcher.packing import ARCHIVE_NAME, PYTHON_THERE, pack
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


KILLED_IN = ("fetch, decode and encode", "sum components")
"""A phase of each day's run in which an executor is killed: of the embed stage, and of the cluster stage."""


@dataclass(frozen=True)
class Installed:
    """An installation as a cluster has it; nothing of the checkout.

    Attributes:
        home: what the archive holds: an environment with the wheel, jobs and conf.
        archive: for executors.
    """

    home: Path
    archive: Path

    @property
    def python(self) -> str:
        return str(self.home / "bin/python")


@dataclass(frozen=True)
class Cluster:
    """A standalone master with two workers.

    Attributes:
        address: of the master.
        workers: their processes.
        logs: of the workers.
    """

    address: str
    workers: list[subprocess.Popen]
    logs: list[Path]

    def executors(self) -> list[int]:
        """Processes that run tasks now."""
        parents = parents_of_all()
        below = [pid for worker in self.workers for pid in family(worker.pid, parents)[1:]]
        return [pid for pid in below if runs_program(pid, b"CoarseGrainedExecutorBackend")]

    def killed(self) -> int:
        """Executors that ended by SIGKILL, as the workers tell."""
        return sum(log.read_text().count("exitStatus 137") for log in self.logs)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    """Packed as the launcher does it, but for the packages: these are found where they are, and are not in the archive."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "bare"], check=True)
    packages = next((home / "bare/lib").glob("python*/site-packages"))
    # Not by a path file: it would bring the path file of the checkout, too.
    (packages / "sitecustomize.py").write_text(f"import sys\nsys.path.append({sysconfig.get_path('purelib')!r})\n")
    archive = home / "packed.tar.gz"
    pack(ROOT, home / "bare", Path(sys.executable), archive)
    with tarfile.open(archive) as file:
        file.extractall(home / "there", filter="fully_trusted")
    shutil.copytree(Path(sys.prefix) / "jars", home / "there/jars")
    return Installed(home / "there", archive)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A standalone master and two workers on loopback; they inherit no path of this process."""
    import pyspark

    spark_home, logs = Path(pyspark.__file__).parent, tmp_path_factory.mktemp("cluster")
    port, clean = free_port(), {k: os.environ[k] for k in ("PATH", "HOME", "JAVA_HOME", "LANG") if k in os.environ}
    clean |= {"SPARK_HOME": str(spark_home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_NO_DAEMONIZE": "1"}
    address = f"spark://127.0.0.1:{port}"

    def launch(name: str, *line: str) -> tuple[subprocess.Popen, Path]:
        log = logs / f"{name}.log"
        command = [str(spark_home / "bin/spark-class"), f"org.apache.spark.deploy.{line[0]}", *line[1:]]
        with log.open("w") as out:
            return subprocess.Popen(command, env=clean, cwd=logs, stdout=out, stderr=subprocess.STDOUT), log

    place = ("--host", "127.0.0.1", "--webui-port", "0")
    master, _ = launch("master", "master.Master", "--port", str(port), *place)
    size = ("--cores", "1", "--memory", "1g", *place)
    pairs = [launch(f"worker-{n}", "worker.Worker", *size, "--work-dir", str(logs / f"work-{n}"), address) for n in (1, 2)]
    found = Cluster(address, [process for process, _ in pairs], [log for _, log in pairs])
    wait_until(lambda: all("Successfully registered" in log.read_text() for log in found.logs), found.logs)
    yield found
    for process in (*found.workers, master):
        process.terminate()
    for process in (*found.workers, master):
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


def on_cluster(cluster: Cluster, installed: Installed) -> dict[str, str]:
    return {
        "spark.executor.extraJavaOptions": JVM,
        "spark.master": cluster.address,
        "spark.archives": f"{installed.archive}#{ARCHIVE_NAME}",
        "spark.executor.memory": "768m",
        "spark.executor.cores": "1",
        "spark.locality.wait": "0s",  # two executors of one machine: to wait for the other's turn never pays
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }


def kill_executor_in(phase: str, job: subprocess.Popen, cluster: Cluster) -> None:
    """Wait until the job says that it begins the phase, and kill one of its executors."""
    for line in job.stdout:
        if phase in line:
            os.kill(cluster.executors()[0], signal.SIGKILL)
            return
    pytest.fail(f"the job ended before '{phase}'")


@pytest.mark.slow
def test_executors_know_the_archive_and_nothing_of_the_checkout(installed, cluster, tmp_path):
    config = overlay(tmp_path, tmp_path / "asked", on_cluster(cluster, installed))
    (tmp_path / "ask.py").write_text(WHERE_FROM)
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYSPARK_PYTHON": PYTHON_THERE}
    line = [installed.python, tmp_path / "ask.py", config]
    asked = subprocess.run(line, env=clean, cwd=installed.home, capture_output=True, text=True, timeout=300)
    assert asked.returncode == 0, asked.stderr[-4000:]
    for answer in asked.stdout.strip().splitlines():
        package, paths, folder = answer.split("|")
        assert "work-" in folder and package.startswith(f"{folder}/{ARCHIVE_NAME}/")
        assert not {str(ROOT / "src"), str(ROOT / "jobs"), str(ROOT)} & set(paths.split(os.pathsep))


@pytest.mark.slow
def test_a_cluster_gives_the_tables_of_one_process_though_executors_are_killed(installed, cluster, chain, spark, tmp_path):
    settings, warehouse, _ = chain
    world, home = Path(settings.paths.banner_log).parent, tmp_path / "spread"
    there = {"python": installed.python, "home": installed.home, "PYSPARK_PYTHON": PYTHON_THERE}
    days = zip(days_of(settings.sample), (COMPILED, INTERPRETED), KILLED_IN, strict=True)
    for number, (day, expressions, phase) in enumerate(days, 1):
        spread = overlay(world, home, on_cluster(cluster, installed) | expressions)
        job = start("daily_pipeline", spread, day, **there)
        kill_executor_in(phase, job, cluster)
        complete(job, spread)
        assert cluster.killed() == number
    expected = checksums(spark, Path(warehouse.root).parent)
    assert checksums(spark, home) == expected
    assert {"embeddings", "cluster_members", "cluster_lineage", "themes", "user_features"} <= set(expected)
