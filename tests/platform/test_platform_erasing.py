"""Single rows out of tables: nothing of them in Delta's log, partitions that survive a kill, old versions off the disk."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from bannermap.platform import erasing
from bannermap.platform.tables import BANNERS, USER_BANNER_DAYS, USER_FEATURES
from bannermap.platform.versions import VERSION_FILE, newest_commit

DAY = datetime.date(2026, 1, 1)
NEXT = datetime.date(2026, 1, 2)
PLACE = {"dt": DAY, "clustering_id": "c", "revision": 1}


def rows(spark, table, *users):
    values = [tuple({"user_id": u, **PLACE, "banner_id": "b", "clicks": 1}.get(c) for c in table.columns) for u in users]
    return spark.createDataFrame(values, table.schema)


def users_of(warehouse, table) -> list[str]:
    return sorted(r.user_id for r in warehouse.read(table).collect())


def test_deleted_rows_leave_no_value_in_the_log_and_no_file_after_a_purge(spark, warehouse):
    warehouse.overwrite_partition(USER_BANNER_DAYS, rows(spark, USER_BANNER_DAYS, "aaa-first", "keep", "zzz-last"), dt=DAY)
    emptied = rows(spark, USER_BANNER_DAYS, "aaa-first").selectExpr("* EXCEPT (dt)", f"DATE'{NEXT}' AS dt")
    warehouse.overwrite_partition(USER_BANNER_DAYS, emptied, dt=NEXT)
    gone = spark.createDataFrame([("aaa-first",), ("zzz-last",)], "erased_id string")
    before = newest_commit(spark, warehouse.path(USER_BANNER_DAYS))
    erasing.delete_matching(warehouse, USER_BANNER_DAYS, gone, "user_id = erased_id")
    assert (
        users_of(warehouse, USER_BANNER_DAYS) == ["keep"] and newest_commit(spark, warehouse.path(USER_BANNER_DAYS)) == before + 1
    )
    log = b"".join(p.read_bytes() for p in Path(warehouse.path(USER_BANNER_DAYS), "_delta_log").rglob("*") if p.is_file())
    assert b"MERGE" in log and b"clicks" in log and b"aaa-first" not in log and b"zzz-last" not in log
    files = set(Path(warehouse.path(USER_BANNER_DAYS)).rglob("*.parquet"))
    assert not erasing.purge(warehouse, USER_BANNER_DAYS, 24.0)
    assert set(Path(warehouse.path(USER_BANNER_DAYS)).rglob("*.parquet")) == files
    assert erasing.purge(warehouse, USER_BANNER_DAYS, 0.0)
    assert set(Path(warehouse.path(USER_BANNER_DAYS)).rglob("*.parquet")) < files
    assert users_of(warehouse, USER_BANNER_DAYS) == ["keep"]


@pytest.mark.parametrize("killed_at", [1, 2, None])
def test_a_partition_is_whole_whenever_its_rewriting_is_killed(killed_at, spark, warehouse, monkeypatch):
    warehouse.overwrite_partition(USER_FEATURES, rows(spark, USER_FEATURES, "u", "v", "w"), **PLACE)
    gone, rename, calls = spark.createDataFrame([("v",)], "user_id string"), erasing.rename, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == killed_at:
            raise KeyboardInterrupt
        rename(*arguments)

    if killed_at:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(erasing, "rename", dies)
            erasing.rewrite_parquet_partition(warehouse, USER_FEATURES.name, PLACE, gone)
        erasing.tidy_parquet(warehouse, USER_FEATURES.name, list(PLACE))
        assert users_of(warehouse, USER_FEATURES) == ["u", "v", "w"]
    erasing.rewrite_parquet_partition(warehouse, USER_FEATURES.name, PLACE, gone)
    assert users_of(warehouse, USER_FEATURES) == ["u", "w"]
    beside = {p.name for p in Path(warehouse.path(USER_FEATURES)).iterdir()}
    assert beside - {VERSION_FILE} == {f"dt={DAY}"}


def test_names_are_those_of_the_folders(spark, warehouse):
    assert erasing.stored_names(warehouse) == []
    warehouse.merge(BANNERS, spark.createDataFrame([], BANNERS.schema))
    warehouse.overwrite_partition(USER_FEATURES, rows(spark, USER_FEATURES, "u"), **PLACE)
    assert erasing.stored_names(warehouse) == [BANNERS.name, USER_FEATURES.name]
