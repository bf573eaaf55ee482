"""The jobs on a small warehouse: compare, train, assign later days; a file of vectors; refusals; what a dry run leaves."""

from __future__ import annotations

import datetime
import io
import json
import shutil
from pathlib import Path

import assign_banners
import compare_strategies
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import train_strategy
from lab_worlds import planted
from PIL import Image

from bannermap.clustering.lending import seen_pictures
from bannermap.lab import gathering as g
from bannermap.lab import sampling, training
from bannermap.lab.assigning import stage as assigning
from bannermap.lab.chance import adjusted_rand
from bannermap.lab.fitting import Configuration, Preparation
from bannermap.lab.job import compare_all, files_mode, gathered_pictures
from bannermap.lab.models import SavedModel
from bannermap.lab.naming import comparison_hash, file_name
from bannermap.lab.page import SHEET_CLUSTERS
from bannermap.lab.training import Choice, chosen_configuration
from bannermap.platform.cli import run_stage
from bannermap.platform.config import settings_json
from bannermap.platform.errors import ConfigError, InputError
from bannermap.platform.runs import JobContext, Run
from bannermap.platform.sequences import next_sequence
from bannermap.platform.settings import LabSettings, LabTrainSettings
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    BANNER_ASSIGNMENTS,
    BANNER_DAYS,
    EMBEDDINGS,
    IMAGE_BYTES,
    IMAGE_FETCHES,
    LAB_LABELS,
    LAB_RESULTS,
)

FIRST, ENCODER, OTHER = datetime.date(2026, 5, 1), "enc", "second"
ROWS, NEW = 240, 60
COMPARE, TRAIN = compare_strategies.JOB.stages[0], train_strategy.JOB.stages[0]


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def put(warehouse, table, rows):
    warehouse.append(table, warehouse.spark.createDataFrame(rows, table.schema))


def png(colour) -> bytearray:
    target = io.BytesIO()
    Image.new("RGB", (60, 40), tuple(int(c) for c in colour)).save(target, "PNG")
    return bytearray(target.getvalue())


@pytest.fixture(scope="module")
def stored(spark, base_settings, tmp_path_factory):
    """Two days of pictures and a third of newcomers from the same groups; settings; the truth by banner."""
    home = tmp_path_factory.mktemp("lab")
    warehouse = Warehouse(spark, str(home / "warehouse"))
    vectors, truth = planted(4, ROWS + NEW, spread=0.3)
    names, of_day = [f"b{i:04d}" for i in range(ROWS + NEW)], [0] * 120 + [1] * (ROWS - 120) + [2] * NEW
    shop = [f"shop{g}" for g in truth]
    put(warehouse, BANNER_DAYS, [(day(d), n, f"u/{n}", s, None, None, 1, 0) for n, d, s in zip(names, of_day, shop, strict=True)])
    fetched = [
        (n, f"u/{n}", "ok", None, f"c-{n}", f"p-{n}", 9, "png", 300, 250, 1, day(d), None)
        for n, d in zip(names, of_day, strict=True)
    ]
    put(warehouse, IMAGE_FETCHES, fetched)
    put(warehouse, EMBEDDINGS, [(ENCODER, f"c-{n}", v.tolist(), None) for n, v in zip(names, vectors, strict=True)])
    turned = np.roll(vectors, 3, axis=1)[: ROWS - 40]  # another encoder, which has not seen all pictures
    put(warehouse, EMBEDDINGS, [(OTHER, f"c-{n}", v.tolist(), None) for n, v in zip(names, turned, strict=False)])
    colours = np.random.default_rng(8).integers(0, 255, (ROWS, 3))
    put(warehouse, IMAGE_BYTES, [(f"c-{n}", png(c)) for n, c in zip(names[: ROWS - 20], colours, strict=False)])
    pairs = {"banner_a": ["b0000", "b0001"], "banner_b": ["b0002", "b0003"], "alike": [True, False]}
    pq.write_table(pa.table(pairs), home / "pairs.parquet")
    pq.write_table(pa.table({"banner_id": ["b0005"]}), home / "targets.parquet")
    lab = LabSettings(
        mode="fast",
        encoder_ids=(ENCODER,),
        strategies=("recursive", "dbscan", "hdbscan"),
        sample_rows=200,
        bootstrap_replicates=20,
        pairs=str(home / "pairs.parquet"),
        targets=str(home / "targets.parquet"),
        split="day",
        test_share=0.7,
    )
    return base_settings.model_copy(update={"lab": lab}), warehouse, dict(zip(names, truth, strict=True))


