"""Table versions: an older table is migrated by its stated steps or refused with words, a newer one never read."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import random
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from delta.tables import DeltaTable

from bannermap.platform import migration
from bannermap.platform.errors import InputError
from bannermap.platform.migration import migrate, migrate_tables, plans
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    ALL_TABLES,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    REJECTS,
    RUNS,
    USER_FEATURES,
    WAREHOUSE_TABLES,
    AddColumns,
    Rebuild,
    Table,
)
from bannermap.platform.versions import VERSION_FILE, VERSION_PROPERTY, Stored, differences, refusal

DAYS = [datetime.date(2026, 1, d) for d in (1, 2, 3)]
LACKED = {
    CLUSTERINGS.name: ("previous_clustering_id", "state"),
    CLUSTERS.name: ("born_dt", "themes"),
    CLUSTER_MEMBERS.name: ("themes", "duplicate_set_id", "is_retired"),
}
THREE = (CLUSTERINGS, CLUSTERS, CLUSTER_MEMBERS)
OLD = Table("things", "A table of the tests.", {"id": "string: key", "n": "bigint: figure"}, ("id",))


def version_one(table: Table) -> Table:
    """The table as it was before, written out by hand of what it lacked."""
    columns = {c: t for c, t in table.columns.items() if c not in LACKED[table.name]}
    return dataclasses.replace(table, columns=columns, version=1, migrations={})


def rows_of_version_one(seed: int) -> dict[str, list[dict]]:
    """Clusterings with several sequences a day, each with clusters and members; figures do not matter."""
    rng = random.Random(seed)
    rows: dict[str, list[dict]] = {name: [] for name in LACKED}
    for day in DAYS:
        for sequence in range(1, rng.randint(1, 3) + 1):
            name = f"{day}-{rng.getrandbits(32):08x}"
            rows["clusterings"].append({"clustering_id": name, "dt": day, "sequence": sequence, "nodes": rng.randint(1, 9)})
            for cluster in range(rng.randint(0, 3)):
                rows["clusters"].append({"clustering_id": name, "cluster_id": f"c{cluster}", "size": rng.randint(2, 9)})
                member = {"banner_id": f"b{cluster}", "cluster_id": f"c{cluster}", "is_outlier": False}
                rows["cluster_members"].append({"clustering_id": name, **member, "path": [f"c{cluster}"]})
    return rows


def write_as(spark, table: Table, rows: list[dict], path: str) -> None:
    """A Delta table without any version property, as tables were written before they had one."""
    frame = spark.createDataFrame([tuple(r.get(c) for c in table.columns) for r in rows], table.schema)
    frame.write.format("delta").partitionBy(*table.partition_by).save(path)


@pytest.fixture
def old(spark, warehouse):
    """A warehouse of version 1 and its rows."""
    rows = rows_of_version_one(5)
    for table in THREE:
        write_as(spark, version_one(table), rows[table.name], warehouse.path(table))
    return warehouse, rows


def expected(rows: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """The oracle: what version 2 has to say of rows of version 1, from the words of the declaration."""
    last = {r["dt"]: max(o["sequence"] for o in rows["clusterings"] if o["dt"] == r["dt"]) for r in rows["clusterings"]}
    days = {r["clustering_id"]: r["dt"] for r in rows["clusterings"]}
    states = [{"state": "current" if r["sequence"] == last[r["dt"]] else "superseded"} for r in rows["clusterings"]]
    return {
        "clusterings": [{**r, **s} for r, s in zip(rows["clusterings"], states, strict=True)],
        "clusters": [{**r, "born_dt": days[r["clustering_id"]]} for r in rows["clusters"]],
        "cluster_members": rows["cluster_members"],
    }


def found(warehouse: Warehouse, table: Table) -> list[str]:
    return sorted(str(tuple(r)) for r in warehouse.read(table).collect())


def wanted(rows: dict[str, list[dict]], table: Table) -> list[str]:
    return sorted(str(tuple(r.get(c) for c in table.columns)) for r in expected(rows)[table.name])


def again(warehouse: Warehouse) -> Warehouse:
    """What the next process sees: nothing remembered."""
    return Warehouse(warehouse.spark, warehouse.root)


def commits(warehouse: Warehouse, table: Table) -> int:
    return DeltaTable.forPath(warehouse.spark, warehouse.path(table)).history().count()


def migrate_all(warehouse: Warehouse) -> None:
    for plan in plans(warehouse):
        migrate(warehouse, plan)


def test_tables_of_version_one_are_refused_until_they_are_migrated(old):
    warehouse, rows = old
    for table in THREE:
        with pytest.raises(InputError, match=rf"has version 1.*version {table.version}.*migrate_warehouse") as caught:
            warehouse.read(table)
        assert all(c in str(caught.value) for c in LACKED[table.name])
        with pytest.raises(InputError, match="migrate_warehouse"):
            warehouse.insert_new(table, warehouse.spark.createDataFrame([], table.schema))
    migrate_all(warehouse)
    for table in THREE:
        assert found(again(warehouse), table) == wanted(rows, table)


def test_a_migrated_warehouse_is_left_alone_and_takes_new_rows(old, spark):
    warehouse, rows = old
    migrate_all(warehouse)
    before = [commits(warehouse, t) for t in THREE]
    migrate_all(again(warehouse))
    assert [commits(warehouse, t) for t in THREE] == before
    new = {"clustering_id": "n", "dt": DAYS[0], "sequence": 9, "previous_clustering_id": "o", "state": "stale"}
    frame = spark.createDataFrame([tuple(new.get(c) for c in CLUSTERINGS.columns)], CLUSTERINGS.schema)
    again(warehouse).merge(CLUSTERINGS, frame)
    assert found(again(warehouse), CLUSTERINGS) == sorted([*wanted(rows, CLUSTERINGS), str(tuple(frame.collect()[0]))])


class Killed(Exception):
    pass


def test_a_migration_that_is_killed_at_each_commit_completes_when_it_is_run_again(old, spark, tmp_path, monkeypatch):
    before, rows = old
    tables = (CLUSTERS, CLUSTER_MEMBERS)
    commits = sum(2 + bool(step.values) for table in tables for _, step in table.steps_from(1))  # columns, values, version
    makers = {name: getattr(migration, name) for name in ("_add_columns", "_fill", "_note_version")}
    for survived in range(commits + 1):
        warehouse = Warehouse(spark, str(tmp_path / f"after-{survived}"))
        shutil.copytree(before.root, warehouse.root)
        left = iter([True] * survived)

        def commit(make, arguments, left=left):
            make(*arguments)
            if not next(left, False):
                raise Killed

        for name, make in makers.items():
            monkeypatch.setattr(migration, name, lambda *arguments, make=make, commit=commit: commit(make, arguments))
        with contextlib.nullcontext() if survived == commits else pytest.raises(Killed):
            migrate_tables(warehouse, tables)
        monkeypatch.undo()
        migrate_tables(again(warehouse), tables)
        for table in tables:
            assert found(again(warehouse), table) == wanted(rows, table)


def test_values_that_a_row_has_are_kept(old):
    warehouse, rows = old
    name = rows["clusterings"][0]["clustering_id"]
    path = f"delta.`{warehouse.path(CLUSTERINGS)}`"
    warehouse.spark.sql(f"ALTER TABLE {path} ADD COLUMNS (state string)")
    warehouse.spark.sql(f"UPDATE {path} SET state = 'stale' WHERE clustering_id = '{name}'")
    migrate_all(warehouse)
    states = {r.clustering_id: r.state for r in again(warehouse).read(CLUSTERINGS).collect()}
    assert states.pop(name) == "stale" and set(states.values()) <= {"current", "superseded"}


def test_a_newer_version_is_refused_and_not_migrated(spark, warehouse):
    warehouse.overwrite_partition(REJECTS, spark.createDataFrame([("j", DAYS[0], "r", "x", 1)], REJECTS.schema), job="j")
    spark.sql(f"ALTER TABLE delta.`{warehouse.path(REJECTS)}` SET TBLPROPERTIES ('{VERSION_PROPERTY}' = '7')")
    with pytest.raises(InputError, match=r"version 7.*newer bannermap"):
        again(warehouse).read(REJECTS)
    dry = Warehouse(spark, warehouse.root, read_only=True)
    with pytest.raises(InputError, match="newer bannermap"):
        dry.merge(REJECTS, spark.createDataFrame([], REJECTS.schema))
    (plan,) = plans(again(warehouse), [REJECTS])
    assert "newer bannermap" in plan.problem and plan.steps == []


def test_columns_that_differ_at_the_same_version_are_refused_by_name(spark, warehouse):
    changed = dataclasses.replace(OLD, columns={"id": "string: key", "m": "double: other"})
    warehouse.merge(OLD, spark.createDataFrame([("a", 1)], OLD.schema))
    with pytest.raises(InputError, match=r"it lacks m; it has n, which is not declared"):
        again(warehouse).read(changed)
    with pytest.raises(InputError, match=r"n is bigint, not string"):
        again(warehouse).read(dataclasses.replace(OLD, columns={"id": "string: key", "n": "string: other"}))
    assert again(warehouse).read(dataclasses.replace(OLD, columns=dict(reversed(OLD.columns.items())))).count() == 1


def test_steps_follow_each_other_and_a_rebuild_is_refused_with_the_job(spark, warehouse):
    warehouse.merge(OLD, spark.createDataFrame([("a", 1)], OLD.schema))
    three = dataclasses.replace(
        OLD,
        columns={**OLD.columns, "x": "int: new", "y": "int: newer"},
        version=3,
        migrations={2: AddColumns(("x",), "null"), 3: AddColumns(("y",), "null")},
    )
    (plan,) = plans(warehouse, [three])
    migrate(warehouse, plan)
    assert [tuple(r) for r in again(warehouse).read(three).collect()] == [("a", 1, None, None)]
    four = dataclasses.replace(three, version=4, migrations={**three.migrations, 4: Rebuild("make_things", "ids are new")})
    with pytest.raises(InputError, match=r"ids are new.*move the table away and run make_things"):
        again(warehouse).read(four)
    (plan,) = plans(warehouse, [four])
    assert "make_things" in plan.problem and plan.steps == []


def test_a_step_refuses_a_table_that_it_does_not_explain(spark, warehouse):
    warehouse.merge(OLD, spark.createDataFrame([("a", 1)], OLD.schema))
    columns = {"id": "string: key", "x": "int: new"}
    (plan,) = plans(warehouse, [dataclasses.replace(OLD, columns=columns, version=2, migrations={2: AddColumns(("x",), "null")})])
    assert "it has n, which is not declared" in plan.problem
    migrate(warehouse, plan)
    assert again(warehouse).read(OLD).count() == 1


def features(spark, *users):
    rows = [
        tuple({"user_id": u, "dt": DAYS[0], "clustering_id": "c", "revision": 1}.get(c) for c in USER_FEATURES.columns)
        for u in users
    ]
    return spark.createDataFrame(rows, USER_FEATURES.schema)


PLACE = {"dt": DAYS[0], "clustering_id": "c", "revision": 1}


def test_parquet_tables_note_their_version_where_no_reader_looks(spark, warehouse):
    warehouse.overwrite_partition(USER_FEATURES, features(spark, "u"), **PLACE)
    folder = warehouse.path(USER_FEATURES)
    assert len(pd.read_parquet(folder)) == pq.read_table(folder).num_rows == spark.read.parquet(folder).count() == 1
    later = dataclasses.replace(
        USER_FEATURES,
        columns={**USER_FEATURES.columns, "more": "int: new"},
        version=2,
        migrations={2: AddColumns(("more",), "null")},
    )
    with pytest.raises(InputError, match="migrate_warehouse"):
        again(warehouse).overwrite_partition(later, features(spark, "v").selectExpr("*", "1 AS more"), **PLACE)
    (plan,) = plans(again(warehouse), [later])
    migrate(warehouse, plan)
    assert [(r.user_id, r.more) for r in again(warehouse).read(later).collect()] == [("u", None)]
    with pytest.raises(InputError, match="newer bannermap"):
        again(warehouse).read(USER_FEATURES)


@pytest.mark.parametrize("note", [None, '{"table": "user_fe'])
def test_a_parquet_table_without_a_whole_note_is_judged_by_its_files(spark, warehouse, note):
    warehouse.overwrite_partition(USER_FEATURES, features(spark, "u"), **PLACE)
    place = Path(warehouse.path(USER_FEATURES)) / VERSION_FILE
    assert json.loads(place.read_text())["version"] == 1
    place.unlink()
    if note:
        place.write_text(note)
    assert again(warehouse).read(USER_FEATURES).count() == 1
    fewer = {c: t for c, t in USER_FEATURES.columns.items() if c != "clicks_1d"}
    with pytest.raises(InputError, match="it has clicks_1d, which is not declared"):
        again(warehouse).read(dataclasses.replace(USER_FEATURES, columns=fewer))


def test_every_declared_version_has_its_step():
    for table in ALL_TABLES:
        assert sorted(table.migrations) == list(range(2, table.version + 1)), table.name
        steps = [s for s in table.migrations.values() if isinstance(s, AddColumns)]
        for step in steps:
            assert set(step.names) <= set(table.columns) and set(step.reads) <= {t.name for t in ALL_TABLES}
            assert not (step.values and table.format == "parquet"), "files of a Parquet table are not rewritten"


def test_refusals_agree_with_a_naive_comparison():
    rng = random.Random(2)
    types = ("bigint", "string", "int")
    for _ in range(200):
        stored = {c: rng.choice(types) for c in "abcd" if rng.random() < 0.7}
        declared = {c: f"{rng.choice(types)}: m" for c in "abcd" if rng.random() < 0.7} or {"a": "int: m"}
        table = Table("t", "", declared, ())
        same = set(stored.items()) == {(c, t.split(":")[0]) for c, t in declared.items()}
        assert (refusal(table, Stored(1, stored), "p") is None) == same == (differences(table, stored) == "")


def test_another_definition_is_refused_and_none_counts_as_the_first_rule():
    def table(**definition) -> Table:
        return dataclasses.replace(OLD, definition=definition)

    columns, first = dict(OLD.column_types), table(rule=1, windows=[7])
    for stored, declared, fits in (
        (first.semantic_hash, first, True),
        (first.semantic_hash, table(windows=[7], rule=1), True),
        (first.semantic_hash, table(rule=1, windows=[1]), False),
        (None, first, True),
        (None, table(rule=2, windows=[7]), False),
        (None, OLD, True),
        (first.semantic_hash, OLD, False),
    ):
        text = refusal(declared, Stored(1, columns, stored), "p")
        assert (text is None) == fits and (fits or "another definition" in text)


def test_a_parquet_table_of_before_definitions_gets_its_note_with_the_next_write(spark, warehouse):
    warehouse.overwrite_partition(USER_FEATURES, features(spark, "u"), **PLACE)
    place = Path(warehouse.path(USER_FEATURES)) / VERSION_FILE
    whole = json.loads(place.read_text())
    place.write_text(json.dumps({k: v for k, v in whole.items() if k not in ("semantic_hash", "definition")}))
    again(warehouse).overwrite_partition(USER_FEATURES, features(spark, "v"), **PLACE)
    assert json.loads(place.read_text()) == whole and whole["semantic_hash"] == USER_FEATURES.semantic_hash
    other = dataclasses.replace(USER_FEATURES, definition={**USER_FEATURES.definition, "rule": 2})
    with pytest.raises(InputError, match="follows another definition"):
        again(warehouse).overwrite_partition(other, features(spark, "w"), **PLACE)
    assert [r.user_id for r in again(warehouse).read(USER_FEATURES).collect()] == ["v"]


def test_every_table_is_listed_and_those_with_problems_are_counted(old, spark, capsys):
    warehouse, rows = old
    assert migrate_tables(Warehouse(spark, warehouse.root, read_only=True), WAREHOUSE_TABLES) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == [t.name for t in WAREHOUSE_TABLES]
    assert "stored 1, declared 2; to 2: adds born_dt, themes" in printed and f"{RUNS.name:<32} not there" in printed
    with pytest.raises(InputError):
        again(warehouse).read(CLUSTERS)
    spark.sql(f"ALTER TABLE delta.`{warehouse.path(CLUSTER_MEMBERS)}` SET TBLPROPERTIES ('{VERSION_PROPERTY}' = '9')")
    assert migrate_tables(warehouse, WAREHOUSE_TABLES) == 1
    assert found(again(warehouse), CLUSTERS) == wanted(rows, CLUSTERS)
