"""What the launcher sends along to each master, and what it refuses before Spark starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from repository import ROOT
from s3_server import BUCKET, client, running_s3, s3_jars, variables

from bannermap.launcher.command import parse, place, spark_submit
from bannermap.launcher.masters import given_settings, place_of
from bannermap.launcher.packing import ARCHIVE_NAME, packed_path
from bannermap.launcher.problem import Problem

IMAGE = "--conf=spark.kubernetes.container.image=example/bannermap:1"
THERE = "./environment/bin/python"
OURS = f"{packed_path(ROOT)}#{ARCHIVE_NAME}"


@pytest.fixture(autouse=True)
def hadoop(monkeypatch, tmp_path):
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    monkeypatch.delenv("SPARK_CONF_DIR", raising=False)


@pytest.fixture
def home(tmp_path) -> Path:
    """A checkout with an environment and a jar, as far as a command line needs them."""
    for part in ("jobs", "conf", "src"):
        shutil.copytree(ROOT / part, tmp_path / "home" / part, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "home")
    (tmp_path / "home/.venv/jars").mkdir(parents=True)
    (tmp_path / "home/.venv/jars/delta.jar").touch()
    return tmp_path / "home"


def composed(home: Path, *words: str) -> tuple[dict[str, str], list[str], dict[str, str]]:
    """Options of spark-submit by name, then the job's file and its options, then the variables."""
    wanted = parse(["cluster_banners", *words])
    line, variables = spark_submit(home, home / ".venv/bin/python", wanted, place(home, wanted))
    at = next(n for n, word in enumerate(line) if word.endswith("jobs/cluster_banners.py"))
    given = [word for pair in line[1:at] for word in (pair.split("=", 1) if pair.startswith("--conf=") else [pair])]
    return dict(zip(given[::2], given[1::2], strict=True)), line[at:], variables


@pytest.mark.parametrize("master", ("local", "local[2]", "local[*,4]", "local-cluster[1,2,1024]"))
def test_a_local_master_gets_nothing_along(home, master):
    options, line, variables = composed(home, "--master", master, "--config", "x.yaml")
    assert "--archives" not in options and line == [str(home / "jobs/cluster_banners.py"), "--config", "x.yaml"]
    assert variables["PYSPARK_PYTHON"] == variables["PYSPARK_DRIVER_PYTHON"] == str(home / ".venv/bin/python")


@pytest.mark.parametrize("master", ("spark://host:7077", "spark://one:7077,two:7077", "yarn"))
def test_executors_of_a_cluster_get_the_environment_as_an_archive(home, master):
    options, line, variables = composed(home, "--master", master, "--archives", "mine.zip#mine")
    assert options["--archives"] == f"{packed_path(home)}#environment,mine.zip#mine"
    assert options["--jars"] == str(home / ".venv/jars/delta.jar") and line == [str(home / "jobs/cluster_banners.py")]
    assert (variables["PYSPARK_PYTHON"], variables["PYSPARK_DRIVER_PYTHON"]) == (THERE, str(home / ".venv/bin/python"))


