"""Where a job will run: which master, with the driver here or there, and what cannot work, said before Spark starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bannermap.launcher.problem import Problem

Kind = Literal["local", "standalone", "yarn", "kubernetes"]
FORMS: tuple[tuple[Kind, str], ...] = (
    ("local", r"local(\[(\*|\d+)(,\s*\d+)?\]|-cluster\[\d+,\s*\d+,\s*\d+\])?"),
    ("standalone", r"spark://[^/,:]+:\d+(,[^/,:]+:\d+)*"),
    ("yarn", r"yarn"),
    ("kubernetes", r"k8s://\S+"),
)
IMAGES = ("spark.kubernetes.driver.container.image", "spark.kubernetes.executor.container.image")
HADOOP_VARIABLES = ("HADOOP_CONF_DIR", "YARN_CONF_DIR")


@dataclass(frozen=True)
class Place:
    """Where a job will run.

    Attributes:
        kind: of master.
        driver_there: the driver runs in the cluster (deploy mode cluster), and sees nothing of this machine's disk.
        settings: of Spark, as far as they were given to spark-submit.
    """

    kind: Kind
    driver_there: bool
    settings: Mapping[str, str]


def place_of(options: list[str], conf_folder: Path) -> Place:
    """Read the place from what spark-submit will get, and refuse one that cannot work.

    Args:
        options: for spark-submit.
        conf_folder: SPARK_CONF_DIR.

    Raises:
        Problem: the master is of no known form, or lacks what it needs.
    """
    settings = given_settings(options, conf_folder)
    master, mode = settings.get("spark.master", "local[*]"), settings.get("spark.submit.deployMode", "client")
    kind = next((kind for kind, form in FORMS if re.fullmatch(form, master)), None)
    if kind is None:
        raise Problem(
            f"The master '{master}' is of no known form. Write local[4], spark://HOST:PORT, yarn or k8s://https://HOST:PORT."
        )
    if mode not in ("client", "cluster"):
        raise Problem(f"The deploy mode '{mode}' is unknown. It is client (the driver runs here) or cluster (it runs there).")
    place = Place(kind, mode == "cluster", settings)
    _check(place)
    return place


def given_settings(options: list[str], conf_folder: Path) -> dict[str, str]:
    """Settings that decide about the place, by Spark's own precedence: options, then a file of properties, then Spark's defaults.

    Args:
        options: for spark-submit.
        conf_folder: SPARK_CONF_DIR.
    """
    named = {"--master": "spark.master", "--deploy-mode": "spark.submit.deployMode", "--archives": "spark.archives"}
    found: dict[str, str] = {}
    properties = conf_folder / "spark-defaults.conf"
    for name, value in _pairs(options):
        if name == "--conf":
            setting, _, text = value.partition("=")
            found[setting.strip()] = text.strip()
        elif name == "--properties-file":
            properties = Path(value)
    found |= {named[name]: value for name, value in _pairs(options) if name in named}  # an option wins over --conf
    return {**_of_file(properties), **found}


def _pairs(options: list[str]) -> list[tuple[str, str]]:
    """``--name value`` and ``--name=value`` alike."""
    pairs, words = [], iter(options)
    for word in words:
        name, equals, value = word.partition("=")
        pairs.append((name, value) if equals else (name, "" if word in ("--verbose", "--supervise") else next(words, "")))
    return pairs


def _of_file(path: Path) -> dict[str, str]:
    """A file of properties: a name, then blanks, = or :, then the value."""
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    parts = (re.split(r"\s*[=:\s]\s*", line, maxsplit=1) for line in lines if line and line[0] not in "#!")
    return {part[0]: part[1] for part in parts if len(part) == 2}


def _check(place: Place) -> None:
    if place.kind == "local" and place.driver_there:
        raise Problem(
            "A local master runs everything in this process: leave --deploy-mode cluster out, or name another --master."
        )
    if place.kind == "standalone" and place.driver_there:
        raise Problem("A standalone master takes Python only with the driver here: leave --deploy-mode cluster out.")
    if place.kind == "yarn" and not any(os.environ.get(name) for name in HADOOP_VARIABLES):
        raise Problem("YARN is found by Hadoop's configuration: point HADOOP_CONF_DIR at the folder with yarn-site.xml.")
    if place.kind == "kubernetes" and "spark.kubernetes.container.image" not in place.settings:
        needed = IMAGES if place.driver_there else IMAGES[1:]
        if missing := [name for name in needed if name not in place.settings]:
            raise Problem(
                f"Kubernetes runs images, and no {' or '.join(missing)} was named. Build one with conf/docker/Dockerfile and "
                "name it: --conf spark.kubernetes.container.image=REGISTRY/bannermap:TAG."
            )