@pytest.fixture(scope="module")
def compared(stored):
    """The rows of the results, and summary.json, of a comparison as of the second day."""
    settings, warehouse, _ = stored
    run = run_stage(COMPARE, warehouse, settings, day(1))
    (summary,) = Path(warehouse.root, "lab").glob("*/summary.json")
    return warehouse.read(LAB_RESULTS).collect(), json.loads(summary.read_text()), summary.parent, run


def test_a_comparison_is_told_in_tables_and_files(stored, compared):
    settings, warehouse, _ = stored
    rows, summary, folder, run = compared
    assert run.rows_in == ROWS and run.rows_out == 200
    (told,) = summary["encoders"]
    assert {r["configuration"] for r in rows} == {c["name"] for c in told["configurations"]}
    (best,) = [r for r in rows if r["recommended"]]
    assert {r["sequence"] for r in rows} == {1} and json.loads(best["preparation"]) == vars(Preparation())
    assert best["place"] == 1 and best["configuration"] == told["recommended"] and best["stability"] > 0.5
    assert 0 < told["held_out"] <= 140 and told["learning_curve"] and told["reason"] and not told["budget_bound"]
    assert {"held_out_silhouette", "advertiser_ami", "pairs_right"} <= set(best["figures"])
    page = (folder / "index.html").read_text()
    assert all(c["name"] in page for c in told["configurations"]) and told["recommended"] in page
    assert page.count("<svg") >= 4 and "How much data is enough?" in page and "http" not in page.replace("http://www.w3.org", "")
    drawn = sorted((folder / "mosaics" / ENCODER).glob("*/*.webp"))
    each = {of.name: len(list(of.glob("*.webp"))) for of in (folder / "mosaics" / ENCODER).iterdir()}
    assert run.metrics["mosaics"] == len(drawn)
    assert page.count('<img alt="cluster') == sum(min(SHEET_CLUSTERS, count) for count in each.values())
    left_out = told["mosaics_left_out"]
    assert left_out["beyond_setting"] == 0 and each[file_name(told["recommended"])] == best["figures"]["clusters"] - sum(
        left_out.values()
    )
    (target,) = told["targets"]
    assert target["node_id"] == "p-b0005" and f'<img alt="{target["node_id"]}"' in page and 0 < len(target["nearest"]) <= 5
    assert {r["figures"]["targets_clustered"] for r in rows if r["figures"]} <= {0.0, 1.0}
    assert best["figures"]["targets_silhouette"] == pytest.approx(target["silhouette"] or 0.0)
    assert {r["clustering"] for r in rows} == {settings_json(settings.clustering)}
    assert {Image.open(p).format for p in drawn} == {"WEBP"} and page.index(told["recommended"]) < page.index("data:image")
    index = json.loads((folder / "labels" / ENCODER / "index.json").read_text())
    assert {"p-b0000", "p-b0001", "p-b0002", "p-b0003", "p-b0005"} <= set(index["node_ids"])
    labels = warehouse.read(LAB_LABELS).toPandas()
    for file, name in index["files"].items():
        stored_labels = labels[labels.configuration == name].set_index("node_id").label
        again = np.load(folder / "labels" / ENCODER / file)
        assert (stored_labels.reindex(index["node_ids"]).fillna(-1).to_numpy() == again).all()