def test_the_master_may_stand_in_a_file_of_properties_or_in_sparks_defaults(home, tmp_path, monkeypatch):
    (tmp_path / "spark-defaults.conf").write_text("# ours\nspark.master   spark://defaults:1\nspark.submit.deployMode=client\n")
    (tmp_path / "mine.conf").write_text("spark.master=yarn\nspark.executor.cores: 4\n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert "--archives" in composed(home)[0]
    found = given_settings(["--properties-file", str(tmp_path / "mine.conf"), "--verbose", "--conf", "spark.a=b=c"], tmp_path)
    assert found == {"spark.master": "yarn", "spark.executor.cores": "4", "spark.a": "b=c"}
    found = given_settings(["--master=local", "--conf", "spark.master=yarn", "--properties-file=none"], tmp_path)
    assert found == {"spark.master": "local"}, "as Spark has it: an option wins over a setting"


def test_a_driver_on_yarn_finds_python_and_configuration_in_the_archive(home, tmp_path):
    (tmp_path / "night.yaml").write_text("paths: {}\n")
    words = ("--master", "yarn", "--deploy-mode", "cluster", "--config", str(tmp_path / "night.yaml"), "--set", "a.b=1")
    wanted = parse(["cluster_banners", *words])
    line, variables = spark_submit(home, home / ".venv/bin/python", wanted, place(home, wanted))
    assert line[-4:] == ["--config", "night.yaml", "--set", "a.b=1"] and line[line.index("--files") + 1] == words[5]
    assert f"spark.yarn.appMasterEnv.PYSPARK_PYTHON={THERE}" in line
    assert "spark.yarn.appMasterEnv.BANNERMAP_HOME=./environment" in line
    assert variables["PYSPARK_PYTHON"] == variables["PYSPARK_DRIVER_PYTHON"] == THERE
    with pytest.raises(Problem, match="rename one"):
        (tmp_path / "other").mkdir()
        shutil.copy(tmp_path / "night.yaml", tmp_path / "other")
        composed(home, *words, f"--config={tmp_path}/other/night.yaml")


def test_kubernetes_takes_python_jars_and_job_from_its_image(home, tmp_path):
    options, line, variables = composed(home, "--master", "k8s://https://host:6443", IMAGE)
    assert "--archives" not in options and variables["PYSPARK_PYTHON"] == "/opt/bannermap/.venv/bin/python"
    assert options["--jars"] == str(home / ".venv/jars/delta.jar"), "a driver that is here serves its own"
    there = ("--master", "k8s://https://host:6443", IMAGE, "--deploy-mode", "cluster")
    options, line, _ = composed(home, *there, "--config", "/opt/bannermap/conf/night.yaml")
    assert options["--jars"] == "local:///opt/bannermap/.venv/jars/delta.jar" and "--files" not in options
    assert line == ["local:///opt/bannermap/jobs/cluster_banners.py", "--config", "/opt/bannermap/conf/night.yaml"]
    (tmp_path / "night.yaml").write_text("paths: {}\n")
    with pytest.raises(Problem, match=r"spark\.kubernetes\.file\.upload\.path"):
        composed(home, *there, "--config", str(tmp_path / "night.yaml"))
    uploaded = "--conf=spark.kubernetes.file.upload.path=s3a://bucket/up"
    options, line, _ = composed(home, *there, uploaded, f"--config={tmp_path}/night.yaml")
    assert options["--files"] == str(tmp_path / "night.yaml") and line[1:] == ["--config=night.yaml"]


def test_a_driver_on_kubernetes_gets_jars_for_s3_and_so_does_who_uploads_to_it(home, monkeypatch):
    (home / ".venv/s3-jars").mkdir()
    (home / ".venv/s3-jars/s3a.jar").touch()
    there = ("--master", "k8s://https://host:6443", IMAGE, "--deploy-mode", "cluster")
    options, _, variables = composed(home, *there, "--set", "paths.warehouse=s3a://bucket/w")
    assert options["--jars"].split(",")[1] == "local:///opt/bannermap/.venv/s3-jars/s3a.jar"
    assert f"{home}/.venv/s3-jars/*" in variables["SPARK_DIST_CLASSPATH"].split(":")
    monkeypatch.setenv("SPARK_DIST_CLASSPATH", "/mine/*")
    _, _, variables = composed(home, *there, "--conf=spark.kubernetes.file.upload.path=s3a://bucket/up")
    assert {"/mine/*", f"{home}/.venv/s3-jars/*"} <= set(variables["SPARK_DIST_CLASSPATH"].split(":"))
    assert "SPARK_DIST_CLASSPATH" not in composed(home, "--master", "k8s://https://host:6443", IMAGE)[2]


@pytest.mark.slow
def test_a_configuration_reaches_s3_before_its_driver_starts(tmp_path):
    """Spark's own submission for Kubernetes; nobody listens where the cluster should be."""
    s3_jars()
    (tmp_path / "night.yaml").write_text("paths: {}\n")
    words = ["--master", "k8s://https://127.0.0.1:1", IMAGE, "--deploy-mode=cluster", "--config", str(tmp_path / "night.yaml")]
    words += [f"--conf=spark.kubernetes.file.upload.path=s3a://{BUCKET}/up", "--conf=spark.hadoop.fs.s3a.path.style.access=true"]
    wanted = parse(["cluster_banners", *words])
    line, own = spark_submit(ROOT, Path(sys.executable), wanted, place(ROOT, wanted))
    with running_s3() as port:
        environment = {**os.environ, **variables(port), **own}
        process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end, found = time.monotonic() + 120, []
            while not any(name.endswith("/night.yaml") for name in found) and time.monotonic() < end:
                assert process.poll() is None, "Spark gave up before it uploaded anything"
                time.sleep(0.5)
                found = [item["Key"] for item in client(port).list_objects_v2(Bucket=BUCKET).get("Contents", [])]
            assert any(name.endswith("/night.yaml") for name in found)
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("master", ("spark://host:7077", "yarn"))
def test_nothing_is_packed_where_executors_have_a_python_of_their_own(home, master):
    options, _, variables = composed(home, "--master", master, "--conf=spark.pyspark.python=/opt/python")
    assert "--archives" not in options and variables["PYSPARK_PYTHON"] == "/opt/python"
    wanted = parse(["demo", "--master", master, "--conf=spark.pyspark.python=/opt/python"])
    line, _ = spark_submit(home, home / ".venv/bin/python", wanted, place(home, wanted))
    assert f"spark.pyspark.driver.python={home}/.venv/bin/python" in line, "the driver is here, where the other may not be"


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (["--master", "spark//host"], "no known form"),
        (["--master", "local[two]"], "no known form"),
        (["--master", "spark://host"], "no known form"),
        (["--conf", "spark.master=mesos://host:5050"], "no known form"),
        (["--master", "yarn", "--deploy-mode", "there"], "client .* or cluster"),
        (["--deploy-mode", "cluster"], "name another --master"),
        (["--master", "spark://host:7077", "--deploy-mode", "cluster"], "leave --deploy-mode cluster out"),
        (["--master", "k8s://https://host"], r"no spark\.kubernetes\.executor\.container\.image .*conf/docker/Dockerfile"),
        (
            ["--master", "k8s://https://h", "--conf=spark.submit.deployMode=cluster"],
            r"driver\.container\.image or spark\.kubernetes\.exec",
        ),
    ],
)
def test_a_place_that_cannot_work_is_refused_with_the_mend(words, mend, tmp_path):
    with pytest.raises(Problem, match=mend):
        place_of(words, tmp_path)


