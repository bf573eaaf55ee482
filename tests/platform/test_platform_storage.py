"""The warehouse: whole partitions, merges by key, pinned versions, nothing written by a dry run."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import pytest

from bannermap.platform.cli import Stage, run_stage
from bannermap.platform.errors import BusyError, InputError
from bannermap.platform.storage import Warehouse, sql_literal
from bannermap.platform.tables import ALL_TABLES, BANNERS, EMBEDDINGS, REJECTS, RUNS, USER_FEATURES
from bannermap.platform.versions import newest_commit

DAY, NEXT = datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)
HOSTILE = 'it\'s \\ "quoted" -- ;'


def rejects(spark, *rows):
    return spark.createDataFrame([(job, dt, "r", text, 1) for job, dt, text in rows], REJECTS.schema)


def banners(spark, **urls):
    rows = [(name, url, None, None, None, DAY, DAY, 1) for name, url in urls.items()]
    return spark.createDataFrame(rows, BANNERS.schema)


def texts(warehouse):
    return sorted(r.row_json for r in warehouse.read(REJECTS).collect())


def test_a_partition_is_replaced_whole_and_alone(spark, warehouse):
    for dt, text in ((DAY, "a"), (NEXT, "b")):
        warehouse.overwrite_partition(REJECTS, rejects(spark, (HOSTILE, dt, text)), job=HOSTILE, dt=dt)
    warehouse.overwrite_partition(REJECTS, rejects(spark, (HOSTILE, DAY, "c")), job=HOSTILE, dt=DAY)
    assert texts(warehouse) == ["b", "c"]
    warehouse.overwrite_partition(REJECTS, rejects(spark), job=HOSTILE, dt=DAY)
    assert texts(warehouse) == ["b"]
    with pytest.raises(Exception, match="REPLACE_WHERE"):
        warehouse.overwrite_partition(REJECTS, rejects(spark, (HOSTILE, NEXT, "x")), job=HOSTILE, dt=DAY)
    assert texts(warehouse) == ["b"]


class Thief:
    """Another run that removes what it takes for left over, where a claim would be looked at."""

    def __init__(self, warehouse):
        self.staging = Path(warehouse.path(USER_FEATURES)) / "_staging"

    def check(self):
        shutil.rmtree(self.staging, ignore_errors=True)


def test_rows_that_another_run_removed_on_their_way_are_not_taken_for_none(spark, warehouse):
    place = {"dt": DAY, "clustering_id": "c"}
    empty = dict.fromkeys(USER_FEATURES.columns) | place
    rows = spark.createDataFrame([tuple((empty | {"user_id": "u"}).values())], USER_FEATURES.schema)
    warehouse.overwrite_partition(USER_FEATURES, rows, **place)
    warehouse.claims = (Thief(warehouse),)
    with pytest.raises(BusyError, match="another run removed it"):
        warehouse.overwrite_partition(USER_FEATURES, rows, **place)
    assert warehouse.read(USER_FEATURES).count() == 1, "what was published is left as it was"
    warehouse.claims = ()
    warehouse.overwrite_partition(USER_FEATURES, rows.limit(0), **place)
    assert warehouse.read(USER_FEATURES).count() == 0


def test_merge_inserts_updates_and_deletes_what_it_is_told_to(spark, warehouse):
    warehouse.merge(BANNERS, banners(spark, a="1", b="2", c="3"))
    warehouse.merge(BANNERS, banners(spark, a="1", b="9", d="4"), delete_absent_where="old.banner_id < 'z'")
    assert {r.banner_id: r.image_url for r in warehouse.read(BANNERS).collect()} == {"a": "1", "b": "9", "d": "4"}
    warehouse.merge(BANNERS, banners(spark, e="5"))
    assert warehouse.read(BANNERS).count() == 4


def test_insert_new_leaves_known_keys_as_they_are(spark, warehouse):
    def vectors(x):
        return spark.createDataFrame([("e", "hash", [x], None)], EMBEDDINGS.schema)

    warehouse.insert_new(EMBEDDINGS, vectors(1.0))
    warehouse.insert_new(EMBEDDINGS, vectors(2.0))
    assert [r.vector for r in warehouse.read(EMBEDDINGS).collect()] == [[1.0]]


def test_a_read_keeps_its_version_while_others_write(spark, warehouse):
    warehouse.merge(BANNERS, banners(spark, a="1"))
    before = warehouse.read(BANNERS)
    version = warehouse.versions_read["banners"]
    warehouse.merge(BANNERS, banners(spark, a="2", b="2"))
    assert [r.image_url for r in before.collect()] == ["1"]
    warehouse.read(BANNERS)
    assert warehouse.versions_read["banners"] > version


def test_the_newest_commit_is_the_one_of_the_history_before_and_after_a_checkpoint(spark, tmp_path):
    from delta.tables import DeltaTable

    warehouse = Warehouse(spark, str(tmp_path / "a [b]{c}*?"))
    path = warehouse.path(BANNERS)
    for number in range(12):
        warehouse.merge(BANNERS, banners(spark, **{f"b{number}": "u"}))
        if number in (0, 8, 9, 11):
            assert newest_commit(spark, path) == DeltaTable.forPath(spark, path).history(1).collect()[0]["version"]
    assert list(Path(path, "_delta_log").glob("*.checkpoint.*"))
    with pytest.raises(InputError, match="no commit"):
        newest_commit(spark, str(tmp_path))


def test_parquet_partitions_are_replaced_whole(spark, warehouse):
    def features(*users):
        types = USER_FEATURES.columns
        rows = [tuple({"user_id": u, "dt": DAY, "clustering_id": "c", "revision": 1}.get(c) for c in types) for u in users]
        return spark.createDataFrame(rows, USER_FEATURES.schema)

    place = {"dt": DAY, "clustering_id": "c", "revision": 1}
    warehouse.overwrite_partition(USER_FEATURES, features("u", "v"), **place)
    warehouse.overwrite_partition(USER_FEATURES, features("w"), **place)
    assert [(r.user_id, r.dt, r.revision) for r in warehouse.read(USER_FEATURES).collect()] == [("w", DAY, 1)]


def test_absent_tables_are_refused_with_the_job_that_makes_them(warehouse):
    with pytest.raises(InputError, match="Run dedupe_banners first"):
        warehouse.read(BANNERS, "dedupe_banners")
    assert warehouse.read_or_empty(BANNERS).columns == list(BANNERS.columns)


def test_a_table_that_was_killed_before_its_first_commit_is_made_anew(spark, warehouse, tmp_path):
    log = tmp_path / "warehouse/rejects/_delta_log"
    log.mkdir(parents=True)
    (log / ".00000000000000000000.json.5f1c.tmp").write_text("{")
    warehouse.overwrite_partition(REJECTS, rejects(spark, ("j", DAY, "a")), job="j", dt=DAY)
    assert texts(warehouse) == ["a"]


def test_files_of_others_in_a_tables_place_are_never_removed(spark, warehouse, tmp_path):
    other = tmp_path / "warehouse/rejects/precious.parquet"
    other.parent.mkdir(parents=True)
    other.write_text("x")
    with pytest.raises(Exception, match="not a Delta table"):
        warehouse.overwrite_partition(REJECTS, rejects(spark, ("j", DAY, "a")), job="j", dt=DAY)
    assert other.read_text() == "x"


def test_a_dry_run_computes_and_writes_nothing(spark, tmp_path):
    dry = Warehouse(spark, str(tmp_path / "w"), read_only=True)
    dry.merge(BANNERS, banners(spark, a="1"))
    dry.overwrite_partition(REJECTS, rejects(spark, ("j", DAY, "a")), job="j", dt=DAY)
    dry.insert_new(BANNERS, banners(spark, a="1"))
    assert not (tmp_path / "w").exists()
    broken = banners(spark, a="1").selectExpr("*", "raise_error('computed')").drop("banner_id")
    with pytest.raises(Exception, match="banner_id"):
        dry.merge(BANNERS, broken)


def test_a_failed_run_leaves_its_row_and_its_error(warehouse, base_settings):
    def fail(context):
        with context.phase("half way"):
            raise InputError("no such day")

    with pytest.raises(InputError):
        run_stage(Stage("failing", fail), warehouse, base_settings, DAY)
    (row,) = warehouse.read(RUNS).collect()
    assert (row.status, row.error, list(row.phase_seconds)) == ("failed", "InputError: no such day", ["half way"])


@pytest.mark.parametrize("value", [HOSTILE, "", "a\nb", "ü", 7, True, DAY])
def test_literals_mean_what_they_were(spark, value):
    assert spark.sql(f"SELECT {sql_literal(value)} AS v").collect()[0].v == value


def test_declared_schemas_are_those_of_their_text(spark):
    for table in ALL_TABLES:
        assert spark.createDataFrame([], table.ddl).schema == table.schema
