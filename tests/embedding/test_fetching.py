"""Fetching against a server that misbehaves, and paths that try to leave the folder."""

from __future__ import annotations

import http.server
import threading
import time

import pytest

from bannermap.embedding.fetching.fetch import fetch, fetch_all
from bannermap.embedding.fetching.http import checked_address
from bannermap.embedding.statuses import Failure


class Misbehaving(http.server.BaseHTTPRequestHandler):
    """Answers by path; counts what was asked."""

    asked: list[str] = []  # noqa: RUF012 - shared by the handlers of one test
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.asked.append(self.path)
        getattr(self, "at_" + self.path.strip("/").split("/")[0])()

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def at_ok(self):
        self.reply(200, b"body of " + self.path.encode())

    def at_empty(self):
        self.reply(200)

    def at_missing(self):
        self.reply(404, b"no")

    def at_forbidden(self):
        self.reply(403, b"no")

    def at_flaky(self):
        self.reply(*((503, b"wait") if self.asked.count(self.path) == 1 else (200, b"at last")), Retry_After="0")

    def at_broken(self):
        self.reply(500, b"never")

    def at_away(self):
        self.reply(302, Location="http://169.254.169.254/latest/")

    def at_file(self):
        self.reply(302, Location="file:///etc/hostname")

    def at_hop(self):
        self.reply(302, Location="/ok/after-hop")

    def at_loop(self):
        self.reply(302, Location="/loop")

    def at_large(self):
        self.reply(200, b"x" * 5000)

    def at_endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 1000)

    def at_slow(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.05)

    def at_dribble(self):
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 1000:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.05)

    def at_short(self):
        self.reply(200, b"short", Content_Length="50")
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Misbehaving.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def settings(base_settings):
    changes = {"allow_private_addresses": True, "fetch_deadline_s": 1.5, "max_bytes": 4000}
    return base_settings.fetch.model_copy(update=changes)


EXPECTED = {
    "ok/1": "ok",
    "empty": "empty",
    "missing": "not_found",
    "forbidden": "http_error",
    "flaky": "ok",
    "broken": "http_error",
    "file": "unsupported_scheme",
    "hop": "ok",
    "loop": "too_many_redirects",
    "large": "too_large",
    "endless": "too_large",
    "slow": "timeout",
    "dribble": "timeout",
    "short": "connection_error",
}


def test_each_misbehaviour_ends_typed_and_in_order(server, settings, tmp_path):
    found = fetch_all([f"{server}/{name}" for name in EXPECTED], tmp_path, settings)
    assert {name: f.status for name, f in zip(EXPECTED, found, strict=True)} == EXPECTED
    assert all((f.data is None) == (f.status != "ok") and (f.error is None) == (f.status == "ok") for f in found)
    assert found[0].data == b"body of /ok/1"
    counts = {path: Misbehaving.asked.count(path) for path in ("/missing", "/forbidden", "/broken", "/flaky")}
    assert counts == {"/missing": 1, "/forbidden": 1, "/broken": settings.attempts, "/flaky": 2}


def test_private_addresses_are_refused_in_all_spellings(server, settings, tmp_path):
    strict = settings.model_copy(update={"allow_private_addresses": False})
    port = server.rpartition(":")[2]
    hosts = ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0")
    assert {fetch(f"http://{h}:{port}/ok", tmp_path, strict).status for h in hosts} == {"forbidden_address"}
    assert Misbehaving.asked == []


NOT_PUBLIC = (
    *("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.0.1", "0.0.0.0", "224.0.0.1", "100.64.0.1"),
    *("::1", "::ffff:10.0.0.1", "fe80::1", "fd00::1", "64:ff9b::7f00:1", "2002:7f00:1::"),
)


@pytest.mark.parametrize("host", NOT_PUBLIC)
def test_no_connection_is_made_to_an_address_that_is_not_public(host):
    with pytest.raises(Failure, match="forbidden_address"):
        checked_address(host, 80, allow_private=False)


def test_nothing_outside_the_folder_is_read(settings, tmp_path):
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    (root / "sub/a.png").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (root / "link").symlink_to(tmp_path / "secret")
    expected = {
        "sub/a.png": "ok",
        f"file://{root}/sub/a.png": "ok",
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
    assert {a: fetch(a, root, settings).status for a in expected} == expected
