"""A database of its own for each test, on a server that all tests of a process share."""

from __future__ import annotations

import uuid

import pytest
from mongo_server import Line, running_server

from bannermap.launcher.problem import Problem
from bannermap.platform.settings import PublishSettings
from bannermap.publish.database import Connection
from bannermap.publish.publication import Shelf


@pytest.fixture(scope="session")
def server():
    try:
        with running_server() as port:
            yield port
    except Problem as problem:
        pytest.skip(f"no server that speaks MongoDB's protocol: {problem}")


@pytest.fixture
def publish_settings() -> PublishSettings:
    """Short waits, small pages and writes, a database that no other test knows."""
    limits = {"attempts": 3, "backoff_s": 0.01, "select_timeout_s": 1.0, "write_timeout_s": 10.0}
    sizes = {"members_per_page": 3, "documents_per_write": 4, "writers": 2, "keep_runs": 2}
    return PublishSettings(database=f"t{uuid.uuid4().hex[:10]}", **limits, **sizes)


@pytest.fixture
def line(server):
    """A line to the server that can be cut."""
    made = Line(server)
    yield made
    made.cut()


@pytest.fixture
def connection(line, publish_settings) -> Connection:
    return Connection(f"mongodb://127.0.0.1:{line.port}/?directConnection=true", publish_settings)


@pytest.fixture
def shelf(connection):
    with connection.opened() as database:
        yield Shelf(database, connection)
