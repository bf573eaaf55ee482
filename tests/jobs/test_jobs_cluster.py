"""A day of the chain on a standalone cluster, from the archive that the launcher packs, with tables on an S3 that often fails and
executors killed: the tables of one process."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from faulty_proxy import ANY, Weather, faulty_proxy
from processes import ROOT, checksums, complete, overlay, start
from s3_server import download, running_s3, s3_jars, upload, variables
from small_spark import DEFAULTS
from standalone import Cluster, on_cluster, running_cluster

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
"""Phases in which an executor is killed: of the embed stage, and of the cluster stage."""
LEAST_STRUCK = 5


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
    for folder in ("jars", "s3-jars"):
        if (Path(sys.prefix) / folder).is_dir():
            shutil.copytree(Path(sys.prefix) / folder, home / "there" / folder)
    return Installed(home / "there", archive)


@pytest.fixture(scope="module")
def weather():
    """Of requests to S3; calm."""
    return Weather(random.Random(5))


@pytest.fixture(scope="module")
def s3(weather):
    """Port of a server that speaks S3's protocol, which this process and the cluster find by the standard variables."""
    with running_s3() as port, faulty_proxy(port, weather) as proxy, pytest.MonkeyPatch.context() as patch:
        for name, value in variables(proxy).items():
            patch.setenv(name, value)
        yield proxy


@pytest.fixture(scope="module")
def cluster(s3, tmp_path_factory):
    """A cluster that knows where the server is."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), variables(s3)) as found:
        yield found


def of_archive(cluster: Cluster, installed: Installed) -> dict[str, str]:
    return on_cluster(cluster) | {"spark.archives": f"{installed.archive}#{ARCHIVE_NAME}"}


def kill_executor_in(phase: str, job: subprocess.Popen, cluster: Cluster) -> None:
    """Wait until the job says that it begins the phase, and kill one of its executors."""
    for line in job.stdout:
        if phase in line:
            os.kill(cluster.executors()[0], signal.SIGKILL)
            return
    pytest.fail(f"the job ended before '{phase}'")


@pytest.mark.slow
def test_executors_know_the_archive_and_nothing_of_the_checkout(installed, cluster, tmp_path):
    config = overlay(tmp_path, tmp_path / "asked", of_archive(cluster, installed))
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
def test_a_day_on_a_cluster_and_s3_gives_the_tables_of_one_process_though_executors_and_requests_die(
    installed, cluster, s3, weather, chain, after_first_day, spark, tmp_path
):
    settings, warehouse, _ = chain
    s3_jars()
    world, back, day = Path(settings.paths.banner_log).parent, tmp_path / "back", days_of(settings.sample)[-1]
    address = upload(s3, after_first_day, "moved")
    spread = overlay(world, tmp_path / "spread", of_archive(cluster, installed) | DEFAULTS, address)
    weather.kind, weather.share = ANY, 0.005
    started = partial(start, "daily_pipeline", spread, day, python=installed.python, home=installed.home)
    job = started(PYSPARK_PYTHON=PYTHON_THERE)
    for phase in KILLED_IN:
        kill_executor_in(phase, job, cluster)
    job.communicate()
    weather.kind = None
    if job.returncode:  # more requests failed than are tried again: what a schedule does then
        complete(started(PYSPARK_PYTHON=PYTHON_THERE), spread)
    assert weather.struck >= LEAST_STRUCK and cluster.killed() == len(KILLED_IN)
    download(s3, "moved", back / "warehouse")
    expected = checksums(spark, Path(warehouse.root).parent)
    assert checksums(spark, back) == expected
    assert not list((back / "warehouse/_staging").rglob("*.parquet")), "nothing is left aside"
    assert {"embeddings", "cluster_members", "cluster_lineage", "themes", "user_features"} <= set(expected)