def test_yarn_needs_to_be_found(tmp_path, monkeypatch):
    monkeypatch.delenv("HADOOP_CONF_DIR")
    monkeypatch.delenv("YARN_CONF_DIR", raising=False)
    with pytest.raises(Problem, match=r"HADOOP_CONF_DIR .*yarn-site\.xml"):
        place_of(["--master", "yarn"], tmp_path)
    monkeypatch.setenv("YARN_CONF_DIR", str(tmp_path))
    assert place_of(["--master", "yarn"], tmp_path).kind == "yarn"


def test_another_archive_belongs_to_other_sources_or_pins(home):
    first = packed_path(home)
    (home / "src/bannermap/__pycache__").mkdir()
    (home / "src/bannermap/__pycache__/x.pyc").touch()
    assert packed_path(home) == first
    (home / "conf/base.yaml").write_text("changed")
    second = packed_path(home)
    (home / "conf/constraints.txt").write_text("a==1\n")
    assert len({first, second, packed_path(home)}) == 3


def test_refusals_are_one_sentence_and_nothing_is_made(tmp_path):
    line = [str(ROOT / "spark-submit.sh"), "demo", "--master", "k8s://https://host"]
    done = subprocess.run(line, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "BANNERMAP_PYTHON": sys.executable})
    assert done.returncode == 2 and done.stderr.startswith("[bannermap] Kubernetes runs images") and not done.stdout
