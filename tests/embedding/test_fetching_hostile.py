"""More than a hundred hostile addresses at once: each typed, each ended in time, and nothing that is not public ever reached."""

from __future__ import annotations

import time

import pytest
from hostile_server import BODY, FORBIDDEN, SERVED, HostileServer

from bannermap.embedding.fetching.stream import stream_fetched
from bannermap.embedding.statuses import STATUSES

DEADLINE_S = 1.2

ANSWERS = {
    "ok": "ok",
    "chunks": "ok",
    "until-close": "ok",
    "hop": "ok",
    "hop-301": "ok",
    "hop-308": "ok",
    "flaky": "ok",
    "flaky-date": "ok",
    "reset-once": "ok",
    "noai-for-others": "ok",
    "empty": "empty",
    **dict.fromkeys(("s404", "s410", "absent", "to-no-host"), "not_found"),
    **dict.fromkeys(("s401", "s403"), "access_denied"),
    **dict.fromkeys(("s204", "s206", "s304", "s400", "s451", "s408", "s425", "s429", "s500", "s501", "s503"), "http_error"),
    **dict.fromkeys(("wait-an-hour", "wait-for-ages", "wait-until-tomorrow", "hop-nowhere", "hop-empty"), "http_error"),
    **dict.fromkeys(("noai", "noindex-among-others", "noai-for-us"), "opted_out"),
    **dict.fromkeys(("length-short", "chunk-no-end", "chunk-short", "reset-in-body"), "truncated_body"),
    **dict.fromkeys(("length-long", "length-negative", "length-word", "length-beyond-int", "length-twice"), "bad_response"),
    **dict.fromkeys(("chunk-size-word", "chunk-size-huge", "chunk-without-break", "garbage", "no-status"), "bad_response"),
    **dict.fromkeys(("long-line", "many-lines", "endless-head"), "bad_response"),
    **dict.fromkeys(("length-huge", "too-long", "endless", "endless-chunks"), "too_large"),
    **dict.fromkeys(("gzip-bomb", "gzip-bomb-in-chunks", "unknown-encoding"), "unsupported_encoding"),
    **dict.fromkeys(("nothing", "reset"), "connection_error"),
    **dict.fromkeys(("silent", "stalled", "slow-head", "slow-body", "slow-chunks", "endless-continue"), "timeout"),
    **dict.fromkeys(("loop", "steps"), "too_many_redirects"),
    **dict.fromkeys(("to-file", "to-data", "to-ftp", "to-script"), "unsupported_scheme"),
    **dict.fromkeys(("to-metadata", "to-forbidden", "to-forbidden-relative"), "forbidden_address"),
    **dict.fromkeys(
        ("to-forbidden/localhost", "to-forbidden/[::ffff:127.0.0.1]", "to-forbidden/2130706433"), "forbidden_address"
    ),
    **dict.fromkeys(("to-bad-v6", "to-user"), "invalid_address"),
    "to-unresolved": "unresolved_host",
}
FORBIDDEN_HOSTS = (
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "127.000.0.1"),
    *("localhost", "LOCALHOST", "localhost.", "0.0.0.0", "0", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]"),
    *("[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fe80::1%25lo]"),
    *("１２７.０.０.１", "127。0。0。1", "①②⑦.⓪.⓪.①", "10.0.0.1", "192.168.1.1", "172.31.255.255", "169.254.169.254"),
    *("100.100.100.200", "[fd00:ec2::254]", "198.18.0.1", "224.0.0.1", "255.255.255.255", "[ff02::1]", "private.test"),
    *("mixed.test", "nat64.test", "mapped.test", "zone.test", "ｌｏｃａｌｈｏｓｔ"),
)
MEANINGLESS = {
    "http://": "invalid_address",
    "http:///x": "invalid_address",
    "http:example.test/x": "invalid_address",
    "http://[::1": "invalid_address",
    "http://[::1::2]/": "invalid_address",
    "http://256.1.1.1/": "invalid_address",
    "http://1.2.3.4.5/": "invalid_address",
    "http://0x/": "invalid_address",
    "http://a..b/": "invalid_address",
    "http://exa mple.test/": "invalid_address",
    "http://-\u2028.test/": "invalid_address",
    "http://served.test:0/": "invalid_address",
    "http://served.test:65536/": "invalid_address",
    "http://served.test:x/": "invalid_address",
    "http://user:password@served.test/": "invalid_address",
    f"http://served.test\\@{FORBIDDEN}/": "invalid_address",
    f"http://{SERVED}@{FORBIDDEN}/": "invalid_address",
    f"http://{FORBIDDEN}\\.served.test/": "invalid_address",
    "http://" + "a" * 300 + ".test/": "invalid_address",
    "file:///etc/passwd": "outside_root",
    "file://localhost/etc/passwd": "outside_root",
    "file:/etc/passwd": "not_found",
    "/etc/passwd": "outside_root",
    "../../etc/passwd": "outside_root",
    "data:image/png;base64,AAAA": "unsupported_scheme",
    "javascript:alert(1)": "unsupported_scheme",
    "ftp://127.0.0.1/x": "unsupported_scheme",
    "gopher://127.0.0.1:70/_": "unsupported_scheme",
    "s3://bucket/key": "unsupported_scheme",
    "jar:http://127.0.0.1!/": "not_found",
    "": "no_address",
}
NAMES = {
    "served.test": [SERVED],
    "localhost": [FORBIDDEN],
    "private.test": ["10.0.0.1"],
    "mixed.test": [SERVED, FORBIDDEN],
    "nat64.test": ["64:ff9b::7f00:1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "zone.test": ["fe80::1%lo"],
    "empty.test": [],
}


class Lookup:
    """A name server of the tests; unknown names are asked nowhere else."""

    def __init__(self) -> None:
        self.rebound = 0

    def __call__(self, host: str) -> list[str]:
        if host == "slow.test":
            time.sleep(3 * DEADLINE_S)
        if host == "rebinding.test":
            self.rebound += 1
            return [SERVED] if self.rebound == 1 else [FORBIDDEN]
        if host not in NAMES:
            raise OSError("no such name")
        return NAMES[host]


@pytest.fixture(scope="module")
def server():
    running = HostileServer()
    yield running
    running.close()


@pytest.fixture
def settings(base_settings):
    limits = {"fetch_deadline_s": DEADLINE_S, "connect_timeout_s": 1.0, "read_timeout_s": 1.0, "max_bytes": 50_000}
    width = {"concurrency_per_task": 256, "per_host": 256, "queued_images": 512, "allowed_networks": (f"{SERVED}/32",)}
    return base_settings.fetch.model_copy(update=limits | width)


def statuses(addresses: dict[str, str], settings, root, lookup=None) -> dict:
    found = stream_fetched(list(addresses), root, settings, lookup or Lookup())
    return dict(sorted((i, f) for i, f in found))


def test_every_hostile_address_ends_typed_and_in_time_and_none_reaches_what_is_not_public(server, settings, tmp_path):
    expected = {server.url(path): status for path, status in ANSWERS.items()}
    expected |= {server.url("ok", host): "forbidden_address" for host in FORBIDDEN_HOSTS}
    expected |= {server.url("ok", host).replace("http:", "https:"): "forbidden_address" for host in ("localhost", "127.1")}
    expected |= MEANINGLESS
    expected |= {server.url("ok", "served.test"): "ok", server.url("ok", "SERVED.test."): "ok", server.url("ok", "127.2"): "ok"}
    expected |= {server.url("ok", "empty.test"): "unresolved_host", server.url("ok", "absent.test"): "unresolved_host"}
    expected |= {server.url("ok", "slow.test"): "timeout", server.url("ok").replace("http:", "https:"): "tls_error"}
    found = statuses(expected, settings, tmp_path)
    by_address = dict(zip(expected, (found[i] for i in range(len(expected))), strict=True))
    assert {a: f.status for a, f in by_address.items()} == expected
    assert len(expected) >= 150 and set(expected.values()) <= set(STATUSES)
    late = {a: f.seconds for a, f in by_address.items() if f.seconds > DEADLINE_S + 1.0}
    assert late == {}
    assert all((f.data is None) == (f.status != "ok") == (f.error is not None) for f in by_address.values())
    assert by_address[server.url("ok")].data == BODY
    assert server.intruders == []
    final = ("s400", "s401", "s403", "s404", "s410", "s451", "s501", "noai", "too-long", "gzip-bomb", "wait-an-hour")
    asked = {name: server.asked[name] for name in (*final, "s429", "s503", "flaky", "flaky-date", "s425", "s408")}
    repeated = {"s429": settings.attempts, "s503": settings.attempts, "s425": settings.attempts, "s408": settings.attempts}
    assert asked == {**dict.fromkeys(final, 1), "flaky": 2, "flaky-date": 2, **repeated}
    assert by_address[server.url("s503")].attempts == settings.attempts and by_address[server.url("s404")].attempts == 1


def test_a_name_that_changes_its_answer_leads_nowhere_else(server, settings, tmp_path):
    before, lookup = len(server.intruders), Lookup()
    narrow = settings.model_copy(update={"concurrency_per_task": 1})
    rebinding = {server.url(f"ok?{i}", "rebinding.test"): "" for i in range(6)}
    seen = {f.status for f in statuses(rebinding, narrow, tmp_path, lookup).values()}
    again = {f.status for f in statuses(rebinding, narrow, tmp_path, lookup).values()}
    assert lookup.rebound > 1 and seen == {"ok"} and again == {"forbidden_address"}
    assert len(server.intruders) == before
