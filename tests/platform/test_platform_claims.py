"""Runs at once: one holds the claim and the others say who does; the dead are overtaken, whoever was overtaken stops."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bannermap.clustering.job import STAGE as CLUSTERING
from bannermap.features.job import STAGE as FEATURES
from bannermap.platform import claims
from bannermap.platform.claims import claimed, needs_one_writer, process_of
from bannermap.platform.cli import Stage, _reported, run_stage
from bannermap.platform.errors import BusyError, InputError
from bannermap.platform.files import create_new, read_text
from bannermap.platform.runs import JobContext, Run
from bannermap.platform.settings import ClaimSettings
from bannermap.platform.tables import BANNER_DAYS, RUNS
from bannermap.registry.job import STAGE as REGISTRY

DAY = datetime.date(2026, 3, 1)
QUICK = ClaimSettings(heartbeat_s=0.1, expire_s=1.0)
CALM = ClaimSettings(heartbeat_s=600.0, expire_s=3600.0)


def held(path: Path) -> dict:
    return json.loads(max(path.glob("*.json")).read_text())


def leave(folder: Path, **note) -> Path:
    """A claim that somebody else left."""
    folder.mkdir(parents=True)
    file = folder / "000000004.json"
    file.write_text(json.dumps({"title": "a run", "machine": "elsewhere", "process": "7:1", "beat": 0, **note}))
    return file


def test_a_claim_is_one_runs_until_it_is_given_back(spark, tmp_path):
    root = str(tmp_path)
    with claimed(spark, root, "x", "cluster_banners of D", CALM) as claim:
        with (
            pytest.raises(BusyError, match=r"cluster_banners of D on .*process \d+.*Nothing was written"),
            claimed(spark, root, "x", "another", CALM),
        ):
            pass
        with claimed(spark, root, "y", "of another name", CALM):
            claim.check()
    with claimed(spark, root, "x", "the next", CALM) as second:
        assert second.number == claim.number + 1
    assert [p.name for p in (tmp_path / "_claims/x").glob("*.json")] == ["000000002.json"] and held(tmp_path / "_claims/x")[
        "released"
    ]


def test_a_waiting_run_gets_the_claim_of_one_that_ends_and_says_that_it_waits(spark, tmp_path):
    said, inside = [], threading.Event()

    def wait_for_it():
        with claimed(spark, str(tmp_path), "x", "second", CALM, wait_s=600.0, tell=said.append) as claim:
            inside.set()
            return claim.number

    with ThreadPoolExecutor(1) as pool:
        with claimed(spark, str(tmp_path), "x", "first", CALM):
            waiting = pool.submit(wait_for_it)
            while not said:
                time.sleep(0.01)
            assert not inside.is_set() and "waiting for first" in said[0]
        assert waiting.result() == 2


def test_of_many_that_create_one_file_at_once_one_succeeds(spark, tmp_path):
    for n in range(5):
        with ThreadPoolExecutor(8) as pool:
            path = str(tmp_path / f"deep/{n}/file.json")
            won = list(pool.map(lambda k, path=path: create_new(spark, path, f"text of {k}"), range(8)))
        assert won.count(True) == 1 and read_text(spark, path) == f"text of {won.index(True)}"
        assert len(list(Path(path).parent.iterdir())) == 1


def test_a_dead_process_of_this_machine_is_overtaken_at_once(spark, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    process = process_of(gone.pid)
    gone.wait()
    reused = process_of(1).partition(":")[0] + ":0"  # a number that another process has now
    for name, note in {"gone": process, "reused": reused}.items():
        leave(tmp_path / "_claims" / name, machine=claims.machine(), process=note)
        with claimed(spark, str(tmp_path), name, "next", CALM) as claim:
            assert claim.number == 5 and held(tmp_path / "_claims" / name)["title"] == "next"


def test_a_run_elsewhere_is_overtaken_only_when_it_gives_no_sign_of_life(spark, tmp_path):
    leave(tmp_path / "_claims/still")
    with claimed(spark, str(tmp_path), "still", "next", QUICK) as claim:
        assert claim.number == 5
    file, ended = leave(tmp_path / "_claims/alive"), threading.Event()

    def beat():
        for n in range(10_000):
            file.with_suffix(".new").write_text(
                json.dumps({"title": "theirs", "machine": "elsewhere", "process": "7:1", "beat": n})
            )
            file.with_suffix(".new").replace(file)
            if ended.wait(0.05):
                return

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with (
            pytest.raises(BusyError, match="theirs on elsewhere, process 7"),
            claimed(spark, str(tmp_path), "alive", "mine", ClaimSettings(heartbeat_s=1.0, expire_s=600.0)),
        ):
            pass
    finally:
        ended.set()
        beating.join()


def test_a_run_that_was_overtaken_stops_before_its_next_phase(warehouse, base_settings, tmp_path):
    with claimed(warehouse.spark, warehouse.root, "x", "slow", CALM) as claim:
        claim.beat()
        assert held(Path(warehouse.root) / "_claims/x")["beat"] == 1 and not claim.lost
        assert create_new(warehouse.spark, f"{claim.folder}/000000002.json", "{}")
        claim.beat()
        context = JobContext(warehouse, base_settings, DAY, Run("slow", DAY))
        warehouse.claims = (claim,)
        with pytest.raises(BusyError, match="another took over"), context.phase("write"):
            pytest.fail("it went on")
    assert held(Path(warehouse.root) / "_claims/x") == {}, "what the other holds is left as it is"


def held_until(go: Path, began: Path | None = None):
    """A kernel that says that it began, and hands its batches on once it may."""

    def held_back(batches):
        if began:
            began.touch()
        for _ in range(6000):
            if go.exists():
                break
            time.sleep(0.05)
        yield from batches

    return held_back


def test_a_run_that_is_overtaken_while_it_computes_writes_nothing_more(warehouse, base_settings, tmp_path):
    """Neither what it computes, which is cut off, nor a row of the manifest, which the other may be writing."""
    quick = base_settings.model_copy(update={"claims": ClaimSettings(heartbeat_s=0.2, expire_s=60.0)})

    ended = tmp_path / "ended"

    def work(context):
        (claim,) = context.warehouse.claims
        assert create_new(warehouse.spark, f"{claim.folder}/000000002.json", json.dumps({"title": "theirs"}))
        frame = rows(warehouse, 2).coalesce(1).mapInArrow(held_until(ended), BANNER_DAYS.schema)
        context.warehouse.overwrite_partition(BANNER_DAYS, frame, dt=DAY)

    with pytest.raises(BusyError, match="another took over"):
        run_stage(Stage("dedupe_banners", work), warehouse, quick, DAY)
    ended.touch()
    assert not warehouse.exists(RUNS) and warehouse.read_or_empty(BANNER_DAYS).isEmpty() and not warehouse.claims


def test_a_holder_that_lives_on_this_machine_is_never_overtaken_for_its_silence(spark, tmp_path):
    leave(tmp_path / "_claims/silent", machine=claims.machine(), process=claims.process_of(os.getpid()))
    impatient = ClaimSettings(heartbeat_s=0.01, expire_s=0.03)
    with pytest.raises(BusyError), claimed(spark, str(tmp_path), "silent", "next", impatient, wait_s=1.0):
        pass


def test_what_one_stage_at_a_time_may_write_is_waited_for(warehouse, base_settings):
    began, order = threading.Event(), []

    def first(context):
        began.set()
        time.sleep(1.0)
        order.append("first")

    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(run_stage, Stage("build_user_features", first, writes_alone="features"), warehouse, base_settings, DAY)
        assert began.wait(300)
        later = Stage("erase_user", lambda context: order.append("second"), writes_alone="features")
        asked_at = datetime.datetime.now(datetime.UTC)
        waited = run_stage(later, warehouse, base_settings, DAY)
        one.result()
    assert order == ["first", "second"]
    assert waited.started_at > asked_at + datetime.timedelta(seconds=0.5), "what came while it waited is not late for it"


@pytest.mark.parametrize(("stage", "what"), [(CLUSTERING, "clusterings"), (REGISTRY, "registry"), (FEATURES, "features")])
def test_days_of_what_is_made_of_all_days_are_written_one_after_another(warehouse, base_settings, stage, what):
    impatient = base_settings.model_copy(update={"claims": ClaimSettings(writer_wait_s=0.0)})
    with (
        claimed(warehouse.spark, warehouse.root, what, f"{stage.name} of the day before", CALM),
        pytest.raises(BusyError, match=f"{stage.name} of the day before"),
    ):
        run_stage(stage, warehouse, impatient, DAY)
    with pytest.raises(InputError):  # it goes to work, and finds that there is nothing
        run_stage(stage, warehouse, impatient, DAY)


def rows(warehouse, n: int):
    values = [tuple({"dt": DAY, "banner_id": f"b{k}"}.get(c) for c in BANNER_DAYS.columns) for k in range(n)]
    return warehouse.spark.createDataFrame(values, BANNER_DAYS.schema)


def test_two_runs_of_one_day_at_once_one_wins_and_the_other_says_why_not(warehouse, base_settings, capsys):
    inside, go = threading.Event(), threading.Event()

    def work(context):
        inside.set()
        assert go.wait(300)
        context.warehouse.overwrite_partition(BANNER_DAYS, rows(warehouse, 3), dt=context.dt)

    stage = Stage("dedupe_banners", work)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run_stage, stage, warehouse, base_settings, DAY)
        assert inside.wait(300)
        other = Stage("dedupe_banners", lambda context: pytest.fail("it went to work"))
        assert _reported("dedupe_banners", lambda: run_stage(other, warehouse, base_settings, DAY)) == 7
        assert f"Another run is at work: dedupe_banners of {DAY} on" in capsys.readouterr().err
        next_day = DAY + datetime.timedelta(days=1)
        assert run_stage(Stage("dedupe_banners", lambda context: None), warehouse, base_settings, next_day).rows_out == 0
        go.set()
        first.result()
    assert warehouse.read(BANNER_DAYS).count() == 3
    assert sorted(warehouse.read(RUNS).select("dt", "status").collect()) == [(DAY, "succeeded"), (next_day, "succeeded")]


def test_a_commit_that_delta_refuses_is_told_as_another_run(warehouse, base_settings, tmp_path):
    began, go = tmp_path / "began", tmp_path / "go"
    warehouse.overwrite_partition(BANNER_DAYS, rows(warehouse, 1), dt=DAY)

    def work(context):
        frame = rows(warehouse, 2).coalesce(1).mapInArrow(held_until(go, began), BANNER_DAYS.schema)
        context.warehouse.overwrite_partition(BANNER_DAYS, frame, dt=DAY)

    with ThreadPoolExecutor(1) as pool:
        loser = pool.submit(run_stage, Stage("dedupe_banners", work), warehouse, base_settings, DAY)
        while not began.exists() and not loser.done():
            time.sleep(0.05)
        warehouse.overwrite_partition(BANNER_DAYS, rows(warehouse, 3), dt=DAY)
        go.touch()
        with pytest.raises(BusyError, match="Delta refused this one's commit"):
            loser.result()
    assert warehouse.read(BANNER_DAYS).count() == 3


def test_a_dry_run_claims_nothing(warehouse, base_settings, tmp_path):
    warehouse.read_only = True
    run_stage(Stage("dedupe_banners", lambda context: None), warehouse, base_settings, DAY)
    assert not (Path(warehouse.root) / "_claims").exists()


def test_one_writer_is_asked_for_only_where_commits_of_two_drivers_overwrite_each_other(spark):
    assert needs_one_writer(spark, "s3a://bucket/w")
    assert not needs_one_writer(spark, "/data/w") and not needs_one_writer(spark, "gs://bucket/w")
    spark.conf.set("spark.delta.logStore.s3a.impl", "io.delta.storage.S3DynamoDBLogStore")
    try:
        assert not needs_one_writer(spark, "s3a://bucket/w")
    finally:
        spark.conf.unset("spark.delta.logStore.s3a.impl")


def test_beats_that_may_not_be_missed_are_refused():
    with pytest.raises(ValueError, match="three beats"):
        ClaimSettings(heartbeat_s=10.0, expire_s=29.0)
