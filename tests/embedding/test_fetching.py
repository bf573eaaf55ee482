"""The stream of fetches: bounded by its consumer, ended with it, fair to hosts; and its sources beside the web."""

from __future__ import annotations

import http.server
import itertools
import ssl
import threading
import time

import fsspec
import pytest
import trustme
from hostile_server import BODY, SERVED, HostileServer
from repository import ROOT

from bannermap.embedding.fetching import stream
from bannermap.embedding.fetching.s3 import _made_client
from bannermap.embedding.fetching.stream import fetch_all, stream_fetched
from bannermap.embedding.job import STAGE
from bannermap.embedding.statuses import STATUSES
from bannermap.platform.config import load_settings
from bannermap.platform.errors import ConfigError


class Store(http.server.BaseHTTPRequestHandler):
    """As much of S3 as reading an object takes; the key says what happens."""

    asked: list[str] = []  # noqa: RUF012 - shared by the handlers of one test
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        key = self.path.split("?")[0].partition("/bucket/")[2]
        self.asked.append(key)
        if key == "slow":
            self.answer(200, b"x" * 100, sent=10)
            time.sleep(5)
        elif key == "short":
            self.answer(200, b"x" * 100, sent=10)
            self.close_connection = True
        elif key == "later" and self.asked.count(key) == 1:
            self.refuse(503, "SlowDown")
        elif key in ("dir/a%20b%3F.png", "later"):
            self.answer(200, b"an object")
        elif key == "large":
            self.answer(200, b"x" * 5000)
        else:
            self.refuse(*((403, "AccessDenied") if key == "private" else (404, "NoSuchKey")))

    def refuse(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode())

    def answer(self, status, body, sent=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    running = HostileServer()
    yield running
    running.close()


@pytest.fixture
def settings(base_settings):
    changes = {"allowed_networks": (f"{SERVED}/32",), "fetch_deadline_s": 10.0, "max_bytes": 4000}
    return base_settings.fetch.model_copy(update=changes)


def lookup(_host: str) -> list[str]:
    return [SERVED]


def settled(count, least: int) -> int:
    """A count that has reached a least and stands still for half a second."""
    end = time.monotonic() + 20
    while count() < least and time.monotonic() < end:
        time.sleep(0.02)
    before = -1
    while before != count():
        before = count()
        time.sleep(0.5)
    return before


def test_each_address_comes_once_as_it_ends_and_a_list_in_order(server, settings, tmp_path):
    addresses = [server.url("stalled"), *(server.url(f"ok?{i}") for i in range(50)), None, server.url("s404"), "absent.png"]
    quick = settings.model_copy(update={"fetch_deadline_s": 1.0})
    found = list(stream_fetched(iter(addresses), tmp_path, quick))
    assert sorted(i for i, _ in found) == list(range(len(addresses)))
    assert found[-1][0] == 0, "the slow one comes last, though it was first"
    in_order = [f.status for f in fetch_all(addresses, tmp_path, quick)]
    assert in_order == ["timeout", *["ok"] * 50, "no_address", "not_found", "not_found"]
    assert list(stream_fetched([], tmp_path, settings)) == []


def test_a_slow_consumer_stops_the_fetching_and_the_input(server, settings, tmp_path):
    narrow = settings.model_copy(update={"concurrency_per_task": 4, "queued_images": 10})
    asked, pulled = (lambda: server.asked["ok/slow-consumer"]), itertools.count()
    endless = (server.url(f"ok/slow-consumer?{next(pulled)}") for _ in itertools.count())
    running = stream_fetched(endless, tmp_path, narrow)
    next(running)
    assert settled(asked, 10) == 10
    for _ in range(30):
        next(running)
    assert settled(asked, 31) <= 41
    running.close()
    assert next(pulled) <= 31 + 10 + 4 + 1


def test_bodies_that_wait_stop_the_fetching(server, settings, tmp_path):
    narrow = settings.model_copy(update={"concurrency_per_task": 4, "queued_images": 100, "queued_bytes": 5 * len(BODY)})
    running = stream_fetched((server.url("ok/bytes") for _ in itertools.count()), tmp_path, narrow)
    next(running)
    assert 5 <= settled(lambda: server.asked["ok/bytes"], 5) <= 5 + 4
    assert len(list(itertools.islice(running, 40))) == 40
    running.close()


def test_closing_ends_what_is_in_flight(server, settings, tmp_path):
    addresses = [server.url("ok"), *(server.url("silent/closing") for _ in range(20))]
    running = stream_fetched(addresses, tmp_path, settings.model_copy(update={"per_host": 32}))
    assert next(running)[0] == 0
    settled(lambda: server.asked["silent/closing"], 20)
    start = time.monotonic()
    running.close()
    assert time.monotonic() - start < 3.0
    assert not [t for t in threading.enumerate() if t.name == "fetching"]


def test_a_fault_of_the_input_or_of_the_fetcher_reaches_the_consumer(server, settings, tmp_path, monkeypatch):
    def breaking():
        yield server.url("ok")
        raise KeyError("upstream")

    with pytest.raises(KeyError, match="upstream"):
        list(stream_fetched(breaking(), tmp_path, settings))
    monkeypatch.setattr(stream, "Fetcher", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(stream_fetched(["a"], tmp_path, settings))
    assert not [t for t in threading.enumerate() if t.name == "fetching"]


def test_a_host_is_spared_and_others_do_not_wait_for_it(server, settings, tmp_path):
    polite = settings.model_copy(update={"concurrency_per_task": 16, "per_host": 3, "queued_images": 100})
    addresses = [server.url("pause/busy", "busy.test")] * 30 + [server.url("pause/other", f"host{i}.test") for i in range(6)]
    order = [i for i, f in stream_fetched(addresses, tmp_path, polite, lookup) if f.status == "ok"]
    assert len(order) == 36
    assert server.most_at_once["pause/busy"] == 3
    assert set(order[:15]) >= set(range(30, 36)), "the others are among the first"


def test_calls_that_hang_are_given_up_and_others_go_on(server, settings, tmp_path):
    released = threading.Event()

    def hanging_for_some(host: str) -> list[str]:
        if host.startswith("hang"):
            released.wait(20)
        return [SERVED]

    narrow = settings.model_copy(update={"concurrency_per_task": 2, "fetch_deadline_s": 1.0, "attempts": 1})
    addresses = [server.url("ok", f"{kind}{i}.test") for i in range(3) for kind in ("hang", "go")]
    found = [f.status for _, f in sorted(stream_fetched(addresses, tmp_path, narrow, hanging_for_some))]
    released.set()
    assert found == ["timeout", "ok"] * 3


def test_certificates_are_checked_against_the_name(settings, tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("right.test").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with http.server.ThreadingHTTPServer((SERVED, 0), Store) as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url = f":{running.server_port}/bucket/dir/a%20b%3F.png"
        right, wrong = f"https://right.test{url}", f"https://wrong.test{url}"
        trusted = dict(stream_fetched([right, wrong], tmp_path, settings, lookup, trusting))
        stranger = dict(stream_fetched([right], tmp_path, settings, lookup))
        running.shutdown()
    assert trusted[0].data == b"an object" and trusted[1].status == stranger[0].status == "tls_error"


def test_nothing_outside_the_folder_is_read(settings, tmp_path):
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    (root / "sub/a.png").write_bytes(b"inside")
    (root / "shot:1.png").write_bytes(b"a name with a colon")
    (root / "large.png").write_bytes(b"x" * 4001)
    (tmp_path / "secret").write_bytes(b"outside")
    (root / "link").symlink_to(tmp_path / "secret")
    expected = {
        "sub/a.png": "ok",
        f"file://{root}/sub/a.png": "ok",
        "shot:1.png": "ok",
        "large.png": "too_large",
        "../secret": "outside_root",
        "sub/../../secret": "outside_root",
        "link": "outside_root",
        str(tmp_path / "secret"): "outside_root",
        f"file://{tmp_path}/secret": "outside_root",
        "file:///etc/hostname": "outside_root",
        "sub": "not_found",
        "absent.png": "not_found",
        "a\0b": "invalid_address",
        "ftp://host/x": "unsupported_scheme",
        "http://[bad": "invalid_address",
        "": "no_address",
        None: "no_address",
    }
    assert {a: f.status for a, f in zip(expected, fetch_all(list(expected), root, settings), strict=True)} == expected


@pytest.fixture
def store(monkeypatch):
    Store.asked.clear()
    _made_client.cache_clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        own = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{running.server_port}", "AWS_EC2_METADATA_DISABLED": "true"}
        keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in (own | keys | {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}).items():
            monkeypatch.setenv(name, value)
        yield
        running.shutdown()
    _made_client.cache_clear()


def test_objects_of_s3_under_the_same_limits(store, settings, tmp_path, monkeypatch):
    wide = settings.model_copy(update={"schemes": ("s3",), "fetch_deadline_s": 2.0})
    expected = {
        "s3://bucket/dir/a b?.png": "ok",
        "s3://bucket/later": "ok",
        "s3://bucket/absent": "not_found",
        "s3://bucket/private": "access_denied",
        "s3://bucket/large": "too_large",
        "s3://bucket/slow": "timeout",
        "s3://bucket/short": "truncated_body",
        "s3://b d/x": "invalid_address",
        "s3://bucket": "invalid_address",
        "s3:///key": "invalid_address",
    }
    found = dict(zip(expected, fetch_all(list(expected), tmp_path, wide), strict=True))
    assert {a: f.status for a, f in found.items()} == expected
    assert found["s3://bucket/later"].data == b"an object" and found["s3://bucket/later"].attempts == 2
    assert Store.asked.count("private") == Store.asked.count("absent") == Store.asked.count("large") == 1
    assert found["s3://bucket/slow"].seconds < 3.0
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    _made_client.cache_clear()
    assert fetch_all(["s3://bucket/later"], tmp_path, wide)[0].status == "access_denied"


def test_file_systems_of_fsspec_by_configuration(settings, tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe({"/images/a.png": b"in memory", "/images/large.png": b"x" * 4001})
    wide = settings.model_copy(update={"schemes": ("memory",)})
    expected = {
        "memory://images/a.png": "ok",
        "memory://images/large.png": "too_large",
        "memory://images/absent.png": "not_found",
        "memory://x::file:///etc/hostname": "invalid_address",
        "local:///etc/hostname": "unsupported_scheme",
        "images/a.png": "unsupported_scheme",
    }
    assert {a: f.status for a, f in zip(expected, fetch_all(list(expected), tmp_path, wide), strict=True)} == expected


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("fetch.schemes=[http, nonsense]", "correct the name"),
        ("fetch.schemes=[local]", "any file of a worker"),
        ("fetch.schemes=[simplecache]", "any file of a worker"),
        ("fetch.allowed_networks=[10.0.0.0/33]", "for example 10.20.0.0/16"),
        ("fetch.allowed_networks=[10.0.0.1/8]", "has host bits set"),
        ("fetch.user_agent='a\u2028b'", "string should match"),
        ("fetch.image_cache=ftp://x/y", "null keeps bytes in a table"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_what_to_do(assignment, words):
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        load_settings(ROOT / "conf/base.yaml", [], [assignment])


def test_a_status_to_try_again_has_to_exist(base_settings):
    def with_status(name):
        return base_settings.model_copy(update={"fetch": base_settings.fetch.model_copy(update={"retry_also": (name,)})})

    for status in STATUSES[1:]:
        STAGE.check(with_status(status))
    for status, words in (("ok", "nothing is tried again once it is there"), ("timeuot", r"Did you mean 'timeout'\?")):
        with pytest.raises(ConfigError, match=words):
            STAGE.check(with_status(status))
