"""Jars with which Spark reads and writes ``s3a://``, into ``.venv/s3-jars``: fetched when a command first names such an address.

Hadoop's own list asks for the whole SDK of AWS in one jar of 690 MB, which every executor would copy. These are the parts of it
that S3A loads, 13 MB; Spark has their libraries already.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bannermap.launcher.jars import fetch_once, installed_versions, remove_known, resolve_module
from bannermap.launcher.problem import Problem

SCHEME = "s3a://"
HADOOP = "3.5.0"
SDK = "2.35.4"
ALONE = (
    ("org.apache.hadoop", "hadoop-aws", HADOOP),
    ("software.amazon.s3.analyticsaccelerator", "analyticsaccelerator-s3", "1.3.1"),
    ("org.wildfly.openssl", "wildfly-openssl", "2.2.5.Final"),
)
"""Versions as Hadoop's own list has them; taken without what they name."""
PARTS = ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client")
BROUGHT_BY_SPARK = ("io.netty", "commons-logging", "commons-codec", "org.slf4j", "org.apache.httpcomponents")


def s3_jar_folder(home: Path) -> Path:
    """Where the jars lie."""
    return home / ".venv/s3-jars"


def wants_s3(words: Iterable[str], files: Iterable[Path]) -> bool:
    """Whether a command names an address of S3, in its options or in its configuration.

    Args:
        words: the job's options.
        files: configurations; those that are not there are left for the job to complain about.
    """
    texts = (file.read_text(errors="replace") for file in files if file.is_file())
    return any(SCHEME in word for word in words) or any(SCHEME in text for text in texts)


def ensure_s3_jars(home: Path, python: Path, java: Path) -> Path:
    """The folder with the jars, fetched if they are not there.

    Args:
        home: the repository.
        python: of the environment, which has Spark's Ivy.
        java: to run Ivy.

    Raises:
        Problem: they could not be fetched, or are of another Hadoop than Spark's.
    """
    target = s3_jar_folder(home)
    if target.is_dir():
        return target
    spark_jars, _ = installed_versions(python)
    if not (spark_jars / f"hadoop-client-api-{HADOOP}.jar").is_file():
        raise Problem(
            f"Spark has another Hadoop than {HADOOP}, to which the jars for {SCHEME} belong. "
            "Name hadoop-aws of its version with --packages, and put no such folder into .venv."
        )
    print(f"[bannermap] fetching hadoop-aws:{HADOOP} and what it needs, for {SCHEME}", flush=True)

    def fetch(scratch: Path) -> Path:
        found = resolve_module(java, spark_jars, ivy_module(), f"hadoop-aws:{HADOOP}", scratch)
        remove_known(found, spark_jars)
        return found

    fetch_once(target, fetch)
    return target


def ivy_module() -> str:
    """What to fetch, as Ivy reads it."""
    alone = [f'<dependency org="{o}" name="{n}" rev="{v}" transitive="false" conf="default->default"/>' for o, n, v in ALONE]
    conf = "default->compile(*),runtime(*),master(*)"
    parts = [f'<dependency org="software.amazon.awssdk" name="{n}" rev="{SDK}" conf="{conf}"/>' for n in PARTS]
    excluded = [f'<exclude org="{organisation}"/>' for organisation in BROUGHT_BY_SPARK]
    head = '<info organisation="bannermap" module="s3"/><configurations><conf name="default"/></configurations>'
    return f'<ivy-module version="2.0">{head}<dependencies>{"".join([*alone, *parts, *excluded])}</dependencies></ivy-module>'
