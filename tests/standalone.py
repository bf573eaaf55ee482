"""A standalone cluster of Spark on loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyspark
from processes import runs_program
from small_spark import JVM

from bannermap.platform.memory import family, parents_of_all


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
        below = [pid for worker in self.workers for pid in family([worker.pid], parents)[1:]]
        return [pid for pid in below if runs_program(pid, b"CoarseGrainedExecutorBackend")]

    def killed(self) -> int:
        """Executors that ended by SIGKILL, as the workers tell."""
        return sum(log.read_text().count("exitStatus 137") for log in self.logs)


@contextlib.contextmanager
def running_cluster(logs: Path, variables: Mapping[str, str]) -> Iterator[Cluster]:
    """A cluster with a core for each worker, which inherits no path of this process.

    Args:
        logs: a folder.
        variables: that workers, and so executors, find in their environment.
    """
    spark_home = Path(pyspark.__file__).parent
    port, clean = free_port(), {k: os.environ[k] for k in ("PATH", "HOME", "JAVA_HOME", "LANG") if k in os.environ}
    clean |= {"SPARK_HOME": str(spark_home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_NO_DAEMONIZE": "1", **variables}
    address, started = f"spark://127.0.0.1:{port}", []

    def launch(name: str, *line: str) -> Path:
        log = logs / f"{name}.log"
        command = [str(spark_home / "bin/spark-class"), *line]
        with log.open("w") as out:
            started.append(subprocess.Popen(command, env=clean, cwd=logs, stdout=out, stderr=subprocess.STDOUT))
        return log

    try:
        launch("master", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")
        size = ("--cores", "1", "--memory", "1g", "--webui-port", "0", "--host", "127.0.0.1")
        told = [
            launch(f"worker-{n}", "org.apache.spark.deploy.worker.Worker", *size, "--work-dir", str(logs / f"work-{n}"), address)
            for n in (1, 2)
        ]
        wait_until(lambda: all("Successfully registered" in log.read_text() for log in told), told)
        yield Cluster(address, started[1:], told)
    finally:
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


def on_cluster(cluster: Cluster) -> dict[str, str]:
    """Settings of a session that runs there."""
    return {
        "spark.executor.extraJavaOptions": JVM,
        "spark.master": cluster.address,
        "spark.locality.wait": "0s",  # two executors of one machine: to wait for the other's turn never pays
        "spark.executor.memory": "768m",
        "spark.executor.cores": "1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
