"""Erased users: the tables equal a world without them, before and after days are taken in again, wherever a run was killed."""

from __future__ import annotations

import codecs
import itertools
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import erase_user
import feature_oracle as oracle
import pytest
from private_bytes import everything_in
from repository import ROOT
from test_features_days import (
    ASSIGNMENT,
    array_rows,
    at,
    cluster,
    day,
    deliver,
    long_rows,
    partials,
    revisions,
    settings_for,
    stored,
)

from bannermap.features import erasure as erasure_module
from bannermap.features.erasure import Erasure, erasure_stage
from bannermap.features.job import STAGE
from bannermap.platform import erasing
from bannermap.platform.cli import main, run_stage
from bannermap.platform.settings import FeatureSetSettings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    EVENT_LOG_DAYS,
    FEATURE_PUBLICATIONS,
    REJECTS,
    USER_BANNER_DAYS,
    USER_CLUSTER_COUNTS,
    USER_ERASURES,
    USER_FEATURE_LISTS,
    USER_FEATURES,
    USER_FEATURES_WIDE,
    WIDE_SLOTS,
    FeatureSet,
)

DAYS = (30, 31)
GONE, STAYING = "gone-user", "staying-user"
SETS = {"recent": FeatureSetSettings(recency=True)}
HOLD_USERS = (USER_BANNER_DAYS, USER_CLUSTER_COUNTS, REJECTS, USER_FEATURES, USER_FEATURES_WIDE, USER_FEATURE_LISTS)
HOLD_USERS += tuple(FeatureSet(name, **dict(chosen)).table() for name, chosen in SETS.items())


@dataclass(frozen=True)
class World:
    """Two warehouses that differ by the users to be erased, and what they were made from."""

    logs: dict[int, list[dict]]
    whole: Path
    without: Path


def history(rng: random.Random, group: str, n: int) -> list[dict]:
    """A log day of a group's three users: late events back to before the first day, repeated ids, a refused row."""
    events = [e | {"user_id": f"{group}-{e['user_id'][-1]}"} for e in oracle.random_history(rng, f"{group}-{n}-", day(n), 8, 15)]
    late = oracle.event(f"{group}-{n}-late", "click", at(DAYS[0] - 2, n % 24), f"{group}-0", "a")
    return [*events, late, late | {"event_type": "view"}]


def chain(spark, base_settings, root: Path, logs: dict[int, list[dict]]) -> Path:
    warehouse, settings = Warehouse(spark, str(root / "warehouse")), settings_for(base_settings, root / "log", sets=SETS)
    for n, events in logs.items():
        deliver(root / "log", day(n), events)
        cluster(warehouse, day(n))
        run_stage(STAGE, warehouse, settings, day(n))
    return root


@pytest.fixture(scope="module")
def world(spark, base_settings, tmp_path_factory) -> World:
    rng, root = random.Random(8), tmp_path_factory.mktemp("erasure")
    logs = {n: history(rng, GONE, n) + history(rng, STAYING, n) for n in DAYS}
    fewer = {n: [e for e in events if STAYING in e["user_id"]] for n, events in logs.items()}
    return World(logs, chain(spark, base_settings, root / "whole", logs), chain(spark, base_settings, root / "without", fewer))


@pytest.fixture
def copy(world, spark, base_settings, tmp_path):
    """The world with everybody, to be worked on: warehouse and settings."""
    shutil.copytree(world.whole, tmp_path / "copy")
    return Warehouse(spark, str(tmp_path / "copy/warehouse")), settings_for(base_settings, tmp_path / "copy/log", sets=SETS)


def erased(warehouse: Warehouse, settings, users=tuple(f"{GONE}-{n}" for n in range(3)), purge: bool = False):
    return run_stage(erasure_stage(Erasure(tuple(users), purge)), warehouse, settings, day(40))


