"""A model's clusters in the tables of any clustering: sums and medoids by loops, features, report and experiment by them."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import apply_strategy
import compare_feature_sets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from lab_worlds import planted
from pyspark.sql import functions as F

from bannermap.clustering.lending import seen_pictures
from bannermap.experiment.gathering import of_warehouse
from bannermap.experiment.grid import cells, check_clusters
from bannermap.features.job import STAGE as FEATURES
from bannermap.features.layout import laid_out
from bannermap.lab import applied, grouping
from bannermap.lab.applying import stage as applying
from bannermap.lab.arrow_vectors import lists_of
from bannermap.lab.assigning import stage as assigning
from bannermap.lab.training import load
from bannermap.platform import tables as T
from bannermap.platform.cli import Stage, main, run_stage
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.settings import ExperimentSettings, GridSet, GridSettings, LabSettings
from bannermap.platform.storage import Warehouse
from bannermap.platform.vectors import vector_faults
from bannermap.report.job import STAGE as REPORT

FIRST, ENCODER, DAYS, PER_DAY = datetime.date(2026, 5, 1), "enc", 3, 30
TYPES = ("request", "impression", "click")


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def put(warehouse, table, rows):
    warehouse.append(table, warehouse.spark.createDataFrame(rows, table.schema))


def events(seed: int, banners: list[str], number: int) -> pd.DataFrame:
    """Requests and impressions of a day's banners; a third is clicked."""
    rng = np.random.default_rng([seed, number])
    found = []
    for user in range(30):
        for place in range(4):
            at = datetime.datetime.combine(day(number), datetime.time(9, user, place), datetime.UTC)
            banner, request = str(rng.choice(banners)), f"r{number}-{user}-{place}"
            kinds = TYPES if rng.random() < 0.3 else TYPES[:2]
            for delay, kind in enumerate(kinds):
                row = {"event_id": f"{request}-{kind}", "event_type": kind, "user_id": f"u{user}", "banner_id": banner}
                when = at + datetime.timedelta(seconds=delay)
                found.append(row | {"event_ts": when, "request_id": request, "app_id": f"a{user % 3}"})
    frame = pd.DataFrame(found).assign(campaign_id="c", placement_id="p")
    return frame.assign(event_ts=frame["event_ts"].dt.as_unit("us"))


def put_partials(warehouse, settings, logs: pd.DataFrame) -> None:
    """The log days as `build_user_features` takes them in."""
    table = T.user_banner_days(settings.features.user_buckets)
    each = (
        logs.assign(dt=logs.event_ts.dt.date).groupby(["dt", "user_id", "banner_id", "event_type"]).size().unstack(fill_value=0)
    )
    counts = each.rename(columns=T.count_column).reset_index()
    frame = warehouse.spark.createDataFrame(counts)
    bucket = F.expr(f"CAST(pmod(xxhash64(user_id), {settings.features.user_buckets}) AS INT)")
    days = [day(n) for n in range(DAYS)]
    warehouse.overwrite_partitions(table, laid_out(table.select(frame.withColumn("user_bucket", bucket))), "dt", days)
    put(warehouse, T.EVENT_LOG_DAYS, [(d, 1, 1, "digest", [d], [d], None, True) for d in days])


