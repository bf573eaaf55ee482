"""Pseudonyms against HMAC written out, weak keys, plans that say nothing, and a warehouse without a raw id."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import random
import subprocess
import sys
from pathlib import Path

import feature_oracle as oracle
import pyarrow as pa
import pytest
from private_bytes import everything_in
from repository import ROOT
from test_features_days import at, cluster, day, deliver, partials, settings_for, stored
from test_features_files import write_inputs

from bannermap.features.erasure import Erasure, erasure_stage
from bannermap.features.events import EVENT_COLUMNS
from bannermap.features.job import STAGE
from bannermap.features.users import pseudonymised
from bannermap.platform.cli import run_stage
from bannermap.platform.config import load_settings
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.pseudonyms import UserKey, pseudonymiser, user_key
from bannermap.platform.tables import REJECTS, USER_BANNER_DAYS

KEY = "a key of more than thirty-two characters, ümlaut"
OTHER_KEY = "0123456789abcdef" * 4
VARIABLE = "BANNERMAP_USER_KEY"
IDS = ["", " ", "u", "Ünï-☃-𝄞", "x" * 100_000, "a\nb", 'quote"', "\x00"]


def written_out(key: bytes, message: bytes) -> str:
    """HMAC-SHA-256 as RFC 2104 states it."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner, outer = (bytes(b ^ pad for b in block) for pad in (0x36, 0x5C))
    return hashlib.sha256(outer + hashlib.sha256(inner + message).digest()).hexdigest()


def pseudonym(user: str, key: str = KEY) -> str:
    return "u_" + hmac.new(key.encode(), user.encode(), hashlib.sha256).hexdigest()


@pytest.fixture
def settings(base_settings, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    return settings_for(base_settings, tmp_path / "log", pseudonymise_users=True)


def test_pseudonyms_are_hmac_as_written_out_and_as_python_has_it():
    rng = random.Random(3)
    ids = IDS + [
        "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x4E00, 0x9FFF)])) for _ in range(9)) for _ in range(200)
    ]
    for key in (KEY, OTHER_KEY, "k" * 31 + "long" * 40):
        found = pseudonymiser(UserKey(key.encode()))(pa.array([i.encode() for i in ids] + [None, b"\xff\xfe"], pa.binary()))
        assert found.to_pylist()[:-2] == [pseudonym(i, key) for i in ids]
        assert found.to_pylist()[:-2] == ["u_" + written_out(key.encode(), i.encode()) for i in ids]
        assert found.to_pylist()[-2:] == [None, "u_" + written_out(key.encode(), b"\xff\xfe")]


def test_the_key_id_tells_keys_apart_and_the_key_is_never_shown():
    one, other = UserKey(KEY.encode()), UserKey(OTHER_KEY.encode())
    assert one.key_id == written_out(KEY.encode(), b"bannermap key id")[:8] != other.key_id
    assert KEY not in repr(one) and "a key" not in str(one)


@pytest.mark.parametrize("text", [None, "", "  ", "short", OTHER_KEY[:62], "ab" * 40])
def test_absent_and_weak_keys_end_with_words_that_say_nothing_of_them(text, settings, monkeypatch):
    if text is None:
        monkeypatch.delenv(VARIABLE)
    else:
        monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigError, match=VARIABLE) as caught:
        user_key(settings)
    assert "openssl rand" in str(caught.value) and not (text and text.strip() and text in str(caught.value))


def test_without_the_setting_no_key_is_asked_for_and_blanks_around_one_are_nothing(settings, base_settings, monkeypatch):
    monkeypatch.setenv(VARIABLE, f" {KEY}\n")
    assert user_key(settings) == UserKey(KEY.encode())
    monkeypatch.delenv(VARIABLE)
    assert user_key(base_settings) is None


@pytest.mark.parametrize("key", [OTHER_KEY, "A" + OTHER_KEY[1:], KEY, "A" * 32])
def test_a_key_in_the_configuration_is_refused_and_not_repeated(key):
    with pytest.raises(ConfigError, match="never into the configuration") as caught:
        load_settings(ROOT / "conf/base.yaml", [], [f"features.pseudonym_key_variable='{key}'"])
    assert key not in str(caught.value)