def comparable(warehouse: Warehouse) -> dict[str, list[str]]:
    """All rows that the worlds share; log days describe the files, and digests of older revisions are compared with nothing."""
    publications = warehouse.read(FEATURE_PUBLICATIONS).orderBy("dt", "revision").collect()
    newest = {r.dt: r.revision for r in publications}
    shown = [(*r[:3], r.inputs_digest if newest[r.dt] == r.revision else None, *r[4:]) for r in publications]
    return stored(warehouse, (*HOLD_USERS, WIDE_SLOTS)) | {"feature_publications": list(map(repr, shown))}


def rows_of_gone(warehouse: Warehouse) -> Counter:
    return Counter({t.name: sum(GONE in row for row in rows) for t in HOLD_USERS for rows in stored(warehouse, (t,)).values()})


@pytest.mark.slow
def test_after_an_erasure_the_world_is_one_without_the_users_and_stays_so(world, copy, spark, capfd):
    warehouse, settings = copy
    expected, before = comparable(Warehouse(spark, str(world.without / "warehouse"))), comparable(warehouse)
    held, log_days = rows_of_gone(warehouse), stored(warehouse, (EVENT_LOG_DAYS,))
    assert all(held.values()) and len(revisions(warehouse)) > len(DAYS)
    asked = [*(f"{GONE}-{n}" for n in range(3)), "\ufeffgone-user-0", "nobody"]
    looked = erased(Warehouse(spark, warehouse.root, read_only=True), settings, asked)
    absent = len(set(asked) - {e["user_id"] for events in world.logs.values() for e in events})
    assert (looked.metrics["users"], looked.metrics["users_in_no_table"]) == (5, absent) and absent >= 2
    assert f"{absent} of 5 users are in no table" in (told := "".join(capfd.readouterr()))
    assert GONE not in told
    assert comparable(warehouse) == before and not warehouse.exists(USER_ERASURES)
    erased(warehouse, settings)
    assert comparable(warehouse) == expected
    proofs = warehouse.read(USER_ERASURES).collect()
    assert sum((Counter({r.table: r.rows for r in p.rows_removed}) for p in proofs), Counter()) == held
    assert len({p.user_digest for p in proofs}) == 3 and {(p.dt, p.complete, p.purged) for p in proofs} == {
        (day(40), True, False)
    }
    for n in (*DAYS, DAYS[0]):
        run = run_stage(STAGE, warehouse, settings, day(n))
        assert run.rejected["erased_user"] == sum(GONE in e["user_id"] for e in world.logs[n])
    assert comparable(warehouse) == expected and stored(warehouse, (EVENT_LOG_DAYS,)) == log_days
    proof = stored(warehouse, (USER_ERASURES,))
    erased(warehouse, settings)
    assert stored(warehouse, (USER_ERASURES,)) == proof
    earlier = {v.table: v.before for p in proofs for v in p.versions}[USER_BANNER_DAYS.name]
    old = spark.read.format("delta").option("versionAsOf", earlier).load(warehouse.path(USER_BANNER_DAYS))
    assert old.where(f"user_id LIKE '{GONE}%'").count() == held[USER_BANNER_DAYS.name]
    erased(warehouse, settings, users=(), purge=True)
    assert {p.purged for p in warehouse.read(USER_ERASURES).collect()} == {True}
    assert comparable(warehouse) == expected
    shown = everything_in(Path(warehouse.root)) + "".join(capfd.readouterr()).encode()
    assert GONE.encode() not in shown and STAYING.encode() in shown