def test_the_winner_is_trained_and_places_later_days(stored, compared, tmp_path):
    settings, warehouse, truth = stored
    run_stage(TRAIN, warehouse, settings, day(1))
    (folder,) = Path(warehouse.root, "lab", "models").iterdir()
    assert {p.name for p in folder.iterdir() if p.suffix in (".json", ".npz")} == {"model.json", "arrays.npz"}
    run_stage(TRAIN, warehouse, settings, day(1))  # again: the same model, under the same name
    assert [p.name for p in Path(warehouse.root, "lab", "models").iterdir()] == [folder.name]
    given = assigning(str(folder), seen_pictures)
    for _ in range(2):
        run_stage(given, warehouse, settings, day(2))
    rows = warehouse.read(BANNER_ASSIGNMENTS).collect()
    assert len(rows) == NEW and {r["reason"] for r in rows} == {"model"} and {r["clustering_id"] for r in rows} == {folder.name}
    names = sorted({r["cluster_id"] for r in rows if r["cluster_id"]})
    labels = np.array([names.index(r["cluster_id"]) if r["cluster_id"] else -1 for r in rows])
    groups = np.array([str(truth[r["banner_id"]]) for r in rows])
    assert (labels >= 0).mean() > 0.8 and adjusted_rand(labels[labels >= 0], groups[labels >= 0]) > 0.95
    with pytest.raises(InputError, match="could not have been known"):
        run_stage(given, warehouse, settings, day(0))
    description = json.loads((folder / "model.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.json").write_text(json.dumps({**description, "encoder_id": "another"}))
    (other / "arrays.npz").write_bytes((folder / "arrays.npz").read_bytes())
    with pytest.raises(InputError, match=r"another.*enc"):
        run_stage(assigning(str(other), seen_pictures), warehouse, settings, day(2))
    with pytest.raises(InputError, match="There is no model"):
        run_stage(assigning(str(tmp_path), seen_pictures), warehouse, settings, day(2))


def context_of(warehouse, settings, **lab) -> JobContext:
    own = settings.model_copy(update={"lab": settings.lab.model_copy(update=lab)})
    return JobContext(warehouse, own, day(1), Run("train_strategy", day(1)))


def test_what_is_trained_is_what_the_newest_comparison_recommends_as_it_was_compared(stored, tmp_path):
    settings, shared, _ = stored
    warehouse = Warehouse(shared.spark, str(tmp_path / "warehouse"))
    row = {"dt": day(1), "encoder_id": ENCODER, "strategy": "kmeans", "recommended": True}
    told = [
        ("z", 1, 5, '{"kept": null, "bucketing": "none", "cells": 8}'),
        ("a", 2, 6, '{"kept": 4, "bucketing": "cell", "cells": 3}'),
    ]
    rows = [
        row | {"comparison_id": name, "sequence": number, "parameters": json.dumps({"clusters": k}), "preparation": before}
        for name, number, k, before in told
    ]
    rows.append(rows[0] | {"comparison_id": "zz", "sequence": None, "preparation": None, "configuration": "kmeans(clusters=5)"})
    put(warehouse, LAB_RESULTS, [tuple(r.get(c) for c in LAB_RESULTS.columns) for r in rows])
    chosen = chosen_configuration(context_of(warehouse, settings, pca_dimensions=9))
    assert chosen == Choice(ENCODER, Configuration("kmeans", {"clusters": 6}, Preparation(4, "cell", 3)), settings.clustering)
    shutil.rmtree(tmp_path / "warehouse")
    put(warehouse, LAB_RESULTS, [tuple(rows[2].get(c) for c in LAB_RESULTS.columns)])  # of before preparations were noted
    assert chosen_configuration(context_of(warehouse, settings)).configuration.preparation == Preparation()
    with pytest.raises(ConfigError, match=r"kmeans\(clusters=5\).*kmeans\(clusters=5, pca=9\)"):
        chosen_configuration(context_of(warehouse, settings, pca_dimensions=9))


def recommended_row(strategy: str, parameters: dict, clustering: str | None) -> tuple:
    """Of a comparison of the third day, which no other test reads."""
    before = json.dumps(vars(Preparation()))
    told = {"comparison_id": "c", "dt": day(2), "sequence": 1, "encoder_id": ENCODER, "recommended": True, "figures": {}}
    told |= {"strategy": strategy, "parameters": json.dumps(parameters), "preparation": before, "clustering": clustering}
    return tuple((told | {"configuration": f"{strategy}(...)"}).get(c) for c in LAB_RESULTS.columns)


def test_what_goes_by_the_section_clustering_is_trained_by_that_of_its_comparison(stored, tmp_path):
    settings, shared, truth = stored
    section = settings.clustering.model_copy(update={"min_group_size": 50})
    put(shared, LAB_RESULTS, [recommended_row("recursive", {"initial_threshold": 0.6}, settings_json(section))])
    lab = settings.lab.model_copy(update={"targets": None, "pairs": None, "out": str(tmp_path)})
    made: list[SavedModel] = []
    try:
        run_stage(training.stage(compare_strategies.GIVEN, made.append), shared, settings.model_copy(update={"lab": lab}), day(2))
    finally:
        shared.overwrite_partition(LAB_RESULTS, shared.spark.createDataFrame([], LAB_RESULTS.schema), comparison_id="c")
    (rule,) = made[0].model.rules.values()
    sizes = np.bincount(rule.labels)
    groups = np.bincount(list(truth.values()))
    assert groups.min() < 50 <= groups.max() and sizes.min() >= 50 and len(sizes) <= (groups >= 50).sum()
    description = json.loads((tmp_path / "models" / made[0].model_id / "model.json").read_text())
    assert description["parameters"]["clustering"] == json.loads(settings_json(section))
    assert description["parameters"]["initial_threshold"] == 0.6


def test_a_comparison_that_did_not_note_the_section_clustering_is_refused_where_it_matters(stored, tmp_path):
    settings, shared, _ = stored
    unknown = json.dumps(json.loads(settings_json(settings.clustering)) | {"of_another_version": 1})
    told = [("recursive", None, False), ("pic", None, False), ("pic", unknown, False), ("kmeans", None, True)]
    told.append(("pic", settings_json(settings.clustering), True))
    for number, (strategy, noted, taken) in enumerate(told):
        warehouse = Warehouse(shared.spark, str(tmp_path / str(number)))
        put(warehouse, LAB_RESULTS, [recommended_row(strategy, {"clusters": 5}, noted)])
        context = JobContext(warehouse, settings, day(2), Run("train_strategy", day(2)))
        if taken:
            assert chosen_configuration(context).clustering == settings.clustering
            continue
        with pytest.raises(InputError, match=rf"{strategy}.*section clustering.*compare_strategies again.*strategy={strategy}"):
            chosen_configuration(context)


def test_comparisons_of_other_encoders_or_other_clustering_settings_stand_beside_each_other(stored):
    settings, *_ = stored
    other = settings.model_copy(update={"clustering": settings.clustering.model_copy(update={"k_neighbors": 7})})
    names = [comparison_hash(settings, [ENCODER]), comparison_hash(settings, [OTHER]), comparison_hash(other, [ENCODER])]
    assert len(set(names)) == 3 and names[0] == comparison_hash(settings, [ENCODER])
    assert next_sequence({}, "a") == 1 and next_sequence({"a": 1}, "b") == 2 and next_sequence({"a": 1, "b": 2}, "b") == 2
    assert next_sequence({"a": 1, "b": 2}, "a") == 3 and next_sequence({"a": None}, "a") == 1


def test_a_configured_strategy_needs_no_comparison_and_a_dry_run_writes_nothing(stored):
    settings, warehouse, _ = stored
    train = LabTrainSettings(strategy="dbscan", parameters={"min_cosine": 0.8, "min_samples": 4})
    own = settings.model_copy(update={"lab": settings.lab.model_copy(update={"train": train, "out": f"{warehouse.root}/dry"})})
    dry = Warehouse(warehouse.spark, warehouse.root, read_only=True)
    assert run_stage(TRAIN, dry, own, day(1)).rows_out == ROWS
    assert not Path(warehouse.root, "dry").exists()
    nothing = settings.lab.model_copy(update={"encoder_ids": ("encc",)})
    with pytest.raises(InputError, match="Did you mean 'enc'"):
        run_stage(COMPARE, dry, settings.model_copy(update={"lab": nothing}), day(1))


def test_encoders_are_compared_on_the_pictures_that_all_have(stored):
    settings, warehouse, _ = stored
    both = settings.lab.model_copy(update={"encoder_ids": (ENCODER, OTHER), "sample_rows": 1000, "strategies": ("recursive",)})
    context = JobContext(warehouse, settings.model_copy(update={"lab": both}), day(1), Run("compare_strategies", day(1)))
    found = gathered_pictures(context, compare_strategies.GIVEN, both.sample_rows)
    assert found.known == ROWS - 40 and list(found.pictures) == [ENCODER, OTHER]
    one, other = found.pictures[ENCODER], found.pictures[OTHER]
    assert (one.names == other.names).all() and np.allclose(np.roll(one.vectors, 3, axis=1), other.vectors, atol=1e-6)
    done = compare_all(found, context.settings, compare_strategies.GIVEN.tools(warehouse.spark, settings), lambda text: None, {})
    chosen, again = (d.outcome.recommendation.chosen for d in done)
    assert chosen == again  # turning all vectors alike changes nothing
    open_choice = context.settings.model_copy(update={"lab": both.model_copy(update={"encoder_ids": ()})})
    with pytest.raises(InputError, match="name those to compare"):
        run_stage(COMPARE, warehouse, open_choice, day(1))


def test_what_must_be_in_the_sample_is_in_it_however_many_pictures_there_are(stored, monkeypatch, capsys):
    settings, warehouse, _ = stored
    vectors, _ = planted(5, 60)
    kinds = ", ".join(f"{c} {t}" for c, t in sampling.FACTS.items())
    rows = [(f"n{i:02d}", None, day(0), 1, 1, None, v.tolist()) for i, v in enumerate(vectors)]
    frame = warehouse.spark.createDataFrame(rows, f"{kinds}, vector array<float>")
    targets, pairs = [f"n{i:02d}" for i in range(0, 60, 7)], [("n01", "n02", True), ("n03", "nowhere", False)]
    monkeypatch.setattr(sampling, "MOST_FACTS", 5)
    known = frame.select(*sampling.FACTS)
    found = g.gathered({ENCODER: frame}, known, sampling.Named(targets, pairs), 14, settings.lab)
    names = found.pictures[ENCODER].names.tolist()
    assert {*targets, "n01", "n02", "n03"} <= set(names) and len(set(names)) == len(names) == 14
    assert found.known == 60 and len(found.pairs.one) == 1
    assert found.pictures[ENCODER].names[found.targets].tolist() == targets
    assert "1 of 13 pictures that lab.targets and lab.pairs name" in capsys.readouterr().out


def test_a_file_of_vectors(stored, tmp_path):
    settings, warehouse, _ = stored
    vectors, truth = planted(5, 150, spread=0.3)
    names, rows = [f"h{i:03d}" for i in range(150)], vectors.tolist()
    bad = {"zeros": [0.0] * 24, "not finite": [float("nan")] * 24, "absent": None, "h000": rows[0]}  # the last comes twice
    classes = [*(str(g) for g in truth), "x", "x", "x", str(truth[0])]
    columns = {"content_hash": [*names, *bad], "vector": [*rows, *bad.values()], "truth": classes}
    pq.write_table(pa.table(columns), tmp_path / "vectors.parquet")
    lab = settings.lab.model_copy(
        update={"targets": None, "pairs": None, "split": "banner", "test_share": 0.2, "strategies": ("recursive", "dbscan")}
        | {"scatter": "umap"}
    )
    values = {"embeddings": str(tmp_path / "vectors.parquet"), "out": str(tmp_path / "out")}
    files_mode(compare_strategies.GIVEN).run(warehouse.spark, settings.model_copy(update={"lab": lab}), values)
    (told,) = json.loads((tmp_path / "out" / "summary.json").read_text())["encoders"]
    assert told["would_have_been_chosen_by"]["truth_ari"] and told["held_out"] == 30
    assert told["targets"] == [] and told["mosaics_left_out"] is None
    assert len(pq.read_table(tmp_path / "out" / "results")) == len(told["configurations"])
    assert "(UMAP)" in (tmp_path / "out" / "index.html").read_text()
    with pytest.raises(InputError, match="vector"):
        pq.write_table(pa.table({"content_hash": ["a"]}), tmp_path / "none.parquet")
        none = {**values, "embeddings": str(tmp_path / "none.parquet")}
        files_mode(compare_strategies.GIVEN).run(warehouse.spark, settings, none)
    for name in ("targets", "pairs"):
        asked = settings.lab.model_copy(update={"targets": None, "pairs": None, name: "names.parquet"})
        with pytest.raises(ConfigError, match=f"lab.{name} names banners"):
            files_mode(compare_strategies.GIVEN).check(settings.model_copy(update={"lab": asked}))


def test_what_is_compared_again_leaves_out_what_had_no_time_before(stored, tmp_path, capsys):
    settings, warehouse, _ = stored
    vectors, _ = planted(5, 150, spread=0.3)
    table = pa.table({"content_hash": [f"h{i:03d}" for i in range(150)], "vector": vectors.tolist()})
    pq.write_table(table, tmp_path / "vectors.parquet")
    asked = {"targets": None, "pairs": None, "split": "banner", "strategies": ("recursive", "dbscan"), "curve_shares": ()}
    values = {"embeddings": str(tmp_path / "vectors.parquet"), "out": str(tmp_path / "out")}
    summary = tmp_path / "out" / "summary.json"

    def again(change=None, **other):
        if change:
            summary.write_text(change(json.loads(summary.read_text())))
        lab = settings.lab.model_copy(update={**asked, **other})
        files_mode(compare_strategies.GIVEN).run(warehouse.spark, settings.model_copy(update={"lab": lab}), values)
        (told,) = json.loads(summary.read_text())["encoders"]
        untried = {c["name"] for c in told["configurations"] if c["status"] == "untried"}
        return untried, told["left_out_for_want_of_time"], "repeats the comparison" in capsys.readouterr().out

    def without_time(told):
        (one,) = told["encoders"]
        missed = next(c for c in one["configurations"] if c["strategy"] == "dbscan")
        one["left_out_for_want_of_time"] = [f"{missed['name']} on {missed['rows']} pictures"]
        return json.dumps(told)

    assert again() == (set(), [], False)
    assert again() == (set(), [], True)
    untried, left_out, repeated = again(without_time)
    assert repeated and len(left_out) == 1 and [f"{name} on" in left_out[0] for name in untried] == [True]
    assert again() == (untried, left_out, True)
    assert again(budget_s=1e5) == (set(), [], False)
    assert again(lambda told: json.dumps(told)[:-9]) == (set(), [], False)  # killed while it was written
    assert again(lambda told: json.dumps(told | {"bannermap_version": "0"})) == (set(), [], False)
    pq.write_table(table.slice(0, 149), tmp_path / "vectors.parquet")
    assert again() == (set(), [], False)


def test_assign_banners_takes_a_model_or_a_clustering():
    from bannermap.clustering.assignment_job import STAGE
    from bannermap.platform.cli import parser

    options = parser(assign_banners.JOB)
    with_model = assign_banners.REQUEST.stage(options.parse_args(["--date", "2026-05-01", "--model", "there"]))
    assert with_model.name == "assign_banners" and with_model is not STAGE
    assert assign_banners.REQUEST.stage(options.parse_args(["--date", "2026-05-01"])) is STAGE