@pytest.fixture(scope="module")
def world(spark, base_settings, tmp_path_factory):
    """Days of banners and events without any clustering, through the whole grid: settings that go by its model, the warehouse,
    folder of the model, vectors by banner, lines of the table."""
    home = tmp_path_factory.mktemp("applied")
    warehouse = Warehouse(spark, str(home / "warehouse"))
    rows = DAYS * PER_DAY
    vectors, _ = planted(6, rows, groups=4, spread=0.3)
    names, of_day = [f"b{i:03d}" for i in range(rows)], [i // PER_DAY for i in range(rows)]
    seen = [(day(d), n, d0) for n, d0 in zip(names, of_day, strict=True) for d in range(d0, DAYS)]
    put(warehouse, T.BANNER_DAYS, [(d, n, f"u/{n}", "shop", None, None, 1, 0) for d, n, _ in seen])
    put(warehouse, T.REGISTRY_DAYS, [(day(d), *[90] * (len(T.REGISTRY_DAYS.columns) - 1)) for d in range(DAYS)])
    pictures = [n if n != "b001" else "b000" for n in names]  # two banners that show the same
    fetched = [
        (n, f"u/{n}", "ok", None, f"c-{p}", f"p-{p}", 9, "png", 300, 250, 1, day(d), None)
        for n, p, d in zip(names, pictures, of_day, strict=True)
    ]
    put(warehouse, T.IMAGE_FETCHES, fetched)
    stored = dict(zip(pictures, vectors, strict=True))
    put(warehouse, T.EMBEDDINGS, [(ENCODER, f"c-{p}", v.tolist(), None) for p, v in stored.items()])
    logs = [events(3, names[: (number + 1) * PER_DAY], number) for number in range(DAYS)]
    for number, log in enumerate(logs):
        folder = home / "log" / f"dt={day(number)}"
        folder.mkdir(parents=True)
        log.to_parquet(folder / "part.parquet")
    changes = {
        "lab": LabSettings(encoder_ids=(ENCODER,)),
        "clustering": base_settings.clustering.model_copy(update={"theme_counts": (2, 3)}),
        "features": base_settings.features.model_copy(update={"wide_themes": 2}),
        "paths": base_settings.paths.model_copy(update={"event_log": str(home / "log"), "report": str(home / "report")}),
        "experiment": ExperimentSettings(models=("logistic",), bootstrap_replicates=100, min_slice_clicks=10_000, themes=2),
        "feature_grid": GridSettings(clusters=(2,), sets={"requests": GridSet(events=("request",)), "all": GridSet(share=True)}),
    }
    settings = base_settings.model_copy(update=changes)
    put_partials(warehouse, settings, pd.concat(logs))
    lines = compare_feature_sets.compare(warehouse, settings, day(2))
    (folder,) = Path(warehouse.root, "lab", "models").iterdir()
    assignment = settings.assignment.model_copy(update={"model_id": folder.name})
    own = settings.model_copy(update={"assignment": assignment})
    return own, warehouse, str(folder), {n: stored[p] for n, p in zip(names, pictures, strict=True)}, lines


def test_sums_in_parts_are_those_of_the_whole_and_of_loops():
    rng = np.random.default_rng(5)
    vectors, _ = planted(2, 90)
    labels = rng.integers(-1, 4, 90) * 3  # outliers below 0, and numbers with gaps
    whole = grouping.groups_of(labels, vectors)
    parts = grouping.together([grouping.groups_of(labels[rows], vectors[rows]) for rows in np.split(rng.permutation(90), 5)])
    for name in ("labels", "pictures", "sums"):
        assert (getattr(whole, name) == getattr(parts, name)).all()
    for place, label in enumerate(whole.labels):
        rows = np.flatnonzero(labels == label)
        cosines = vectors[rows].astype(float) @ vectors[rows].T.astype(float)
        others = cosines.sum(axis=1) - np.diag(cosines)
        assert whole.pictures[place] == len(rows)
        assert whole.cohesion[place] == pytest.approx(others.sum() / (len(rows) * (len(rows) - 1)), abs=1e-6)
        assert grouping.similarity_sums(labels[rows], vectors[rows], whole) == pytest.approx(others, abs=1e-5)
    assert grouping.groups_of(np.array([7]), vectors[:1]).cohesion.tolist() == [1.0]


@pytest.mark.parametrize("most_cells", [1, 24 * 12, 1 << 23])
def test_tasks_hold_few_sums_and_each_cluster_comes_back_once(monkeypatch, most_cells):
    rng = np.random.default_rng(7)
    vectors, _ = planted(3, 400)
    labels = rng.integers(-1, 20, 400)
    whole = grouping.groups_of(labels, vectors)
    monkeypatch.setattr(grouping, "MOST_CELLS", most_cells)
    monkeypatch.setattr(applied, "ROWS_PER_BATCH", 3)
    tasks = []
    for rows in np.split(rng.permutation(400), 4):
        batches = [pa.record_batch({"label": labels[r], "vector": lists_of(vectors[r])}) for r in np.split(rows, 10)]
        tasks += applied._sum_kernel(iter(batches))
    assert sum(b.num_rows for b in tasks) >= len(whole.labels)
    shuffled = pa.Table.from_batches(tasks).sort_by("label").to_batches(max_chunksize=7)
    found = applied._in_order([applied._unpacked(b) for b in applied._together_kernel(iter(shuffled))][::-1])
    for name in ("labels", "pictures", "sums"):
        assert (getattr(found, name) == getattr(whole, name)).all()


def test_sums_on_spark_are_those_of_all_pictures(spark):
    vectors, _ = planted(3, 120)
    labels = np.random.default_rng(2).integers(-1, 9, 120)
    rows = [(f"n{i}", 1, int(c), v.tolist()) for i, (c, v) in enumerate(zip(labels, vectors, strict=True))]
    found = applied.groups_of_pictures(spark.createDataFrame(rows, applied.PICTURES).repartition(3))
    whole = grouping.groups_of(labels, vectors)
    assert all((getattr(found, name) == getattr(whole, name)).all() for name in ("labels", "pictures", "sums"))
    with pytest.raises(InputError, match="no picture of the day"):
        applied.groups_of_pictures(spark.createDataFrame([("n", 1, -1, [1.0, 0.0])], applied.PICTURES))


def test_pictures_that_cannot_be_clustered_are_rejected_in_the_words_of_cluster_banners(world, tmp_path):
    settings, whole, folder, *_ = world
    shutil.copytree(whole.root, tmp_path / "warehouse")
    warehouse = Warehouse(whole.spark, str(tmp_path / "warehouse"))
    odd = {"zero_vector": [0.0] * 24, "not_finite": [float("nan")] * 24, "other_dimensions": [1.0] * 5}
    names = [*odd, "twin"]
    put(warehouse, T.BANNER_DAYS, [(day(2), n, f"u/{n}", "shop", None, None, 1, 0) for n in names])
    pictures = {n: (f"c-{n}", f"p-{n}") for n in odd} | {"twin": ("a-file-without-vector", "p-b000")}
    fetched = [(n, f"u/{n}", "ok", None, *pictures[n], 9, "png", 300, 250, 1, day(2), None) for n in names]
    put(warehouse, T.IMAGE_FETCHES, fetched)
    put(warehouse, T.EMBEDDINGS, [(ENCODER, f"c-{n}", v, None) for n, v in odd.items()])
    done = run_stage(applying(folder, seen_pictures), warehouse, settings, day(2))
    rejects = warehouse.read(T.REJECTS).where("job = 'apply_strategy'").collect()
    assert {r["reason"]: json.loads(r["row_json"]) for r in rejects} == {n: {"node_id": f"p-{n}"} for n in odd}
    assert done.rejected == dict.fromkeys(odd, 1) and done.rows_in == 89 and done.rows_out == 91
    run_stage(assigning(folder, seen_pictures), warehouse, settings, day(2))
    reasons = {r["banner_id"]: r["reason"] for r in warehouse.read(T.BANNER_ASSIGNMENTS).where(F.col("dt") == day(2)).collect()}
    assert {n: reasons[n] for n in odd} == {n: n for n in odd}, "in the same words"
    assert list(reasons.values()).count("model") == done.rows_out, "a file without a vector takes that of its equal pixels"
    rows = warehouse.read(T.EMBEDDINGS).withColumn("node_id", F.col("content_hash"))
    said = {r["node_id"]: r["reason"] for r in vector_faults(rows, 24).collect()}
    assert {node: reason for node, reason in said.items() if reason} == {f"c-{n}": n for n in odd}


def test_a_models_clustering_is_that_of_its_assignments_and_its_medoids_those_of_loops(world):
    settings, warehouse, folder, vectors, _ = world
    saved = load(warehouse.spark, folder)
    (row,) = [r for r in warehouse.read(T.MODEL_CLUSTERINGS).collect() if r["dt"] == day(2)]
    of = warehouse.read(T.CLUSTER_MEMBERS).where(f"clustering_id = '{row['clustering_id']}'")
    members = of.toPandas().set_index("banner_id")
    assert sorted(members.index) == sorted(vectors) and row["banners"] == 90 and row["nodes"] == 89 and row["sequence"] == 1
    run_stage(assigning(folder, seen_pictures), warehouse, settings, day(2))
    assigned = warehouse.read(T.BANNER_ASSIGNMENTS).toPandas().set_index("banner_id")
    assert (members.cluster_id.sort_index() == assigned.cluster_id.sort_index()).all()
    assert members.themes.map(dict).to_dict() == assigned.themes.map(dict).to_dict()
    clusters = warehouse.read(T.CLUSTERS).where(f"clustering_id = '{row['clustering_id']}'").collect()
    assert len(clusters) == row["clusters"] == 2 and sum(c["size"] for c in clusters) == 90
    for cluster in clusters:
        mine = members[members.cluster_id == cluster["cluster_id"]]
        names = sorted({p.removeprefix("p-") for p in mine.pixel_hash})
        points = np.array([vectors[n] for n in names], float)
        near = (points @ points.T).sum(axis=1)
        assert cluster["medoid"] == f"p-{names[near.argmax()]}" and cluster["nodes"] == len(names)
        cosines = np.array([vectors[n] for n in mine.index], float) @ points[near.argmax()]
        assert mine.similarity_to_medoid.to_numpy() == pytest.approx(cosines, abs=1e-6)
        assert {dict(t)[2] for t in mine.themes} == {cluster["themes"][2]}
    themes = warehouse.read(T.THEMES).where(f"clustering_id = '{row['clustering_id']}' AND k = 2").orderBy("slot").collect()
    assert [t["slot"] for t in themes] == [1, 2] and sum(t["banners"] for t in themes) == 90
    assert np.allclose(np.linalg.norm([t["centroid"] for t in themes], axis=1), 1.0, atol=1e-6)
    assert saved.themes[2].shape == (2, 24) and all(t["theme_id"].startswith(saved.model_id) for t in themes)


def test_the_experiment_knows_the_place_of_a_banner_that_came_after_its_publication(world):
    settings, warehouse, folder, _, _ = world
    named = {r["dt"]: r["clustering_id"] for r in warehouse.read(T.MODEL_CLUSTERINGS).collect()}
    run_stage(assigning(folder, seen_pictures), warehouse, settings, day(2))
    found = []

    def probe(context):
        rows = of_warehouse(context, lambda *_: None).placed.collect()
        found.extend((r["clustering_id"], r["banner_id"], r["cluster_id"], r["slot"]) for r in rows)

    run_stage(Stage("probe", probe), warehouse, settings, day(2))
    by = {(clustering, banner): place for clustering, banner, *place in found}
    assert len(by) == len(found) == 3 * 90  # as of each day, also of those 30 or 60 banners that nobody had seen by then
    assert all(by[named[day(0)], banner] == place for (clustering, banner), place in by.items() if clustering == named[day(2)])
    assert {slot for _, slot in by.values()} == {1, 2}
    run_stage(Stage("probe", lambda c: found.clear() or probe(c)), warehouse, settings, day(1))
    assert len(found) == 30 + 60  # what was placed on the day after is not known yet


def test_features_experiment_and_report_go_by_a_model(world):
    settings, warehouse, _, _, lines = world
    counts = warehouse.read(T.USER_CLUSTER_COUNTS)
    assert {r[0].rsplit("-", 1)[0] for r in counts.select("cluster_id").distinct().collect()} == {settings.assignment.model_id}
    counted = counts.where(f"dt = '{day(2)}'").selectExpr("sum(requests_30d)", "sum(impressions_1d)").collect()[0]
    assert list(counted) == [DAYS * 120, 120]
    assert len(warehouse.read(T.FEATURE_PUBLICATIONS).collect()) == len(warehouse.read(T.MODEL_CLUSTERINGS).collect()) == DAYS
    assert [(x.cell.clusters, x.cell.features) for x in lines] == [(2, 2), (2, 12)]
    assert all(x.verdict in ("helps", "hurts", "can't tell") and 0 < x.loss < 1 for x in lines)
    (table,) = Path(warehouse.root, "experiment").glob("grid-*/table.md")
    assert table.read_text().count("\n") == 4 and all(f"| {x.verdict} |" in table.read_text() for x in lines)
    assert [r["verdict"] for r in json.loads((table.parent / "table.json").read_text())] == [x.verdict for x in lines]
    run_stage(REPORT, warehouse, settings, day(2))
    page = Path(settings.paths.report, "index.html").read_text()
    (name,) = [r[0] for r in warehouse.read(T.MODEL_CLUSTERINGS).where(f"dt = '{day(2)}'").select("clustering_id").collect()]
    assert name in page and "2 of 2 clusters" in page


def test_refusals(world, base_settings):
    settings, warehouse, folder, *_ = world
    more = settings.clustering.model_copy(update={"theme_counts": (2, 3, 7)})
    with pytest.raises(InputError, match="has no 7 themes"):
        run_stage(applying(folder, seen_pictures), warehouse, settings.model_copy(update={"clustering": more}), day(2))
    other = settings.assignment.model_copy(update={"model_id": "2026-05-01-0123456789ab"})
    with pytest.raises(InputError, match="apply_strategy --model"):
        run_stage(FEATURES, warehouse, settings.model_copy(update={"assignment": other}), day(2))
    with pytest.raises(InputError, match="2 complete days"):
        compare_feature_sets.compare(warehouse, settings, day(1))
    grid = base_settings.model_copy(update={"feature_grid": GridSettings(clusters=(5, 6))})
    with pytest.raises(ConfigError, match="clusters has 6"):
        check_clusters(grid)
    assert [c.features for c in cells(base_settings)] == [5, 15, 30, 10, 30, 60, 15, 45, 90]
    assert main(apply_strategy.JOB, ["--date", "2026-05-01"]) == 2
