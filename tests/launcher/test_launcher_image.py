"""The Dockerfile, read as far as can be without an engine: stages, pins, users, secrets; and what its containers start."""

from __future__ import annotations

import ast
import re
import stat
import subprocess
from pathlib import Path

import pytest
from repository import ROOT

from bannermap.launcher import s3_jars
from bannermap.launcher.sending import IMAGE_HOME

DOCKER = ROOT / "conf/docker"
TEXT = (DOCKER / "Dockerfile").read_text()
SECRET = re.compile(r"(?i)passw|token|secret|credential|api_?key|access_?key|://[^\s/]*@")


def instructions(text: str) -> list[tuple[str, str]]:
    """Keyword and the rest, with continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def stages(text: str) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Name -> where it starts from, and its instructions."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for word, rest in instructions(text):
        if word == "FROM":
            source, _, name = rest.partition(" AS ")
            found[name] = (source, [])
        else:
            list(found.values())[-1][1].append((word, rest))
    return found


def lineage(text: str, name: str) -> list[tuple[str, str]]:
    """Instructions of a stage, after those of the stages that it starts from."""
    source, own = stages(text)[name]
    return (lineage(text, source) if source in stages(text) else []) + own


def complaints(text: str) -> set[str]:
    """What is wrong with a Dockerfile, by a word for each rule."""
    found, names = set(), stages(text)
    for source, _ in names.values():
        if source not in names and not re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?", source):
            found.add("image without a pinned version")
    for target in ("cpu", "gpu"):
        users = [rest for word, rest in lineage(text, target) if word == "USER"]
        if not users or not re.fullmatch(r"[1-9]\d*", users[-1]):  # Kubernetes checks runAsNonRoot by number
            found.add("runs as root")
        if any(word == "RUN" and "pip" in rest for word, rest in lineage(text, target)):
            found.add("installs outside of the stage of the environment")
    environment = names["environment"][1]
    if ("COPY", "conf/constraints.txt conf/constraints.txt") not in environment or not any(
        word == "RUN" and "environment.ensure" in rest for word, rest in environment
    ):
        found.add("packages without pins")
    for word, rest in instructions(text):
        if word in ("ENV", "ARG", "LABEL") and SECRET.search(rest):
            found.add("a secret in a layer")
        if word == "RUN" and SECRET.search(re.sub(r"--mount=type=secret,\S+", "", rest)):
            found.add("a secret in a layer")
        if word == "ADD" or (word == "COPY" and rest.split()[-2] in (".", "./")):
            found.add("copies more than it names")
    return found


def test_both_images_are_pinned_unprivileged_and_without_secrets():
    assert {"environment", "runtime", "gpu", "cpu"} <= set(stages(TEXT)) and complaints(TEXT) == set()


@pytest.mark.parametrize(
    ("there", "instead", "complaint"),
    [
        ("python:3.11.14-slim-bookworm", "python:3-slim", "image without a pinned version"),
        ("python:3.11.14-slim-bookworm", "python", "image without a pinned version"),
        ("USER 185", "USER root", "runs as root"),
        ("USER 185\n", "", "runs as root"),
        ("COPY conf/constraints.txt conf/constraints.txt\n", "", "packages without pins"),
        ("COPY src src", "COPY . .", "copies more than it names"),
        ("COPY jobs jobs", "RUN pip install torch", "installs outside of the stage of the environment"),
        ("ARG PIP_EXTRA_INDEX_URL=", "ARG PIP_EXTRA_INDEX_URL=https://me:pass@host/simple", "a secret in a layer"),
        ("PYTHONDONTWRITEBYTECODE=1", "AWS_SECRET_ACCESS_KEY=abc", "a secret in a layer"),
    ],
)
def test_each_rule_finds_what_breaks_it(there, instead, complaint):
    assert there in TEXT and complaint in complaints(TEXT.replace(there, instead))


def test_the_image_holds_what_jobs_need_and_where_the_launcher_looks():
    copied = [rest.split() for word, rest in instructions(TEXT) if word == "COPY" and "--from" not in rest]
    assert all((ROOT / source).exists() for words in copied for source in words[:-1])
    assert {"conf", "src", "jobs"} <= {source for words in copied for source in words[:-1]}
    settings = dict(p.split("=", 1) for w, rest in instructions(TEXT) if w == "ENV" for p in rest.split())
    assert settings["BANNERMAP_HOME"] == str(IMAGE_HOME) and settings["PYSPARK_PYTHON"] == str(IMAGE_HOME / ".venv/bin/python")
    (entry,) = [rest for word, rest in instructions(TEXT) if word == "ENTRYPOINT"]
    script = ROOT / Path(entry.strip('["]')).relative_to(IMAGE_HOME)
    assert script.stat().st_mode & stat.S_IXOTH
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored and {source.split("/")[0] for words in copied for source in words[:-1]} == kept


def test_the_image_holds_the_jars_that_the_launcher_names_there():
    (made,) = [rest for word, rest in stages(TEXT)["environment"][1] if word == "RUN"]
    code = re.search(r'python -c "(.*)"$', made)[1]
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)}
    assert {"environment.ensure", "s3_jars.ensure_s3_jars"} <= called
    assert s3_jars.s3_jar_folder(Path(IMAGE_HOME)).is_relative_to(Path(IMAGE_HOME) / ".venv")  # the folder that is copied
    assert (DOCKER / "entrypoint.sh").read_text().count(f"{IMAGE_HOME}}}/.venv/s3-jars/*") == 1


def started(tmp_path: Path, *arguments: str, **variables: str) -> list[str]:
    """What the entry point starts, where Spark and Java are scripts that print what they get."""
    for name in ("spark/bin/spark-submit", "java/bin/java"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('#!/bin/sh\necho "$SPARK_DIST_CLASSPATH" > "$0.class_path"\nprintf "%s\\n" "$0" "$@"\n')
        (tmp_path / name).chmod(0o755)
    own = {"SPARK_HOME": f"{tmp_path}/spark", "JAVA_HOME": f"{tmp_path}/java", "PATH": "/usr/bin:/bin", **variables}
    line = ["/bin/bash", str(DOCKER / "entrypoint.sh"), *arguments]
    done = subprocess.run(line, capture_output=True, text=True, env=own, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_container_becomes_driver_executor_or_what_it_is_told(tmp_path):
    job = ("--class", "org.apache.spark.deploy.PythonRunner", "local:///opt/bannermap/jobs/demo.py", "--set", "a.b=two words")
    line = started(tmp_path, "driver", *job, SPARK_DRIVER_BIND_ADDRESS="10.0.0.7")
    assert line[:3] == [f"{tmp_path}/spark/bin/spark-submit", "--deploy-mode", "client"] and tuple(line[-5:]) == job
    assert "spark.driver.bindAddress=10.0.0.7" in line
    class_path = tmp_path / "spark/bin/spark-submit.class_path"
    assert class_path.read_text() == "/opt/bannermap/.venv/s3-jars/*\n"
    started(
        tmp_path, "driver", *job, SPARK_DRIVER_BIND_ADDRESS="10.0.0.7", SPARK_DIST_CLASSPATH="/mine/*", BANNERMAP_HOME="/here"
    )
    assert class_path.read_text() == "/mine/*:/here/.venv/s3-jars/*\n"
    given = {"DRIVER_URL": "spark://d@h:1", "EXECUTOR_ID": "3", "EXECUTOR_CORES": "4", "EXECUTOR_MEMORY": "8g"}
    given |= {"APPLICATION_ID": "app", "EXECUTOR_POD_IP": "10.0.0.8", "EXECUTOR_POD_NAME": "pod", "RESOURCE_PROFILE_ID": "1"}
    given |= {"JAVA_OPT_0": "-Da=b c", "JAVA_OPT_1": "-Dd=e", "CONF_DIR": "/opt/spark/conf", "CLASSPATH": "/mine/*"}
    line = started(tmp_path, "executor", **{f"SPARK_{name}": value for name, value in given.items()})
    assert line[:5] == [f"{tmp_path}/java/bin/java", "-Da=b c", "-Dd=e", "-Xms8g", "-Xmx8g"]
    assert line[line.index("-cp") + 1] == f"/opt/spark/conf:/mine/*:{tmp_path}/spark/jars/*:{tmp_path}"
    options = line[line.index("org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend") + 1 :]
    told = dict(zip(options[::2], options[1::2], strict=True))
    assert told["--resourceProfileId"] == "1" and told["--podName"] == "pod" and told["--hostname"] == "10.0.0.8"
    assert started(tmp_path, "echo", "as it is") == ["as it is"]
    show = ("sh", "-c", "echo ${BANNERMAP_SPARK_LOG-unset}")
    assert [started(tmp_path, *show, BANNERMAP_SPARK_LOG=value) for value in ("", "json")] == [["unset"], ["json"]]
