"""From our command line to spark-submit's."""

from __future__ import annotations

import ast
import difflib
import itertools
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bannermap.launcher.jars import jar_folder
from bannermap.launcher.masters import Place, place_of
from bannermap.launcher.problem import Problem
from bannermap.launcher.s3_jars import s3_jar_folder, wants_s3
from bannermap.launcher.sending import sent_along

SPARK_OPTIONS = frozenset(
    (
        *(
            "--master",
            "--deploy-mode",
            "--conf",
            "--properties-file",
            "--name",
            "--queue",
            "--principal",
            "--keytab",
            "--proxy-user",
        ),
        *("--jars", "--packages", "--repositories", "--exclude-packages", "--py-files", "--files", "--archives"),
        *("--driver-memory", "--driver-cores", "--driver-java-options", "--driver-class-path"),
        *("--executor-memory", "--executor-cores", "--num-executors", "--total-executor-cores"),
    )
)
SPARK_FLAGS = frozenset({"--verbose", "--supervise"})
DRIVER_MEMORY = "4g"
TEST = "test"
SPARK_LOG, SPARK_LOGS = "BANNERMAP_SPARK_LOG", ("text", "json")
"""The variable that conf/spark/log4j2.properties reads, and the appenders that it has; the first without the variable."""


@dataclass
class Wanted:
    """What the command line asks for.

    Attributes:
        job: name, or null.
        spark_options: for spark-submit.
        job_options: for the job.
        print_only: print the command instead of running it.
    """

    job: str | None = None
    spark_options: list[str] = field(default_factory=list)
    job_options: list[str] = field(default_factory=list)
    print_only: bool = False

    def has_spark_option(self, name: str, conf: str) -> bool:
        """Whether an option, or the setting that it stands for, was given."""
        return any(o == name or o.startswith((f"{name}=", f"{conf}=", f"--conf={conf}=")) for o in self.spark_options)


def parse(arguments: list[str]) -> Wanted:
    """Sort options by whom they are for; spark-submit's may stand before or after the job's name."""
    wanted, rest = Wanted(), list(arguments)
    while rest:
        word = rest.pop(0)
        if wanted.job == TEST:
            wanted.job_options.append(word)  # all are pytest's
        elif word == "--print-command":
            wanted.print_only = True
        elif word in SPARK_OPTIONS:
            if not rest:
                raise Problem(f"{word} needs a value.")
            wanted.spark_options += [word, rest.pop(0)]
        elif word in SPARK_FLAGS or word.partition("=")[0] in SPARK_OPTIONS:
            wanted.spark_options.append(word)
        elif wanted.job is None and not word.startswith("-"):
            wanted.job = word
        else:
            wanted.job_options.append(word)
    return wanted


def listing(home: Path) -> str:
    """The jobs, a line each."""
    lines = {**{p.stem: _first_line(p) for p in _job_files(home)}, TEST: "Run style, types, import contracts and all tests."}
    width = max(map(len, lines))
    jobs = [f"  {name:<{width}}  {text}" for name, text in sorted(lines.items())]
    usage = "Usage: ./spark-submit.sh JOB [job options] [spark-submit options] [--print-command]"
    return "\n".join([usage, "", *jobs, "", "./spark-submit.sh JOB --help shows a job's options."])


def check_job(home: Path, job: str) -> None:
    """Refuse an unknown job and name the nearest."""
    names = [p.stem for p in _job_files(home)]
    if job not in names:
        close = difflib.get_close_matches(job, [*names, TEST], n=1)
        hint = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(names)}."
        raise Problem(f"There is no job '{job}'. {hint}")


def extras_of(home: Path, job: str) -> tuple[str, ...]:
    """Extras of pyproject.toml that a job names in its ``EXTRAS``, without running it: there may be no environment yet."""
    body = ast.parse((home / f"jobs/{job}.py").read_text()).body
    named = [n.value for n in body if isinstance(n, ast.Assign) and [ast.unparse(t) for t in n.targets] == ["EXTRAS"]]
    return tuple(ast.literal_eval(named[0])) if named else ()


