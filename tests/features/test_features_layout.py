"""How partials lie on disk: a file for each day and bucket, tasks of whole buckets, and the step from the former layout."""

from __future__ import annotations

import dataclasses
import datetime
import random
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from bannermap.features import layout
from bannermap.features.layout import BYTES_PER_TASK, StoredFile, laid_out, stored_files, tasks_of
from bannermap.platform import migration
from bannermap.platform.migration import migrate, plans
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import USER_BUCKETS_PROPERTY, user_banner_days
from bannermap.platform.versions import VERSION_PROPERTY, table_properties
from bannermap.platform.whole_files import system_of

DAYS = [datetime.date(2026, 1, n) for n in (1, 2)]
TABLE = user_banner_days(3)
OLD = dataclasses.replace(
    TABLE,
    columns={c: t for c, t in TABLE.columns.items() if c != "user_bucket"},
    partition_by=("dt",),
    version=1,
    migrations={},
    properties={},
)


def rows() -> list[tuple]:
    return sorted((d, f"u{n}", None if n == 3 else f"b{n % 2}", n, 0, 1) for d in DAYS for n in range(12))


def found(warehouse: Warehouse) -> list[tuple]:
    read = Warehouse(warehouse.spark, warehouse.root).read(TABLE).drop("user_bucket").collect()
    return sorted(map(tuple, read), key=lambda r: (r[0], r[1]))


def old(warehouse: Warehouse) -> Warehouse:
    warehouse.overwrite_partitions(OLD, warehouse.spark.createDataFrame(rows(), OLD.schema), "dt", DAYS)
    return Warehouse(warehouse.spark, warehouse.root)


def migrated(warehouse: Warehouse) -> None:
    for plan in plans(Warehouse(warehouse.spark, warehouse.root), [TABLE]):
        migrate(warehouse, plan)


def tasks_are_right(rng: random.Random) -> None:
    sizes = [rng.choice([0, 1, BYTES_PER_TASK // 3, 2 * BYTES_PER_TASK]) for _ in range(rng.randint(0, 40))]
    files = [StoredFile(rng.randrange(9), rng.randrange(7), f"f{n}", size) for n, size in enumerate(sizes)]
    least = rng.randint(1, 4)
    tasks = tasks_of(files, least)
    held = [address for task in tasks for bucket in task for _, address in bucket]
    assert sorted(held) == sorted(f.address for f in files)
    by_address = {f.address: f for f in files}
    for bucket in (b for task in tasks for b in task):
        assert len({by_address[address].bucket for _, address in bucket}) == 1
        assert [day for day, _ in bucket] == sorted(day for day, _ in bucket)
    number = len({f.bucket for f in files})
    assert sum(len(task) for task in tasks) == number and all(tasks)
    assert len(tasks) == min(number, max(least, -(-sum(sizes) // BYTES_PER_TASK)))
    weights = [sum(by_address[a].bytes for b in task for _, a in b) for task in tasks]
    assert weights == sorted(weights, reverse=True) or sum(sizes) < number


def test_tasks_hold_whole_buckets_each_file_once_and_the_longest_comes_first():
    for seed in range(200):
        tasks_are_right(random.Random(seed))


def test_addresses_of_one_place_share_a_file_system(monkeypatch, tmp_path):
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "r", "ENDPOINT_URL": "http://nowhere"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    system_of.cache_clear()
    one, other = (system_of(f"s3a://bucket/warehouse/dt=2026-01-0{n}/a%20b/") for n in (1, 2))
    assert one[0] is other[0] and one[0] is not system_of("s3a://another/warehouse")[0]
    assert (one[1], other[1]) == ("bucket/warehouse/dt=2026-01-01/a b", "bucket/warehouse/dt=2026-01-02/a b")
    assert system_of("s3://bucket")[1] == "bucket"
    (tmp_path / "a b").mkdir()
    for address in (f"file:{tmp_path}/a b", f"{tmp_path}/a b", f"file://{tmp_path}/a%20b"):
        assert system_of(address)[1] == str(tmp_path / "a b")
    system_of.cache_clear()
    assert system_of("s3a://bucket/warehouse")[0] is not one[0]
    system_of.cache_clear()


def test_sizes_of_many_files_are_asked_for_by_day(monkeypatch, tmp_path):
    asked = []

    def counted(address):
        system, path = system_of(address)
        ask = lambda what: asked.append(what) or system.get_file_info(what)  # noqa: E731
        return SimpleNamespace(get_file_info=ask), path

    monkeypatch.setattr(layout, "system_of", counted)
    addresses = []
    for number, (day, bucket) in enumerate((d, b) for d in DAYS for b in range(5)):
        file = tmp_path / "a b" / f"dt={day}" / f"user_bucket={bucket}" / "part.parquet"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * number)
        addresses.append(f"file://{quote(str(file), safe='/=')}")
    files = layout._stored_files(addresses)
    assert [(f.address, f.bucket, f.bytes) for f in files] == [(a, n % 5, n) for n, a in enumerate(addresses)]
    assert len(asked) == len(DAYS)


@pytest.mark.slow
def test_a_table_of_the_former_layout_is_laid_out_anew_wherever_the_step_is_killed(warehouse, monkeypatch):
    before, commit = old(warehouse), migration._note_version

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(migration, "_note_version", dies)
        migrated(before)
    assert commit is migration._note_version
    migrated(before)
    assert found(warehouse) == rows()
    path = warehouse.path(TABLE)
    properties = table_properties(warehouse.spark, path)
    assert (properties[VERSION_PROPERTY], properties[USER_BUCKETS_PROPERTY]) == ("2", "3")
    files = stored_files(warehouse, Warehouse(warehouse.spark, warehouse.root).read(TABLE))
    buckets = {r["user_id"]: r["user_bucket"] for r in warehouse.spark.read.format("delta").load(path).collect()}
    assert len(files) == len(DAYS) * len(set(buckets.values())) == len({(f.day, f.bucket) for f in files})
    again = warehouse.spark.createDataFrame(rows(), OLD.schema).selectExpr(
        "*", "CAST(pmod(xxhash64(user_id), 3) AS INT) user_bucket"
    )
    warehouse.overwrite_partitions(TABLE, laid_out(again), "dt", DAYS)
    rewritten = Warehouse(warehouse.spark, warehouse.root).read(TABLE)
    assert len(stored_files(warehouse, rewritten)) == len(files) and found(warehouse) == rows()
    assert {r["user_id"]: r["user_bucket"] for r in rewritten.collect()} == buckets
