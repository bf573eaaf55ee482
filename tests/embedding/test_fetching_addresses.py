"""The policy of addresses and the small rules of the web, against Python's own tables and written-out cases."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import ipaddress
import math
import socket

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bannermap.embedding.fetching.addresses import AddressPolicy, canonical_host, is_public, redirected, web_address
from bannermap.embedding.fetching.connecting import CheckedResolver, Threads, connector
from bannermap.embedding.fetching.opting_out import opted_out
from bannermap.embedding.fetching.retrying import FIRST_PAUSE_S, pause_s, retry_after_s
from bannermap.embedding.statuses import Failure

NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
V4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)
WEB = ("http", "https")
EDGES = [
    str(edge)
    for net in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4")
    for edge in (ipaddress.ip_network(net)[0], ipaddress.ip_network(net)[-1])
]


@given(st.one_of(V4, V6, st.sampled_from(EDGES).map(ipaddress.ip_address)))
def test_what_python_knows_as_not_global_is_not_public(address):
    if not address.is_global or address.is_multicast:
        mapped = getattr(address, "ipv4_mapped", None)
        assert not is_public(address) or (mapped and is_public(mapped))


@given(V4.filter(lambda a: a.is_global and not a.is_multicast))
def test_public_hosts_are_reached_in_every_form_that_leads_to_them(address):
    special = ipaddress.ip_network("192.88.99.0/24"), ipaddress.ip_network("192.0.0.0/24")
    if not any(address in net for net in special):
        for prefix in (0xFFFF << 32, 0x64FF9B << 96):
            assert is_public(ipaddress.IPv6Address(prefix | int(address)))
        assert is_public(address)


@given(st.sampled_from(["10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.0.9"]).map(ipaddress.IPv4Address))
def test_private_hosts_are_not_public_in_any_wrapping(address):
    inner = int(address)
    wrapped = (0xFFFF << 32 | inner, 0x64FF9B << 96 | inner, 0x2002 << 112 | inner << 80, inner)
    assert not any(is_public(ipaddress.IPv6Address(w)) for w in wrapped)


def test_allowed_networks_open_themselves_and_nothing_else():
    policy = AddressPolicy.of(False, ["10.20.0.0/16", "fd00:20::/32"])
    opened = ("10.20.1.1", "::ffff:10.20.1.1", "fd00:20::1", "1.1.1.1")
    closed = ("10.21.0.1", "::ffff:10.21.0.1", "fd00:21::1", "127.0.0.1")
    assert [a for a in (*opened, *closed) if policy.allows(ipaddress.ip_address(a))] == [*opened]
    assert AddressPolicy.of(True, []).allows(ipaddress.ip_address("127.0.0.1"))
    with pytest.raises(Failure, match="forbidden_address"):
        policy.check("zone.test", "fe80::1%eth0")


@given(V4, st.sampled_from([1, 2, 3, 4]), st.data())
def test_numbers_in_any_base_are_one_address(address, parts, data):
    octets = address.packed
    values = [*octets[: parts - 1], int.from_bytes(octets[parts - 1 :], "big")]
    spelled = ".".join(data.draw(st.sampled_from([str(v), hex(v), f"0{v:o}", hex(v).upper()])) for v in values)
    assert canonical_host(spelled) == canonical_host(spelled + ".") == str(address)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://Example.TEST", "http://example.test/"),
        ("https://example.test.:443/a?b#c", "https://example.test/a?b"),
        (" http://example.test:8080/a b/é?q=ü ", "http://example.test:8080/a%20b/%C3%A9?q=%C3%BC"),
        ("http://example.test/%2F%7e?sig=%2b+%3D", "http://example.test/%2F%7e?sig=%2b+%3D"),
        ("http://bücher.test/", "http://xn--bcher-kva.test/"),
        ("http://under_score.example.test/", "http://under_score.example.test/"),
        ("http://[2001:DB8:0::1]/", "http://[2001:db8::1]/"),
    ],
)
def test_addresses_have_one_form_and_their_escapes_are_left_alone(address, url):
    assert web_address(address).url == url
    assert web_address(url).url == url


HOSTS = st.text(st.sampled_from("a1.0x-_:[]@%/\\?#１。é\ud800\u200d \t\n"), max_size=12)


@given(st.one_of(HOSTS, st.text(max_size=20)), st.sampled_from(["http://", "HTTPS://", "http:", "//", ""]))
def test_whatever_is_written_is_one_form_or_a_typed_failure(text, start):
    for read in (web_address, lambda t: redirected(web_address("https://a.test/x"), t, WEB)):
        try:
            found = read(start + text)
        except Failure as failure:
            assert failure.status in ("invalid_address", "forbidden_address", "unsupported_scheme")
        else:
            assert web_address(found.url) == found
            connected = URL(found.url, encoded=True)
            assert (connected.raw_host, connected.port) == (found.host, found.port)
            assert found.url.isascii()


def test_redirects_are_resolved_like_a_browser_does():
    base = web_address("https://a.test/x/y?z")
    cases = {"/n": "https://a.test/n", "n": "https://a.test/x/n", "//b.test/": "https://b.test/", "?q": "https://a.test/x/y?q"}
    assert {c: redirected(base, c, WEB).url for c in cases} == cases


def test_a_redirect_leaves_no_scheme_that_is_not_configured():
    base = web_address("https://a.test/x")
    assert redirected(base, "/y", ("https", "s3")).url == "https://a.test/y"
    for location, schemes in (("http://a.test/x", ("https", "s3")), ("s3://bucket/key", ("https", "s3")), ("/y", ("http",))):
        with pytest.raises(Failure, match="unsupported_scheme"):
            redirected(base, location, schemes)


def test_the_socket_itself_is_checked():
    async def guarded() -> None:
        resolver = CheckedResolver(AddressPolicy(True), Threads(4), 1.0, lambda _: ["127.0.0.1"])
        made = connector(AddressPolicy(), resolver, 4, 4, None)
        async with aiohttp.ClientSession(connector=made) as session:
            await session.get(f"http://careless.test:{listener.getsockname()[1]}/")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        with pytest.raises(Failure, match="forbidden_address"):
            asyncio.run(guarded())
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("-7", 0.0),
        ("1.5", 0.0),
        ("soon", 0.0),
        ("٣", 0.0),
        ("9" * 400, math.inf),
        (email.utils.format_datetime(NOW + datetime.timedelta(seconds=90)), 90.0),
        (email.utils.format_datetime(NOW - datetime.timedelta(seconds=90)), 0.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 99 Mar 2026 12:00:30 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(value, seconds):
    assert retry_after_s(value, NOW) == seconds


@given(st.text(), st.integers(1, 9), st.floats(0, 1e6))
def test_pauses_double_are_spread_and_heed_the_server(address, attempt, asked):
    pause, base = pause_s(address, attempt, asked), FIRST_PAUSE_S * 2 ** (attempt - 1)
    assert max(asked, base / 2) <= pause <= max(asked, base * 1.5)
    assert pause == pause_s(address, attempt, asked)


def test_pauses_of_many_addresses_are_spread():
    pauses = {pause_s(f"https://a.test/{i}", 1, 0.0) for i in range(200)}
    assert len(pauses) > 100 and min(pauses) < 0.6 * FIRST_PAUSE_S and max(pauses) > 1.4 * FIRST_PAUSE_S


@pytest.mark.parametrize(
    ("headers", "wish"),
    [
        ([], None),
        (["noai"], "noai"),
        (["all", "NoIndex, nofollow"], "noindex"),
        (["nofollow, max-snippet: 5, noimageai"], "noimageai"),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], "noai"),
        (["unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"], "noai"),
        (["unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, noai"], "noai"),
        (["unavailable_after: Jun 25, 2010 15:00:00 GMT, otherbot: noai"], None),
        (["otherbot: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"], None),
        (["Other_Bot-2.0: noai"], None),
        (["otherbot: noai, noindex"], None),
        (["otherbot: noai, bannermap: nofollow, noai"], "noai"),
        (["BannerMap: noai"], "noai"),
        (["*: noai"], "noai"),
        (["noais, xnoai"], None),
    ],
)
def test_owners_wishes(headers, wish):
    assert opted_out(headers, "bannermap/0.1 (+https://a.test)", ("noai", "noimageai", "noindex", "noimageindex")) == wish
    assert opted_out(headers, "bannermap/0.1", ()) is None


def test_a_robot_of_any_name_hears_what_is_said_to_it():
    assert opted_out(["otherbot: nofollow, 2nd map: noai"], "2nd map/1.0", ("noai",)) is None
    assert opted_out(["2map: noai"], "2map/1.0", ("noai",)) == "noai"