def extras_of_all(home: Path) -> tuple[str, ...]:
    """Those of all jobs, for an environment that goes elsewhere: it is the same whatever job was first."""
    return tuple(sorted({extra for path in _job_files(home) for extra in extras_of(home, path.stem)}))


def place(home: Path, wanted: Wanted) -> Place:
    """Where a job will run; see `place_of`."""
    return place_of(wanted.spark_options, _conf_folder(home))


def spark_submit(home: Path, python: Path, wanted: Wanted, place: Place) -> tuple[list[str], dict[str, str]]:
    """The command and the variables it needs.

    Args:
        home: the repository.
        python: of the environment.
        wanted: the parsed command line, with a job.
        place: where it will run.

    Raises:
        Problem: something of this machine cannot reach the driver, or Spark's lines are asked for in no known form.
    """
    folders = [jar_folder(home), *([s3_jar_folder(home)] if names_s3(home, wanted) else [])]
    sent = sent_along(home, python, str(wanted.job), wanted.job_options, place, folders)
    options = _joined(wanted.spark_options, sent.options)
    given = wanted.has_spark_option("--driver-memory", "spark.driver.memory")
    if not given and not wanted.has_spark_option("--properties-file", "--properties-file"):
        options = ["--driver-memory", DRIVER_MEMORY, *options]
    line = [str(python.parent / "spark-submit"), *options, sent.application, *sent.job_options]
    variables = {**sent.variables, "SPARK_CONF_DIR": str(_conf_folder(home)), SPARK_LOG: _spark_log()}
    variables["PATH"] = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
    for found in python.parent.parent.glob("lib/python*/site-packages/pyspark"):
        variables["SPARK_HOME"] = str(found)  # another Spark's, left in the shell, has other jars
    return line, variables


def _spark_log() -> str:
    """The form of Spark's own lines. Of an appender that is not there, log4j would say so once and tell of no error."""
    wanted = os.environ.get(SPARK_LOG) or SPARK_LOGS[0]
    if wanted not in SPARK_LOGS:
        raise Problem(f"{SPARK_LOG} is {wanted!r} in the environment, and Spark's lines can be {' or '.join(SPARK_LOGS)}.")
    return wanted


def quoted(line: list[str]) -> str:
    """A command as one line that a shell takes."""
    return shlex.join(line)


def names_s3(home: Path, wanted: Wanted) -> bool:
    """Whether the job or Spark reads or writes ``s3a://``, as far as options, configurations and properties tell."""
    words = [*wanted.job_options, *wanted.spark_options]
    files = [*_values(wanted.job_options, "--config"), *_values(wanted.spark_options, "--properties-file")]
    return wants_s3(words, [home / "conf/base.yaml", _conf_folder(home) / "spark-defaults.conf", *map(Path, files)])


def _values(words: list[str], name: str) -> list[str]:
    """Of an option, given as one word or as two."""
    apart = [after for word, after in itertools.pairwise(words) if word == name]
    return apart + [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]


def _conf_folder(home: Path) -> Path:
    return Path(os.environ.get("SPARK_CONF_DIR", home / "conf/spark"))


def _joined(given: list[str], ours: Mapping[str, list[str]]) -> list[str]:
    """The given options with ours added: lists become one, since spark-submit takes the last of two."""
    lists = {name: list(values) for name, values in ours.items() if name != "--conf"}
    rest: list[str] = [word for setting in ours.get("--conf", []) for word in ("--conf", setting)]
    words = iter(given)
    for word in words:
        name, equals, value = word.partition("=")
        if name in lists:
            lists[name].append(value if equals else next(words))
        else:
            rest.append(word)
    return [word for name, values in lists.items() if values for word in (name, ",".join(values))] + rest


def _job_files(home: Path) -> list[Path]:
    return sorted((home / "jobs").glob("*.py"))


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