def test_plans_show_neither_the_key_nor_an_id(spark, capsys):
    rows = [(u, f"{n}") for n, u in enumerate([*IDS, None])]
    events = spark.createDataFrame(rows, "user_id string, event_id string")
    result = pseudonymised(events, UserKey(KEY.encode()))
    found = {r.event_id: r.user_id for r in result.collect()}
    assert found == {n: None if u is None else pseudonym(u) for u, n in rows}
    for mode in ("simple", "extended", "codegen", "cost", "formatted"):
        result.explain(mode=mode)
    plan = result._jdf.queryExecution()
    shown = capsys.readouterr().out + plan.toString() + plan.logical().toJSON()
    assert "pseudonym" in shown
    key = KEY.encode()
    for secret in (
        KEY,
        KEY[:20],
        key.hex(),
        base64.b64encode(key).decode()[:-4],
        ", ".join(map(str, key[:8])),
        ",".join(map(str, key[:8])),
    ):
        assert secret not in shown


@pytest.mark.slow
def test_a_warehouse_of_pseudonyms_has_no_raw_id_and_no_second_key(
    settings, base_settings, warehouse, tmp_path, monkeypatch, capfd
):
    users = ["raw-id-one", "raw-id-two", "räw-id-three"]
    events = [oracle.event(f"e{n}", "click", at(n % 2), u, "ab"[n % 2]) for n, u in enumerate(users * 3)]
    bad = [events[0] | {"event_type": "view"}, events[1] | {"event_id": None, "user_id": "raw-id-refused"}]
    deliver(tmp_path / "log", day(0), [e for e in events if e["event_ts"] == at(0)])
    deliver(tmp_path / "log", day(1), [*[e for e in events if e["event_ts"] == at(1)], *bad])
    for n in (0, 1):
        cluster(warehouse, day(n))
        run_stage(STAGE, warehouse, settings, day(n))
    hidden = [e | {"user_id": pseudonym(e["user_id"])} for e in events]
    assert partials(warehouse) == oracle.partial_counts(hidden)
    assert pseudonym("raw-id-refused") in "".join(r.row_json for r in warehouse.read(REJECTS).collect())
    before = stored(warehouse)
    monkeypatch.setenv(VARIABLE, OTHER_KEY)
    for changed in (settings, base_settings):
        paths = changed.model_copy(update={"paths": settings.paths})
        for stage in (STAGE, erasure_stage(Erasure((users[0],)))):
            with pytest.raises(InputError, match="take the kept log days in again"):
                run_stage(stage, warehouse, paths, day(1))
    assert stored(warehouse) == before
    monkeypatch.setenv(VARIABLE, KEY)
    run_stage(erasure_stage(Erasure((users[0],), purge=True)), warehouse, settings, day(1))
    kept = [e for e in hidden if e["user_id"] != pseudonym(users[0])]
    assert partials(warehouse) == oracle.partial_counts(kept)
    shown = everything_in(Path(warehouse.root)) + "".join(capfd.readouterr()).encode()
    assert pseudonym(users[1]).encode() in shown and pseudonym(users[0]).encode() not in shown
    for secret in (b"raw-id", "räw-id".encode(), KEY.encode(), KEY.encode().hex().encode()):
        assert secret not in shown
    assert warehouse.read(USER_BANNER_DAYS).count() == len(partials(warehouse))


@pytest.mark.slow
def test_on_files_nothing_that_spark_writes_or_says_has_an_id_or_the_key(tmp_path):
    events = [oracle.event(f"e{n}", kind, at(57), "raw-id-one", "a") for n, kind in enumerate(["click", "view"])]
    values = write_inputs(tmp_path, events)
    (tmp_path / "history").mkdir()
    extra = {
        "spark.master": "local[1]",
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.eventLog.enabled": "true",
    }
    extra |= {"spark.eventLog.dir": f"file://{tmp_path}/history", "spark.eventLog.compress": "false"}
    (tmp_path / "spark-defaults.conf").write_text(f"spark.executorEnv.{VARIABLE} {KEY}\n")  # spark.extra refuses keys
    line = [sys.executable, str(ROOT / "jobs/build_user_features.py"), "--set", "features.pseudonymise_users=true"]
    line += [w for name, value in extra.items() for w in ("--set", f"spark.extra={{{name!r}: {value!r}}}")]
    line += [w for name, value in values.items() for w in (f"--{name.replace('_', '-')}", value)]
    own = {**os.environ, "BANNERMAP_HOME": str(ROOT), "SPARK_CONF_DIR": str(tmp_path), VARIABLE: KEY}
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, env=own)
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    written = everything_in(tmp_path / "out") + done.stdout + done.stderr
    history = everything_in(tmp_path / "history")
    assert pseudonym("raw-id-one").encode() in written and b"ArrowEvalPython" in history
    assert f"spark.executorEnv.{VARIABLE}".encode() in history  # its value is what is hidden
    for secret in (b"raw-id-one", KEY.encode(), KEY[:20].encode(), KEY.encode().hex().encode()):
        assert secret not in written and secret not in history
    assert list(EVENT_COLUMNS) == list(oracle.LOGGED)
