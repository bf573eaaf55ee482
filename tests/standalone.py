"""A standalone cluster of Spark on loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyspark
from small_spark import JVM


@contextlib.contextmanager
def running_cluster(logs: Path, variables: Mapping[str, str]) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """Address of a master with two workers of a core each, which inherit no path of this process; and its processes.

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
        workers = [
            launch(f"worker-{n}", "org.apache.spark.deploy.worker.Worker", *size, "--work-dir", str(logs / f"work-{n}"), address)
            for n in (1, 2)
        ]
        wait_until(lambda: all("Successfully registered" in log.read_text() for log in workers), workers)
        yield address, started
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


def on_cluster(master: str) -> dict[str, str]:
    """Settings of a session that runs there."""
    return {
        "spark.executor.extraJavaOptions": JVM,
        "spark.master": master,
        "spark.executor.memory": "768m",
        "spark.executor.cores": "1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
