"""Rows to documents against what is written out by hand; limits; what may be tried again; no login in any message."""

from __future__ import annotations

from types import SimpleNamespace

import bson
import numpy as np
import pytest
from dns.exception import Timeout
from dns.resolver import NXDOMAIN, NoNameservers
from published_worlds import content, entries, random_world, told_cluster, told_retired
from pymongo.errors import AutoReconnect, BulkWriteError, NetworkTimeout, OperationFailure, WTimeoutError

from bannermap.platform.errors import ConfigError, ServiceError
from bannermap.platform.settings import PublishSettings
from bannermap.publish.database import Connection, connection_of, may_pass, pause_s
from bannermap.publish.documents import PAGE_BYTES, batches, documents, members_per_page, plain_names

SECRET = "p4ss-w0rd"


def stamp(world):
    return {"publication_id": "P", "clustering_id": world.clustering_id, "dt": str(world.dt)}


@pytest.mark.parametrize("seed", range(30))
def test_documents_hold_every_cluster_and_member_once_in_pages(seed):
    rng = np.random.default_rng(seed)
    world, per_page = random_world(rng, 1), int(rng.integers(1, 6))
    made = [(bson.decode(d.raw), members) for d, members in documents(entries(world, per_page), stamp(world))]
    assert all(len(d.get("members", ())) == members <= per_page for d, members in made)
    assert len({d["_id"] for d, _ in made}) == len(made)
    by_cluster: dict = {}
    for document, _ in made:
        by_cluster.setdefault(document["cluster_id"], []).append(document)
    for cluster in world.clusters:
        pages = sorted(by_cluster.pop(cluster["cluster_id"]), key=lambda d: d["page"])
        assert [d["kind"] for d in pages] == ["cluster"] + ["page"] * (len(pages) - 1) and pages[0]["pages"] == len(pages)
        whole = {**pages[0], "members": [m for d in pages for m in d["members"]]}
        assert content(whole) == told_cluster(world, cluster, per_page)
    assert [content(d) for ds in by_cluster.values() for d in ds] == [told_retired(world, c) for c in world.retired]


@pytest.mark.parametrize("seed", range(10))
def test_batches_keep_the_order_and_both_limits(seed):
    rng = np.random.default_rng(seed)
    made = list(documents(entries(random_world(rng, 1), 2), stamp(random_world(rng, 1))))
    most, most_bytes = int(rng.integers(1, 6)), int(rng.integers(100, 3000))
    found = list(batches(iter(made), most, most_bytes))
    assert [d for batch in found for d in batch] == made
    for batch in found:
        assert 0 < len(batch) <= most and sum(len(d.raw) for d, _ in batch[:-1]) < most_bytes


@pytest.mark.parametrize("length", [1, 60, 5000, 400_000])
def test_a_page_of_the_longest_ids_stays_below_what_mongodb_allows(length):
    count = members_per_page(100_000, 3 * length)
    rows = [
        {"cluster_id": "c", "page": 1, "banner_id": "b" * length, "pixel_hash": "p" * length, "header": None}
        | {"similarity_to_medoid": 0.5, "duplicate_set_id": "d" * length, "is_retired": True}
    ] * count
    ((document, members),) = documents(rows, {"publication_id": "P", "clustering_id": "C", "dt": "D"})
    assert members == count and len(document.raw) < 16_000_000
    assert members_per_page(7, 10) == 7 and members_per_page(7, PAGE_BYTES) == 0


def test_names_that_mongodb_would_take_for_paths_are_made_plain():
    assert plain_names({"b $x.y": 1, "a": 2}) == {"a": 2, "b _x_y": 1}


def test_pauses_double_up_to_their_limit_and_differ_by_chance():
    assert [pause_s(0.5, n, 0.0) for n in (1, 2, 3, 7, 8, 10**6)] == [0.5, 1.0, 2.0, 30.0, 30.0, 30.0]
    assert pause_s(0.5, 2, 1.0) == 1.5


def test_only_what_passes_by_itself_is_tried_again():
    mixed = BulkWriteError({"writeErrors": [{"code": 91}, {"code": 11000}]})
    passing = [AutoReconnect(), NetworkTimeout(), WTimeoutError("", 64), OperationFailure("", 10107)]
    assert all(map(may_pass, [*passing, BulkWriteError({"writeErrors": []}), BulkWriteError({"writeErrors": [{"code": 91}]})]))
    assert not any(map(may_pass, [OperationFailure("", 11000), OperationFailure("", 13), mixed]))