@pytest.mark.slow
def test_an_erasure_killed_between_its_steps_is_completed_by_the_same_command(world, copy, spark, monkeypatch):
    warehouse, settings = copy
    held = rows_of_gone(warehouse)
    steps = [
        (erasure_module, "write_proofs", 1),
        (erasure_module, "correct_publications", 1),
        (erasure_module, "delete_matching", 1),
    ]
    steps += [
        (erasure_module, "delete_matching", 2),
        (erasing, "rename", 2),
        (erasing, "rename", 5),
        (erasure_module, "completed", 1),
    ]
    for module, name, last in steps:
        calls, step = itertools.count(1), getattr(module, name)

        def dies(*arguments, calls=calls, step=step, last=last):
            if next(calls) == last:
                raise KeyboardInterrupt
            return step(*arguments)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, dies)
            erased(warehouse, settings)
    erased(warehouse, settings)
    assert comparable(warehouse) == comparable(Warehouse(spark, str(world.without / "warehouse")))
    proofs = warehouse.read(USER_ERASURES).collect()
    assert len(proofs) == 3 and all(p.complete for p in proofs)
    assert sum((Counter({r.table: r.rows for r in p.rows_removed}) for p in proofs), Counter()) == held


@pytest.mark.slow
def test_a_day_whose_users_are_all_erased_has_no_rows_when_it_comes_again(base_settings, warehouse, tmp_path):
    settings = settings_for(base_settings, tmp_path / "log")
    deliver(tmp_path / "log", day(0), [oracle.event("e", "click", at(0), "leaves", "a")])
    cluster(warehouse, day(0))
    run_stage(STAGE, warehouse, settings, day(0))
    erased(warehouse, settings, ["leaves"])
    assert run_stage(STAGE, warehouse, settings, day(0)).rows_out == 0
    assert long_rows(warehouse, day(0), 1) == array_rows(warehouse, day(0), 1) == {}
    assert set(revisions(warehouse)) == {(day(0), 1)}


@pytest.mark.slow
def test_an_event_id_shared_with_an_erased_user_counts_for_the_other_when_its_day_comes_again(base_settings, warehouse, tmp_path):
    settings = settings_for(base_settings, tmp_path / "log", min_share_of_previous_day=0.9)
    shared = oracle.event("shared", "click", at(0), "stays", "a")
    logs = {0: [shared | {"user_id": "leaves"}, *[oracle.event(f"e{n}", "click", at(0, n), "leaves", "c") for n in range(4)]]}
    logs[1] = [shared, *[oracle.event(f"f{n}", "click", at(1, n), "leaves", "b") for n in range(4)]]
    for n, events in logs.items():
        deliver(tmp_path / "log", day(n), events)
        cluster(warehouse, day(n))
        run_stage(STAGE, warehouse, settings, day(n))
    assert not any(user == "stays" for _, user, _ in partials(warehouse))
    erased(warehouse, settings, ["leaves"])
    assert partials(warehouse) == {} and {n for d, n in revisions(warehouse)} == {1}
    for n in (0, 1):  # a day whose users are all gone is no empty one
        run_stage(STAGE, warehouse, settings, day(n))
    assert partials(warehouse) == oracle.partial_counts([shared])
    for n in (0, 1):
        newest = max(r for d, r in revisions(warehouse) if d == day(n))
        expected = oracle.features([shared], ASSIGNMENT, day(n))
        assert long_rows(warehouse, day(n), newest) == array_rows(warehouse, day(n), newest) == expected


@pytest.mark.parametrize(
    ("words", "match"), [([], "whom to erase"), (["--user", " "], "nobody"), (["--users-file", "no"], "cannot be read")]
)
def test_a_request_that_names_nobody_ends_before_spark_starts(words, match, monkeypatch, capsys):
    monkeypatch.setenv("BANNERMAP_HOME", str(ROOT))
    monkeypatch.setattr("bannermap.platform.cli.build_session", None)
    assert main(erase_user.JOB, ["--date", "2026-01-01", *words]) == 2
    assert match in capsys.readouterr().err


def test_users_of_a_file_are_its_lines(tmp_path):
    for mark in (b"", codecs.BOM_UTF8):
        (tmp_path / "users").write_bytes(mark + "a\r\n\r\n b c \nü".encode())
        assert erase_user._lines(tmp_path / "users") == ["a", " b c ", "ü"]
