"""A server that speaks S3's protocol, on loopback, and what finds it: the standard variables of S3's clients."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT

from bannermap.launcher.checks import check_java
from bannermap.launcher.problem import Problem
from bannermap.launcher.s3_jars import ensure_s3_jars

BUCKET = "bannermap-test"


def variables(port: int) -> dict[str, str]:
    """The environment of a process that is to find the server; S3A, pyarrow and boto3 all read it."""
    keys = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "of-the-test-server"}
    return {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1"}


@contextlib.contextmanager
def running_s3() -> Iterator[int]:
    """Port of a server with an empty bucket."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each of thousands of requests
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        port = server.get_host_and_port()[1]
        client(port).create_bucket(Bucket=BUCKET)
        yield port
    finally:
        server.stop()


def client(port: int) -> Any:
    """boto3's, of the server."""
    import boto3

    own = variables(port)
    keys = {"aws_access_key_id": own["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": own["AWS_SECRET_ACCESS_KEY"]}
    return boto3.client("s3", endpoint_url=own["AWS_ENDPOINT_URL"], region_name=own["AWS_REGION"], **keys)


def upload(port: int, folder: Path, prefix: str) -> str:
    """Copy a folder into the bucket; its address there. Checksums that Hadoop keeps beside local files are of no use there."""
    s3 = client(port)
    for file in (p for p in folder.rglob("*") if p.is_file() and not (p.name.startswith(".") and p.suffix == ".crc")):
        s3.upload_file(str(file), BUCKET, f"{prefix}/{file.relative_to(folder)}")
    return f"s3a://{BUCKET}/{prefix}"


def download(port: int, prefix: str, folder: Path) -> None:
    """Copy it back; names that end with a slash stand for folders and are left out."""
    s3 = client(port)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
    for name in (item["Key"] for page in pages for item in page.get("Contents", []) if not item["Key"].endswith("/")):
        target = folder / name.removeprefix(f"{prefix}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(BUCKET, name, str(target))


def s3_jars() -> str:
    """The jars, comma-separated as Spark wants them; without them the test is skipped."""
    try:
        folder = ensure_s3_jars(ROOT, Path(sys.executable), check_java())
    except Problem as problem:
        pytest.skip(f"no jars for s3a: {problem}")
    return ",".join(str(p) for p in sorted(folder.glob("*.jar")))
