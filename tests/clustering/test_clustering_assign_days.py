"""`assign_banners` over days of real tables: each banner against a loop over the world, and nothing else is touched or read."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from daily_world import ENCODER, Shown, day, growing_world, store
from test_clustering_assign_rule import cosine, naive_nearest

from bannermap.clustering.assignment_job import STAGE
from bannermap.clustering.job import STAGE as CLUSTER
from bannermap.platform.cli import run_stage
from bannermap.platform.errors import InputError
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    BANNER_ASSIGNMENTS,
    BANNER_DAYS,
    CLUSTER_MEMBERS,
    CLUSTERINGS,
    CLUSTERS,
    EMBEDDINGS,
    IMAGE_FETCHES,
    RUNS,
    WAREHOUSE_TABLES,
)

pytestmark = pytest.mark.slow
DAYS, CLUSTERED = 4, 2
"""Days that the world has, and the first of them that are clustered."""


@pytest.fixture(scope="module")
def settings(base_settings):
    clustering = base_settings.clustering.model_copy(update={"initial_threshold": 0.7, "theme_counts": (2, 4)})
    return base_settings.model_copy(update={"clustering": clustering})


def odd_banners(banners: list[Shown]) -> list[Shown]:
    """Of the last day: pictures of the first days on new banners, a vector of zeros, strangers, and a close copy of a picture;
    and a stranger of all days, a member in no cluster."""
    rng, last = np.random.default_rng(8), (DAYS - 1,)
    early = [b for b in banners if b.days[0] < CLUSTERED]
    twins = [Shown(f"twin-{b.banner_id}", b.pixel_hash, b.vector, last, 100, 50, 4000) for b in early[::3]]
    zeros = Shown("zeros", "p-zeros", np.zeros(12, np.float32), last, 100, 50, 4000)
    far = [Shown(f"far-{n}", f"p-far-{n}", v, last, 9, 9, 9) for n, v in enumerate(np.eye(12, dtype=np.float32)[:3] * -1)]
    stranger = Shown("stranger", "p-stranger", np.eye(12, dtype=np.float32)[11], tuple(range(DAYS)), 9, 9, 9)
    near = early[1].vector + rng.normal(scale=0.01, size=12)
    return [
        *twins,
        zeros,
        *far,
        stranger,
        Shown("near", "p-near", (near / np.linalg.norm(near)).astype(np.float32), last, 9, 9, 9),
    ]


def store_pictureless(warehouse) -> None:
    """Three banners of the last day without a vector: never fetched, failed, fetched only after it; and one that shows another
    picture than as a member, from a new address."""
    spark, last = warehouse.spark, day(DAYS - 1)
    kept = [tuple(r) for r in warehouse.read(BANNER_DAYS).where(f"dt = DATE'{last}'").collect()]
    added = [(last, b, f"u/{b}", None, None, None, 1, 0) for b in ("never", "failed", "later")]
    added.append((last, "moved", "u/elsewhere", None, None, None, 1, 0))
    warehouse.overwrite_partition(BANNER_DAYS, spark.createDataFrame(kept + added, BANNER_DAYS.schema), dt=last)
    fetches = [
        ("failed", "u/failed", "timeout", "slow", None, None, None, None, None, None, None, last, last),
        ("later", "u/later", "ok", None, "c-near", "p-near", 9, "png", 9, 9, 1, day(DAYS), None),
        ("moved", "u/elsewhere", "ok", None, "c-near", "p-near", 9, "png", 9, 9, 1, last, None),
    ]
    warehouse.merge(IMAGE_FETCHES, spark.createDataFrame(fetches, IMAGE_FETCHES.schema))


@pytest.fixture(scope="module")
def world(spark, settings, tmp_path_factory) -> tuple[Warehouse, list[Shown]]:
    """Four days of banners, of which the first two are clustered."""
    warehouse, banners = Warehouse(spark, str(tmp_path_factory.mktemp("world"))), growing_world(np.random.default_rng(12), DAYS)
    banners.append(Shown("moved", "p-moved", banners[0].vector, (0,), 9, 9, 9))
    banners += odd_banners(banners)
    for number in range(CLUSTERED):
        store(warehouse, [b for b in banners if b.days[0] <= number], range(number, number + 1))
        run_stage(CLUSTER, warehouse, settings, day(number))
    store(warehouse, banners, range(CLUSTERED, DAYS))
    store_pictureless(warehouse)
    return warehouse, banners


def named(settings, name):
    return settings.model_copy(update={"assignment": settings.assignment.model_copy(update={"clustering_id": name})})


def clustering_of(warehouse, number: int) -> str:
    rows = warehouse.read(CLUSTERINGS).where(f"dt = DATE'{day(number)}'").collect()
    return max(rows, key=lambda r: r["sequence"])["clustering_id"]


def assigned(warehouse, number: int, name: str) -> dict:
    rows = warehouse.read(BANNER_ASSIGNMENTS).where(f"dt = DATE'{day(number)}' AND clustering_id = '{name}'").collect()
    assert len({r["banner_id"] for r in rows}) == len(rows)
    return {r["banner_id"]: r for r in rows}


def said(rows: dict) -> dict[str, tuple]:
    columns = ("pixel_hash", "cluster_id", "reason", "nearest_pixel_hash", "nearest_banner_id", "cosine", "threshold")
    return {b: tuple(r[c] for c in columns) for b, r in rows.items()}


def naive(warehouse, banners: list[Shown], number: int, name: str) -> dict[str, tuple]:
    """The same, by looking at every member for every banner of the day."""
    members = {r["banner_id"]: r for r in warehouse.read(CLUSTER_MEMBERS).where(f"clustering_id = '{name}'").collect()}
    thresholds = {r["cluster_id"]: r["threshold"] for r in warehouse.read(CLUSTERS).where(f"clustering_id = '{name}'").collect()}
    vectors = {b.pixel_hash: b.vector for b in banners}
    cluster_of = {r["pixel_hash"]: r["cluster_id"] for r in members.values()}
    smallest = {p: min(b for b, r in members.items() if r["pixel_hash"] == p) for p in cluster_of}
    inside = {p: vectors[p] for p, c in cluster_of.items() if c}
    shown = {b.banner_id: b.pixel_hash for b in banners}
    result = {}
    for row in warehouse.read(BANNER_DAYS).where(f"dt = DATE'{day(number)}'").collect():
        banner = row["banner_id"]
        picture = "p-near" if row["image_url"] == "u/elsewhere" else shown.get(banner)
        if picture is None:
            said = (None, "no_vector", None, None, None, None)
        elif picture in cluster_of:
            cluster, member = cluster_of[picture], banner in members and members[banner]["pixel_hash"] == picture
            reason = "member" if member else "same_picture"
            place = (None, None, None) if member else (picture, smallest[picture], 1.0)
            said = (cluster, reason, *place, thresholds.get(cluster))
        elif not vectors[picture].any():
            said = (None, "zero_vector", None, None, None, None)
        else:
            near, score = naive_nearest(vectors[picture], inside)
            threshold = thresholds[cluster_of[near]]
            joins = float(score) >= threshold
            reason = "nearest_picture" if joins else "too_far"
            said = (cluster_of[near] if joins else None, reason, near, smallest[near], score, threshold)
        result[banner] = (picture, *said)
    return result


def versions(warehouse, *but) -> dict[str, int]:
    tables = [t for t in WAREHOUSE_TABLES if t.format == "delta" and t not in but and warehouse.exists(t)]
    return {t.name: warehouse.spark.sql(f"DESCRIBE HISTORY delta.`{warehouse.path(t)}`").count() for t in tables}


@pytest.fixture(scope="module")
def last_run(world, settings):
    """The last day by the newest clustering; what the tables were before."""
    warehouse, _ = world
    before = versions(warehouse, RUNS)
    return run_stage(STAGE, warehouse, settings, day(DAYS - 1)), before


def test_banners_get_what_a_loop_gives_them(world, last_run):
    warehouse, banners = world
    name = clustering_of(warehouse, CLUSTERED - 1)
    found = said(assigned(warehouse, DAYS - 1, name))
    assert found == naive(warehouse, banners, DAYS - 1, name)
    reasons = Counter(row[2] for row in found.values())
    assert set(reasons) == {"member", "same_picture", "nearest_picture", "too_far", "no_vector", "zero_vector"}
    assert reasons["no_vector"] == 3 and any(row[1] is None for row in found.values() if row[2] == "member")


def test_the_run_counts_banners_by_reason(world, last_run):
    warehouse, _ = world
    run, rows = last_run[0], assigned(warehouse, DAYS - 1, clustering_of(warehouse, CLUSTERED - 1)).values()
    counts = Counter(r["reason"] for r in rows) | {"in_a_cluster": sum(r["cluster_id"] is not None for r in rows)}
    assert (run.rows_in, run.rows_out) == (len(rows), len(rows))
    assert {n: int(run.metrics[f"banners_{n}"]) for n in counts} == counts and run.metrics["banners_not_finite"] == 0
    assert all(run.metrics[f"share_{n}"] == c / len(rows) for n, c in counts.items())
    assert run.metrics["clustering_age_days"] == DAYS - CLUSTERED
    assert tuple(run.phase_seconds) == STAGE.phases


def test_similarity_and_themes_agree_with_the_clustering(world, last_run):
    warehouse, banners = world
    name = clustering_of(warehouse, CLUSTERED - 1)
    vectors = {b.pixel_hash: b.vector for b in banners}
    clusters = {r["cluster_id"]: r for r in warehouse.read(CLUSTERS).where(f"clustering_id = '{name}'").collect()}
    members = {r["banner_id"]: r for r in warehouse.read(CLUSTER_MEMBERS).where(f"clustering_id = '{name}'").collect()}
    for banner, row in assigned(warehouse, DAYS - 1, name).items():
        if row["reason"] == "member":
            assert all(row[c] == members[banner][c] for c in ("similarity_to_medoid", "themes", "cluster_id", "pixel_hash"))
        elif row["cluster_id"]:
            cluster = clusters[row["cluster_id"]]
            assert row["similarity_to_medoid"] == cosine(vectors[row["pixel_hash"]], vectors[cluster["medoid"]])
            assert row["themes"] == cluster["themes"]
        else:
            assert row["similarity_to_medoid"] is None
            assert (row["themes"] is None) == (row["reason"] in ("no_vector", "zero_vector"))


def test_only_the_assignments_are_written(world, last_run):
    warehouse, _ = world
    after = versions(warehouse, RUNS, BANNER_ASSIGNMENTS)
    assert {n: v for n, v in last_run[1].items() if n != BANNER_ASSIGNMENTS.name} == after


def test_a_rerun_in_other_blocks_changes_nothing(world, last_run, settings):
    warehouse, _ = world
    name = clustering_of(warehouse, CLUSTERED - 1)
    before = assigned(warehouse, DAYS - 1, name)
    for block_rows, partitions in ((5, "1"), (settings.clustering.block_rows, "5")):
        clustering = settings.clustering.model_copy(update={"block_rows": block_rows})
        changed = settings.model_copy(update={"clustering": clustering})
        was = warehouse.spark.conf.get("spark.sql.shuffle.partitions")
        warehouse.spark.conf.set("spark.sql.shuffle.partitions", partitions)
        try:
            run_stage(STAGE, warehouse, changed, day(DAYS - 1))
        finally:
            warehouse.spark.conf.set("spark.sql.shuffle.partitions", was)
        assert assigned(warehouse, DAYS - 1, name) == before


def test_a_clusterings_own_day_gives_its_own_clusters(world, settings):
    warehouse, _ = world
    for number in range(CLUSTERED):
        name = clustering_of(warehouse, number)
        run_stage(STAGE, warehouse, settings, day(number))
        members = {r["banner_id"]: r for r in warehouse.read(CLUSTER_MEMBERS).where(f"clustering_id = '{name}'").collect()}
        found = assigned(warehouse, number, name)
        assert found and {r["reason"] for r in found.values()} == {"member"}
        columns = ("cluster_id", "similarity_to_medoid", "themes", "pixel_hash")
        assert all([row[c] for c in columns] == [members[b][c] for c in columns] for b, row in found.items())


def test_an_older_clustering_stands_beside_the_newest_and_nothing_later_is_read(world, last_run, settings):
    """After the day, too: another day of banners, fetched and clustered, changes no assignment."""
    warehouse, banners = world
    newest, older = (clustering_of(warehouse, n) for n in (CLUSTERED - 1, 0))
    before = assigned(warehouse, DAYS - 1, newest)
    run_stage(STAGE, warehouse, named(settings, older), day(DAYS - 1))
    assert said(assigned(warehouse, DAYS - 1, older)) == naive(warehouse, banners, DAYS - 1, older)
    fresh = [Shown(f"new-{b.banner_id}", f"new-{b.pixel_hash}", -b.vector, (DAYS,), 9, 9, 9) for b in banners if b.vector.any()]
    later = Warehouse(warehouse.spark, warehouse.root)
    store(later, fresh, range(DAYS, DAYS + 1))
    run_stage(CLUSTER, later, settings, day(DAYS))
    run_stage(STAGE, later, settings, day(DAYS - 1))
    assert assigned(warehouse, DAYS - 1, newest) == before
    with pytest.raises(InputError, match="could not have been known"):
        run_stage(STAGE, later, named(settings, clustering_of(later, DAYS)), day(DAYS - 1))


def test_what_cannot_be_assigned_by_is_refused_and_writes_nothing(world, last_run, settings, tmp_path, capsys):
    warehouse, _ = world
    name = clustering_of(warehouse, 0)
    before = versions(warehouse, RUNS)
    with pytest.raises(InputError, match="none of that name"):
        run_stage(STAGE, warehouse, named(settings, f"{name[:-1]}x"), day(1))
    other = settings.clustering.model_copy(update={"encoder_id": "another"})
    with pytest.raises(InputError, match="cannot be compared"):
        run_stage(STAGE, warehouse, named(settings.model_copy(update={"clustering": other}), name), day(1))
    with pytest.raises(InputError, match="banner_days has nothing"):
        run_stage(STAGE, warehouse, settings, day(20))
    with pytest.raises(InputError, match="no table clusterings"):
        run_stage(STAGE, Warehouse(warehouse.spark, str(tmp_path)), settings, day(0))
    assert versions(warehouse, RUNS) == before
    dry = Warehouse(warehouse.spark, warehouse.root, read_only=True)
    run_stage(STAGE, dry, settings, day(1))
    assert versions(warehouse, RUNS) == before
    assert f"by {clustering_of(warehouse, 1)}" in capsys.readouterr().out


def test_a_clustering_of_which_vectors_are_gone_is_refused(spark, settings, tmp_path):
    warehouse, banners = Warehouse(spark, str(tmp_path)), growing_world(np.random.default_rng(3), 1)
    store(warehouse, banners, range(1))
    run_stage(CLUSTER, warehouse, settings, day(0))
    inside = warehouse.read(CLUSTER_MEMBERS).where("NOT is_outlier").orderBy("banner_id").head(1)[0]
    copies = [b.banner_id for b in banners if b.pixel_hash == inside["pixel_hash"]]
    gone = ", ".join(f"'c-{b}'" for b in copies)
    spark.sql(f"DELETE FROM delta.`{warehouse.path(EMBEDDINGS)}` WHERE encoder_id = '{ENCODER}' AND content_hash IN ({gone})")
    with pytest.raises(InputError, match="embed_banners"):
        run_stage(STAGE, warehouse, settings, day(0))
    assert not warehouse.exists(BANNER_ASSIGNMENTS)
