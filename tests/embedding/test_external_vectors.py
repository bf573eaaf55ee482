"""Imported vectors: typed refusals against a naive reading, nothing twice, and a clustering without an image."""

from __future__ import annotations

import datetime
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bannermap.clustering import cluster_vectors
from bannermap.clustering.job import STAGE as CLUSTER
from bannermap.embedding.external import RowChecker
from bannermap.embedding.importing import Import, import_stage
from bannermap.platform.cli import run_stage
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import BANNER_DAYS, CLUSTER_MEMBERS, EMBEDDINGS, EXTERNAL_VECTORS, REGISTRY_DAYS, REJECTS
from bannermap.report.job import STAGE as REPORT

DAY = datetime.date(2026, 5, 4)
NAMES = [f"banner-{i:03d}" for i in range(200)]


def planted(seed: int, n: int = 200, d: int = 24) -> np.ndarray:
    """Groups of near copies, a few strangers; of any length."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, d))
    rows = centres[rng.integers(12, size=n)] + 0.15 * rng.normal(size=(n, d))
    rows[:8] = rng.normal(size=(8, d))
    return rows * rng.uniform(0.1, 30, size=(n, 1))


def write(path, ids, vectors, kind=None, **columns) -> str:
    """Parquet with the given columns; ``kind`` is the type of the vectors."""
    kind = kind or pa.list_(pa.float64())
    names = {"id": pa.array(ids, pa.string()), "vector": pa.array([None if v is None else list(v) for v in vectors], kind)}
    pq.write_table(pa.table({columns.get(c, c): a for c, a in names.items()}), path)
    return str(path)


def load(warehouse, settings, path, day=DAY, name="resnet50", **options):
    return run_stage(import_stage(Import(path, name, **options)), warehouse, settings, day)


def naive_reason(name, vector, dimensions) -> str | None:
    if not name:
        return "no_id"
    if vector is None:
        return "no_vector"
    if len(vector) != dimensions:
        return "other_dimensions"
    if any(v is None or math.isnan(v) or math.isinf(v) for v in vector):
        return "not_finite"
    return "zero_vector" if all(v == 0 for v in vector) else None


def odd_rows(seed: int, n: int) -> tuple[list, list]:
    rng = np.random.default_rng(seed)
    kinds = [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1.0], [], None, [1.0, None, 2.0], [math.nan, 1.0, 1.0], [1.0, -math.inf, 0.0]]
    vectors = [kinds[k] if k else list(rng.normal(size=3)) for k in rng.integers(len(kinds), size=n)]
    return [[None, "", "a", "b", "c"][k] for k in rng.integers(5, size=n)], vectors


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
@pytest.mark.parametrize("seed", range(5))
def test_rows_are_refused_for_the_reasons_of_a_naive_reading(seed, kind):
    ids, vectors = odd_rows(seed, 80)
    whole = RowChecker(3).checked(pa.array(ids, pa.string()), pa.array(vectors, pa.list_(kind)))
    cut = RowChecker(3).checked(pa.array(ids, pa.string())[10:60], pa.array(vectors, pa.list_(kind))[10:60])
    assert whole.to_pylist()[10:60] == cut.to_pylist()
    for row, name, vector in zip(whole.to_pylist(), ids, vectors, strict=True):
        assert row["reason"] == naive_reason(name, vector, 3)
        assert row["dimensions"] == (None if vector is None else len(vector))
        if row["reason"]:
            assert row["vector"] is None
        else:
            length = math.sqrt(sum(v * v for v in vector))
            assert row["vector"] == pytest.approx([v / length for v in vector], abs=1e-6)


def test_lists_of_whole_numbers_are_vectors():
    (row,) = RowChecker(2).checked(pa.array(["a"]), pa.array([[3, 4]], pa.list_(pa.int64()))).to_pylist()
    assert row["vector"] == pytest.approx([0.6, 0.8])


@pytest.fixture(scope="module")
def imported(spark, base_settings, tmp_path_factory):
    """Two hundred vectors and bad rows beside them, imported once; banner_days has all but the last ten."""
    home = tmp_path_factory.mktemp("imported")
    warehouse, vectors = Warehouse(spark, str(home / "warehouse")), planted(0)
    days = [(DAY, name, None, "adv", None, None, 1, 0) for name in NAMES[:190]]
    warehouse.overwrite_partition(BANNER_DAYS, spark.createDataFrame(days, BANNER_DAYS.schema), dt=DAY)
    warehouse.merge(REGISTRY_DAYS, spark.createDataFrame([(DAY, 190, 190, 190, 190, 0)], REGISTRY_DAYS.schema))
    bad = {None: vectors[0], "zero": np.zeros(24), "short": [1.0], "nan": [math.nan] * 24, "none": None}
    twice = {"twice": vectors[1]}
    ids = [*NAMES, *bad, "twice", "twice", NAMES[5]]
    rows = [*vectors, *bad.values(), twice["twice"], vectors[2], vectors[5]]
    path = write(home / "in.parquet", ids, rows)
    settings = base_settings.model_copy(update={"paths": base_settings.paths.model_copy(update={"report": str(home / "report")})})
    return warehouse, settings, vectors, path, load(warehouse, settings, path)


def contents(warehouse, *tables) -> list:
    return [sorted(map(str, warehouse.read(t).collect())) for t in tables]


def test_what_can_be_used_is_stored_at_unit_length(imported):
    warehouse, _, vectors, _, run = imported
    stored = {r.content_hash: r.vector for r in warehouse.read(EMBEDDINGS).where("encoder_id = 'external-resnet50'").collect()}
    assert sorted(stored) == [f"external:{n}" for n in NAMES]
    for name, vector in zip(NAMES, vectors, strict=True):
        assert stored[f"external:{name}"] == pytest.approx(vector / np.linalg.norm(vector), abs=1e-6)
    assert (run.rows_in, run.rows_out, run.metrics["banners_seen_in_logs"]) == (208, 200, 190)
    assert {(r.banner_id, r.imported_dt) for r in warehouse.read(EXTERNAL_VECTORS).collect()} == {(n, DAY) for n in NAMES}


def test_what_cannot_is_counted_by_reason(imported):
    warehouse, _, _, _, run = imported
    wanted = {"no_id": 1, "zero_vector": 1, "other_dimensions": 1, "not_finite": 1, "no_vector": 1, "conflicting_vectors": 2}
    assert run.rejected == wanted
    stored = warehouse.read(REJECTS).collect()
    assert {r.reason: r.rows for r in stored} == wanted and {r.job for r in stored} == {"import_embeddings"}
    assert json.loads(next(r.row_json for r in stored if r.reason == "other_dimensions")) == {
        "encoder_id": "external-resnet50",
        "id": "short",
        "dimensions": 1,
    }


def test_importing_again_completes_what_was_cut_off_and_changes_nothing_else(imported):
    warehouse, settings, _, path, _ = imported
    before = contents(warehouse, EMBEDDINGS, EXTERNAL_VECTORS, REJECTS)
    warehouse.spark.sql(f"DELETE FROM delta.`{warehouse.path(EXTERNAL_VECTORS)}` WHERE banner_id < 'banner-100'")
    again = load(warehouse, settings, path, name="external-resnet50")
    assert again.rows_out == 0 and contents(warehouse, EMBEDDINGS, EXTERNAL_VECTORS, REJECTS) == before


def test_stored_vectors_never_change_and_rounding_is_no_change(imported, tmp_path, capsys):
    warehouse, settings, vectors, _, _ = imported
    before = contents(warehouse, EMBEDDINGS, EXTERNAL_VECTORS)
    moved = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    moved[:3] = moved[3:6]
    later = DAY + datetime.timedelta(days=1)
    run = load(warehouse, settings, write(tmp_path / "f", NAMES, moved, pa.list_(pa.float32(), 24)), later)
    assert run.rejected == {"changed_vector": 3} and run.rows_out == 0
    assert "never change" in capsys.readouterr().out
    assert contents(warehouse, EMBEDDINGS, EXTERNAL_VECTORS) == before


def test_a_clustering_needs_no_image_and_is_that_of_the_vectors(imported):
    warehouse, settings, _, _, _ = imported
    run = run_stage(CLUSTER, warehouse, settings, DAY)
    rows = {r.banner_id: r for r in warehouse.read(CLUSTER_MEMBERS).collect()}
    stored = {r.content_hash: r.vector for r in warehouse.read(EMBEDDINGS).collect()}
    names = NAMES[:190]
    matrix = np.array([stored[f"external:{n}"] for n in names], np.float32)
    labels = cluster_vectors(matrix, settings.clustering, [f"external:{n}" for n in names])
    assert sorted(rows) == names and run.metrics["clusters"] == labels.max() + 1 >= 10
    pairs = {(rows[n].cluster_id, int(label)) for n, label in zip(names, labels, strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert [rows[n].cluster_id is None for n in names] == (labels < 0).tolist()
    made = run_stage(REPORT, warehouse, settings, DAY)
    assert made.rows_out == run.metrics["clusters"]


def test_an_earlier_day_does_not_see_what_came_later(imported):
    warehouse, settings, _, _, _ = imported
    before = DAY - datetime.timedelta(days=1)
    day = [(before, NAMES[0], None, None, None, None, 1, 0)]
    warehouse.overwrite_partition(BANNER_DAYS, warehouse.spark.createDataFrame(day, BANNER_DAYS.schema), dt=before)
    with pytest.raises(InputError, match="has a vector"):
        run_stage(CLUSTER, warehouse, settings, before)


def test_a_clustering_names_the_setting_where_there_are_several(imported, tmp_path):
    warehouse, settings, vectors, _, _ = imported
    other = write(tmp_path / "o", NAMES[:5], vectors[:5, :7], id="creative", vector="v")
    run = load(warehouse, settings, other, name="small", id_kind="content_hash", id_column="creative", vector_column="v")
    assert run.rows_out == 5 and warehouse.read(EXTERNAL_VECTORS).where("encoder_id = 'external-small'").isEmpty()
    hashes = {r.content_hash for r in warehouse.read(EMBEDDINGS).where("encoder_id = 'external-small'").collect()}
    assert hashes == set(NAMES[:5])
    with pytest.raises(InputError, match=r"clustering\.encoder_id.*external-resnet50"):
        run_stage(CLUSTER, warehouse, settings, DAY)
    with pytest.raises(InputError, match="has vectors by banner_id"):
        load(warehouse, settings, other, id_kind="content_hash", id_column="creative", vector_column="v")


@pytest.mark.parametrize("options, words", [
    ({"id_column": "nope"}, "has no column nope; it has id, vector"),
    ({"vector_column": "id"}, "lists of numbers"),
])  # fmt: skip
def test_an_input_of_another_shape_is_refused_with_words(warehouse, base_settings, tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        load(warehouse, base_settings, write(tmp_path / "f", ["a"], [[1.0]]), **options)


def test_nothing_to_import(warehouse, base_settings, tmp_path):
    with pytest.raises(InputError, match="There is nothing at"):
        load(warehouse, base_settings, str(tmp_path / "absent"))
    with pytest.raises(InputError, match="has a vector"):
        load(warehouse, base_settings, write(tmp_path / "f", ["a"], [None]))


@pytest.mark.parametrize("name", ["", "a/b", "external-", "x" * 101, "a b"])
def test_a_name_that_cannot_be_a_folder_is_refused_before_spark_starts(base_settings, name):
    with pytest.raises(ConfigError, match="--encoder-id"):
        import_stage(Import("p", name)).check(base_settings)
