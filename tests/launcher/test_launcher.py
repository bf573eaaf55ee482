"""The launcher: what it would run, what it refuses, and when it makes its environment."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from repository import ROOT

from bannermap.launcher import environment, jars
from bannermap.launcher.command import Wanted, extras_of, extras_of_all, names_s3, parse, place, spark_submit
from bannermap.launcher.problem import Problem
from bannermap.launcher.s3_jars import s3_jar_folder

LAUNCHER = str(ROOT / "spark-submit.sh")


def launch(*arguments, **variables) -> subprocess.CompletedProcess:
    environment = {**os.environ, "BANNERMAP_PYTHON": sys.executable, **variables}
    return subprocess.run([LAUNCHER, *arguments], capture_output=True, text=True, env=environment)


def test_alone_it_lists_every_job_with_a_line():
    done = launch()
    jobs = {p.stem for p in (ROOT / "jobs").glob("*.py")} | {"test"}
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert done.returncode == 0 and set(listed) == jobs
    assert launch("--help").stdout == done.stdout
    assert launch("--date", "--dry-run").returncode == 2  # options, but no job to give them to


def test_a_job_names_the_extras_that_it_needs():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {path.stem: extras_of(ROOT, path.stem) for path in (ROOT / "jobs").glob("*.py")}
    assert set().union(*named.values()) == set(extras_of_all(ROOT)) == {"experiment", "lab"} <= set(declared)
    assert named["evaluate_features"] == ("experiment",) and named["compare_strategies"] == ("lab",) and not named["demo"]
    for job, extras in named.items():
        text = (ROOT / f"jobs/{job}.py").read_text()
        for stage, extra in (("bannermap.experiment", "experiment"), ("bannermap.lab.job", "lab")):  # to predict takes no extra
            assert extra in extras or stage not in text, f"{job} runs {stage}, which needs the extra {extra}"


def test_options_go_to_whom_they_belong():
    given = ["--master", "local[3]", "cluster_banners", "--date", "2026-01-01", "--conf", "spark.a=b c", "--set", "x.y=1"]
    done = launch(*given, "--deploy-mode=client", "--properties-file", "p", "--print-command")
    line = shlex.split(done.stdout)
    at = line.index(str(ROOT / "jobs/cluster_banners.py"))
    assert line[at + 1 :] == ["--date", "2026-01-01", "--set", "x.y=1"]
    assert line[0].endswith("bin/spark-submit")
    for pair in (["--master", "local[3]"], ["--conf", "spark.a=b c"], ["--properties-file", "p"]):
        assert pair[1] == line[line.index(pair[0]) + 1]
    assert "--deploy-mode=client" in line[:at]
    assert "--driver-memory" not in line[:at]  # a properties file may say it


def test_jars_that_are_given_join_ours():
    line = shlex.split(launch("demo", "--jars", "mine.jar", "--print-command").stdout)
    assert line[line.index("--jars") + 1].endswith("mine.jar") and line.count("--jars") == 1


def test_a_command_that_names_s3_is_known_by_its_options_and_configurations(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/base.yaml").write_text("paths: {warehouse: here}")
    (tmp_path / "cloud.yaml").write_text("paths: {warehouse: s3a://bucket/w}")
    for options, told in (
        ([], False),
        (["--set", "paths.warehouse=s3a://b/w"], True),
        (["--config", f"{tmp_path}/cloud.yaml"], True),
        ([f"--config={tmp_path}/cloud.yaml"], True),
        (["--config", f"{tmp_path}/none.yaml", "--date", "2026-01-01"], False),
    ):
        assert names_s3(tmp_path, Wanted("demo", job_options=options)) == told
    (tmp_path / "spark.conf").write_text("spark.eventLog.dir s3a://bucket/history\n")
    for options, told in (
        (["--conf", "spark.kubernetes.file.upload.path=s3a://bucket/up"], True),
        (["--properties-file", f"{tmp_path}/spark.conf"], True),
        ([f"--properties-file={tmp_path}/spark.conf"], True),
        (["--conf", "spark.eventLog.dir=file:///history"], False),
    ):
        assert names_s3(tmp_path, Wanted("demo", spark_options=options)) == told
    line = shlex.split(launch("demo", "--set", "paths.warehouse=s3a://b/w", "--print-command").stdout)
    assert ("s3-jars/hadoop-aws" in line[line.index("--jars") + 1]) == s3_jar_folder(ROOT).is_dir()


def test_all_options_of_the_tests_are_for_pytest():
    wanted = parse(["test", "--verbose", "-k", "x", "--conf", "y", "--print-command"])
    assert (wanted.job, wanted.job_options) == ("test", ["--verbose", "-k", "x", "--conf", "y", "--print-command"])
    assert not wanted.spark_options and not wanted.print_only


def test_memory_is_ours_unless_it_is_said(tmp_path):
    python = tmp_path / ".venv/bin/python"

    def memory(*options):
        wanted = parse(["demo", *options])
        line, _ = spark_submit(ROOT, python, wanted, place(ROOT, wanted))
        return line[line.index("--driver-memory") + 1] if "--driver-memory" in line else None

    assert memory() == "4g" and memory("--driver-memory", "2g") == "2g"
    assert memory("--conf", "spark.driver.memory=2g") is None and memory("--conf=spark.driver.memory=2g") is None


def test_spark_is_that_of_the_environment(tmp_path):
    pyspark = tmp_path / ".venv/lib/python3.11/site-packages/pyspark"
    pyspark.mkdir(parents=True)
    wanted = parse(["demo"])
    _, variables = spark_submit(ROOT, tmp_path / ".venv/bin/python", wanted, place(ROOT, wanted))
    assert variables["SPARK_HOME"] == str(pyspark)
    assert variables["PYSPARK_PYTHON"] == variables["PYSPARK_DRIVER_PYTHON"] == str(tmp_path / ".venv/bin/python")


def test_sparks_lines_come_in_a_form_that_there_is(tmp_path, monkeypatch):
    wanted = parse(["status"])

    def form() -> str:
        return spark_submit(ROOT, tmp_path / ".venv/bin/python", wanted, place(ROOT, wanted))[1]["BANNERMAP_SPARK_LOG"]

    configured = (ROOT / "conf/spark/log4j2.properties").read_text()
    for given, form_of in {"": "text", "text": "text", "json": "json"}.items():
        monkeypatch.setenv("BANNERMAP_SPARK_LOG", given)
        assert form() == form_of and f"appender.{form_of}.name = {form_of}\n" in configured
    monkeypatch.setenv("BANNERMAP_SPARK_LOG", "JSON")
    with pytest.raises(Problem, match=r"BANNERMAP_SPARK_LOG is 'JSON'.*text or json"):
        form()
    monkeypatch.delenv("BANNERMAP_SPARK_LOG")
    assert form() == "text"


def test_mistakes_get_one_sentence():
    unknown = launch("cluster_banner", "--print-command")
    assert (unknown.returncode, "Did you mean 'cluster_banners'?" in unknown.stderr) == (2, True)
    with pytest.raises(Problem, match="needs a value"):
        parse(["--master"])


@pytest.mark.parametrize(
    ("text", "words"), [('openjdk version "11.0.2"', "is 11"), ('java version "1.8.0_292"', "is 8"), ("?", "unknown")]
)
def test_an_old_java_is_refused_with_the_mend(text, words, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").write_text(f"#!/bin/sh\necho '{text}' >&2\n")
    (tmp_path / "bin/java").chmod(0o755)
    done = launch("demo", JAVA_HOME=str(tmp_path))
    assert done.returncode == 2 and words in done.stderr and "default-jre-headless" in done.stderr
    assert "was not found" in launch("demo", JAVA_HOME=str(tmp_path / "none")).stderr
    (tmp_path / "bin/java").chmod(0o644)
    assert "does not run" in launch("demo", JAVA_HOME=str(tmp_path)).stderr


def test_an_old_python_is_refused_with_the_mend(tmp_path):
    for name in ("python3.13", "python3.12", "python3.11", "python3", "python"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(["/bin/bash", LAUNCHER], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.returncode == 2 and "needs Python 3.11" in done.stderr and "BANNERMAP_PYTHON" in done.stderr
    named = launch(BANNERMAP_PYTHON=str(tmp_path / "python"))  # a Python that was named is not replaced by another in silence
    assert named.returncode == 2 and str(tmp_path / "python") in named.stderr


def test_the_environment_is_made_again_only_when_its_pins_change(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/constraints.txt").write_text("a==1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\nname='x'\n[tool.ruff]\nline-length = 1\n")
    first = environment.pins_digest(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname='x'\n[tool.ruff]\nline-length = 2\n")
    assert environment.pins_digest(tmp_path) == first
    (tmp_path / "conf/constraints.txt").write_text("a==2\n")
    assert environment.pins_digest(tmp_path) != first


def test_an_environment_is_made_of_another_place_or_python(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name / "conf").mkdir(parents=True)
        (tmp_path / name / "conf/constraints.txt").write_text("a==1\n")
        (tmp_path / name / "pyproject.toml").write_text("")
    assert environment.pins_digest(tmp_path / "a") != environment.pins_digest(tmp_path / "b")
    python = tmp_path / "a/.venv/bin/python"
    assert not environment._is_wanted_python(python)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.delenv("BANNERMAP_PYTHON", raising=False)
    assert environment._is_wanted_python(python)
    monkeypatch.setenv("BANNERMAP_PYTHON", sys.executable)
    assert not environment._is_wanted_python(python)
    (python.parent / f"python{sys.version_info[0]}.{sys.version_info[1]}").touch()
    assert environment._is_wanted_python(python)


def fake_home(folder: Path) -> Path:
    """A repository of a package that needs nothing, so that a real environment takes seconds; its jars are there."""
    (folder / "conf").mkdir(parents=True)
    (folder / "conf/constraints.txt").write_text("setuptools>=1\n")
    (folder / "pyproject.toml").write_text("[project]\nname = 'nothing'\nversion = '1'\ndependencies = ['absent-of-any-index']\n")
    return folder


def test_a_whole_environment_is_used_by_a_user_who_may_not_write_there(tmp_path, monkeypatch):
    home = fake_home(tmp_path / "home")
    monkeypatch.delenv("BANNERMAP_PYTHON", raising=False)
    monkeypatch.setattr(environment.fcntl, "flock", lambda *_: pytest.fail("the lock was taken"))
    (home / ".venv/bin").mkdir(parents=True)
    (home / ".venv/bin/python").symlink_to(sys.executable)
    stamp = {"pins": environment.pins_digest(home), "extras": ["lab"]}
    (home / ".venv" / environment.STAMP).write_text(json.dumps(stamp))
    for extras in ((), ("lab",)):
        assert environment.ensure(home, extras, Path("java")) == home / ".venv/bin/python"
    assert not (home / ".venv.lock").exists()
    (home / ".venv.lock").mkdir()  # refuses to be written for root, too
    with pytest.raises(Problem, match=rf"made in {home}, where this user may not write"):
        environment.ensure(home, ("experiment",), Path("java"))


@pytest.mark.slow
def test_an_environment_cut_short_is_made_again(tmp_path, monkeypatch):
    home = fake_home(tmp_path / "home")
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # pip's ordinary settings reach it: here, one that makes it fail
    for _ in range(2):
        with pytest.raises(Problem, match="pip could not install"):
            environment.ensure(home, (), Path("java"))
        assert (home / ".venv/bin/python").exists() and not (home / ".venv" / environment.STAMP).exists()
        left = home / ".venv/left_over"
        assert not left.exists()
        left.touch()


def test_installed_versions_are_the_pinned_ones():
    pinned = dict(line.split("==") for line in (ROOT / "conf/constraints.txt").read_text().splitlines())
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    seen, waiting = set(), [Requirement("bannermap[test,lint]")]
    while waiting:
        needed = waiting.pop()
        if (needed.name, *needed.extras) in seen:
            continue
        seen.add((needed.name, *needed.extras))
        found = distribution(needed.name)
        assert needed.name == "bannermap" or pinned.get(canonicalize_name(needed.name)) == found.version, needed.name
        for text in found.requires or []:
            inner = Requirement(text)
            if not inner.marker or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *needed.extras)):
                waiting.append(inner)


def test_pins_hold_no_addresses_and_cover_what_is_declared():
    pins = (ROOT / "conf/constraints.txt").read_text().splitlines()
    assert all("==" in p and "://" not in p and "@" not in p for p in pins)
    names = {p.split("==")[0].lower().replace("_", "-") for p in pins}
    assert {"pyspark", "delta-spark", "torch", "transformers", "faiss-cpu", "pandas", "pyarrow", "boto3", "pymongo"} <= names


def test_coordinates_follow_the_installed_versions():
    assert jars.delta_coordinates("4.2.7", "4.4.0") == ("io.delta", "delta-spark_4.2_2.13", "4.4.0")
    assert jars.artifact_name(Path("delta-spark_4.2_2.13-4.4.0.jar")) == "delta-spark_4.2_2.13"
    assert jars.artifact_name(Path("slf4j-api-2.0.13.jar")) == "slf4j-api"
