"""The chain on a standalone cluster, from the built wheel in an environment of its own: the same tables as in one process, a day
of them on S3."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from processes import ROOT, checksums, complete, overlay, start
from s3_server import download, running_s3, s3_jars, upload, variables
from small_spark import COMPILED, INTERPRETED
from standalone import on_cluster, running_cluster

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
    for folder in ("jars", "s3-jars"):
        if (Path(sys.prefix) / folder).is_dir():
            shutil.copytree(Path(sys.prefix) / folder, home / "env" / folder)
    shutil.copytree(ROOT / "jobs", home / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "conf", home / "conf")
    return home


@pytest.fixture(scope="module")
def s3():
    """Port of a server that speaks S3's protocol, which this process and the cluster find by the standard variables."""
    with running_s3() as port, pytest.MonkeyPatch.context() as patch:
        for name, value in variables(port).items():
            patch.setenv(name, value)
        yield port


@pytest.fixture(scope="module")
def master(environment, s3, tmp_path_factory):
    """Address of a cluster that knows where the server is."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), variables(s3)) as (address, _):
        yield address


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
def test_a_cluster_gives_the_tables_of_one_process_on_a_disk_and_on_s3(environment, master, s3, chain, spark, tmp_path):
    settings, warehouse, _ = chain
    world, home, back = Path(settings.paths.banner_log).parent, tmp_path / "spread", tmp_path / "back"
    installed = {"python": str(environment / "env/bin/python"), "jobs": environment / "jobs", "home": environment}
    first, second = days_of(settings.sample)
    spread = overlay(world, home, on_cluster(master) | COMPILED)
    complete(start("daily_pipeline", spread, first, **installed), spread)
    s3_jars()
    on_s3 = upload(s3, home / "warehouse", "moved")
    spread = overlay(world, home, on_cluster(master) | INTERPRETED, on_s3)
    complete(start("daily_pipeline", spread, second, **installed), spread)
    download(s3, "moved", back / "warehouse")
    expected = checksums(spark, Path(warehouse.root).parent)
    assert checksums(spark, back) == expected
    assert not list((back / "warehouse/_staging").rglob("*.parquet")), "nothing is left aside"
    assert {"embeddings", "cluster_members", "cluster_lineage", "themes", "user_features"} <= set(expected)