@pytest.mark.parametrize(
    "uri",
    [
        "",
        f"http://u:{SECRET}@h",
        f"mongodb://u:{SECRET}@h:port",
        f"mongodb://u@{SECRET}@h",
        f"mongodb://u:{SECRET}",
        f"mongodb://u:{SECRET}@h/?w=x&{SECRET}",
    ],
)
def test_an_address_that_cannot_be_one_ends_before_spark_and_is_not_quoted(uri, monkeypatch):
    monkeypatch.setenv("BANNERMAP_MONGODB_URI", uri)
    monkeypatch.delenv("BANNERMAP_MONGODB_URI_FILE", raising=False)
    with pytest.raises(ConfigError) as caught:
        connection_of(PublishSettings())
    assert "BANNERMAP_MONGODB_URI" in str(caught.value) and SECRET not in str(caught.value)
    assert (caught.value.__cause__ is None and caught.value.__suppress_context__) or not caught.value.__context__


def test_the_address_may_lie_in_a_file_and_shows_in_no_text(tmp_path, monkeypatch):
    monkeypatch.delenv("BANNERMAP_MONGODB_URI", raising=False)
    (tmp_path / "uri").write_text(f"mongodb://u:{SECRET}@h1:1,h2:2/?authSource=admin\n")
    monkeypatch.setenv("BANNERMAP_MONGODB_URI_FILE", str(tmp_path / "uri"))
    found = connection_of(PublishSettings())
    assert found.uri.endswith("admin") and found.hosts == "h1:1,h2:2"
    assert SECRET not in repr(found) and SECRET not in str(found)
    monkeypatch.setenv("BANNERMAP_MONGODB_URI_FILE", str(tmp_path / SECRET))
    with pytest.raises(ConfigError) as caught:
        connection_of(PublishSettings())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("odd", ["#", "[", "]", "\u2100", "#a@b", "?", "?x=1", "/", "12/a", "%2F", "@", "12?3"])
@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv"])
def test_no_part_of_a_password_is_taken_for_a_host(odd, scheme, monkeypatch):
    monkeypatch.setenv("BANNERMAP_MONGODB_URI", f"{scheme}://user:{SECRET}{odd}{SECRET}@h1.example/?authSource=admin")
    try:
        found = connection_of(PublishSettings(attempts=1))
    except ConfigError as refused:
        assert SECRET not in str(refused) and "BANNERMAP_MONGODB_URI" in str(refused)
        return
    assert found.hosts == "h1.example"
    with pytest.raises(ServiceError, match=r"MongoDB at h1\.example is away") as caught:
        found.ask(lambda: (_ for _ in ()).throw(AutoReconnect(SECRET)))
    assert SECRET not in str(caught.value)


def test_a_refused_login_is_said_without_it():
    settings = PublishSettings(attempts=2, backoff_s=0.0)

    def refuse():
        raise OperationFailure(f"cannot log in with {SECRET}", 18)

    with pytest.raises(ConfigError, match="the login was refused") as caught:
        Connection(f"mongodb://u:{SECRET}@h", settings).ask(refuse)
    assert SECRET not in str(caught.value) and "MongoDB at h:" in str(caught.value)


def resolving(monkeypatch, *failures):
    """DNS that fails so often, then knows one host."""
    left = list(failures)

    def resolve(name, kind, **_):
        if left:
            raise left.pop(0)
        if kind == "TXT":
            raise NXDOMAIN
        return [SimpleNamespace(target=SimpleNamespace(to_text=lambda omit_final_dot: "h1.cluster.example"), port=27017)]

    monkeypatch.setattr("pymongo.synchronous.srv_resolver._resolve", resolve)
    return Connection(f"mongodb+srv://u:{SECRET}@all.cluster.example/", PublishSettings(attempts=3, backoff_s=0.0))


@pytest.mark.parametrize("failure", [NoNameservers(), Timeout(), OSError("the network is unreachable")])
def test_hosts_that_dns_cannot_tell_now_are_asked_for_again(failure, monkeypatch):
    connection = resolving(monkeypatch, failure, failure)
    with connection.opened() as database:
        assert database.name == "bannermap" and connection.repeated == 2
    with pytest.raises(ServiceError, match=f"3 tries, the last ended with {type(failure).__name__}") as caught:
        resolving(monkeypatch, *[failure] * 3).opened().__enter__()
    assert SECRET not in str(caught.value) and "all.cluster.example" in str(caught.value)


def test_a_name_that_dns_does_not_know_ends_at_once(monkeypatch):
    with pytest.raises(ConfigError, match=r"BANNERMAP_MONGODB_URI .*NXDOMAIN") as caught:
        resolving(monkeypatch, NXDOMAIN(), Timeout()).opened().__enter__()
    assert SECRET not in str(caught.value)
    for wrong in (f"mongodb+srv://u:{SECRET}@one", f"mongodb+srv://u:{SECRET}@h.example.org:27017"):
        with pytest.raises(ConfigError):
            Connection(wrong, PublishSettings(attempts=3, backoff_s=0.0)).opened().__enter__()
