"""What a cluster gets of this machine, by its master: the environment, the job's file, configurations."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bannermap.launcher.masters import Place
from bannermap.launcher.packing import ARCHIVE_NAME, PYTHON_THERE, packed_path
from bannermap.launcher.problem import Problem

IMAGE_HOME = PurePosixPath("/opt/bannermap")
"""Where conf/docker/Dockerfile puts the repository and its environment."""
OWN_PYTHON, DRIVER_PYTHON = "spark.pyspark.python", "spark.pyspark.driver.python"
UPLOADS = "spark.kubernetes.file.upload.path"


@dataclass(frozen=True)
class Sent:
    """What spark-submit is told beyond the options that were given.

    Attributes:
        options: for spark-submit; lists that were also given are joined with these.
        application: the job's file, as the driver finds it.
        job_options: for the job.
        variables: for spark-submit: which Python tasks and driver run on, and what it needs itself.
    """

    options: dict[str, list[str]]
    application: str
    job_options: list[str]
    variables: dict[str, str]


def needs_archive(place: Place) -> bool:
    """Whether executors get the environment from here: not those of this machine, of an image, or with a Python of their own."""
    return place.kind in ("standalone", "yarn") and OWN_PYTHON not in place.settings


def sent_along(home: Path, python: Path, job: str, job_options: list[str], place: Place, jar_folders: Sequence[Path]) -> Sent:
    """What goes along with a job.

    Args:
        home: the repository.
        python: of its environment.
        job: name.
        job_options: for the job.
        place: where it will run.
        jar_folders: whose jars driver and executors need.

    Raises:
        Problem: a configuration cannot reach its driver.
    """
    in_image = place.kind == "kubernetes" and place.driver_there
    there = _python_there(place) or str(python)
    own = {"PYSPARK_PYTHON": there, "PYSPARK_DRIVER_PYTHON": there if place.driver_there else str(python)}
    if in_image:
        own["SPARK_DIST_CLASSPATH"] = _uploading_with(jar_folders)
    jars = [path for folder in jar_folders for path in sorted(folder.glob("*.jar"))]
    options = {"--jars": [f"local://{_in_image(home, path)}" if in_image else str(path) for path in jars]}
    if needs_archive(place):
        options["--archives"] = [f"{packed_path(home)}#{ARCHIVE_NAME}"]
    options["--conf"] = _settings(place, there, python)
    words = list(job_options)
    if place.driver_there:
        words, options["--files"] = _with_files(job_options, place)
    file = home / "jobs" / f"{job}.py"
    return Sent(options, f"local://{_in_image(home, file)}" if in_image else str(file), words, own)


def _python_there(place: Place) -> str | None:
    """The Python of executors, as they find it; null where it is that of this machine."""
    if OWN_PYTHON in place.settings:
        return place.settings[OWN_PYTHON]
    if place.kind == "kubernetes":
        return str(IMAGE_HOME / ".venv/bin/python")
    return PYTHON_THERE if needs_archive(place) else None


def _settings(place: Place, there: str, here: Path) -> list[str]:
    """For a driver that does not inherit this process's variables, and for one here, whose Python is not that of executors."""
    if not place.driver_there:
        named = OWN_PYTHON in place.settings and DRIVER_PYTHON not in place.settings
        return [f"{DRIVER_PYTHON}={here}"] if named else []
    if place.kind == "kubernetes":
        return [] if OWN_PYTHON in place.settings else [f"{OWN_PYTHON}={there}"]
    home = [f"spark.yarn.appMasterEnv.BANNERMAP_HOME=./{ARCHIVE_NAME}"] if needs_archive(place) else []
    return [f"spark.yarn.appMasterEnv.PYSPARK_PYTHON={there}", *home]


def _with_files(job_options: list[str], place: Place) -> tuple[list[str], list[str]]:
    """Configurations that lie on this machine travel as files, and the job is told their names alone."""
    words, files = list(job_options), []
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name != "--config" or not (equals or at + 1 < len(words)):
            continue
        path = Path(value if equals else words[at + 1])
        if not path.is_file():
            continue  # in the image, or on a disk that the cluster shares
        files.append(str(path))
        words[at if equals else at + 1] = f"--config={path.name}" if equals else path.name
    twice = [name for name, count in Counter(Path(f).name for f in files).items() if count > 1]
    if twice:
        raise Problem(f"Two configurations are named {twice[0]}, and a driver in the cluster sees names alone: rename one.")
    if files and place.kind == "kubernetes" and UPLOADS not in place.settings:
        raise Problem(
            f"{files[0]} is on this machine and the driver is not: name a place to upload to, "
            f"--conf {UPLOADS}=s3a://BUCKET/FOLDER, or build it into the image and give its path there."
        )
    return words, files


def _uploading_with(jar_folders: Sequence[Path]) -> str:
    """Class path of spark-submit: it uploads files from here, to S3 say, and only the driver there gets what --jars names."""
    given = os.environ.get("SPARK_DIST_CLASSPATH")
    return os.pathsep.join([*(f"{folder}/*" for folder in jar_folders), *([given] if given else [])])


def _in_image(home: Path, path: Path) -> PurePosixPath:
    return IMAGE_HOME / path.relative_to(home)
