"""The job from tables to documents on Spark, against what is written out by hand; run again, dry, with the database away."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pytest
from published_worlds import FIRST, content, random_world, told_cluster, told_retired

from bannermap.platform.cli import run_stage
from bannermap.platform.errors import ConfigError, ServiceError
from bannermap.platform.storage import Warehouse
from bannermap.platform.tables import (
    CLUSTER_LINEAGE,
    CLUSTER_MEMBERS,
    CLUSTER_TAGS,
    CLUSTERINGS,
    CLUSTERS,
    IMAGE_FETCHES,
    RUNS,
)
from bannermap.publish.job import STAGE
from bannermap.publish.publication import CLUSTERS as DOCUMENTS
from bannermap.publish.publication import JOBS
from bannermap.publish.reading import published_job, read_published, retired_clusters

SECRET = "n0b0dy-sees-this"


def put(warehouse, table, rows):
    """Rows given as mappings; what they do not name is null."""
    frame = warehouse.spark.createDataFrame([tuple(row.get(c) for c in table.columns) for row in rows], table.schema)
    warehouse.append(table, frame)


def store(warehouse, worlds):
    """Worlds as the clustering and the analyses leave them, each table in one commit."""
    rows: dict = {t.name: [] for t in (CLUSTERINGS, CLUSTERS, CLUSTER_MEMBERS, CLUSTER_LINEAGE, CLUSTER_TAGS, IMAGE_FETCHES)}
    for world in worlds:
        own = {"clustering_id": world.clustering_id}
        settings = json.dumps({"k_neighbors": 30})
        figures = {"nodes": 7, "banners": 9, "clusters": len(world.clusters), "outliers": len(world.outliers)}
        row = {**own, "dt": world.dt, "sequence": world.sequence, "state": "current", "encoder_id": "e", "settings": settings}
        rows["clusterings"].append({**row, **figures})
        rows["cluster_members"] += [{**own, "banner_id": b, "pixel_hash": "p", "is_outlier": True} for b in world.outliers]
        for cluster in world.clusters:
            name = {**own, "cluster_id": cluster["cluster_id"]}
            rows["clusters"].append({**cluster, **name})
            rows["cluster_members"] += [{**name, **m, "path": cluster["path"], "is_outlier": False} for m in cluster["members"]]
            rows["cluster_tags"] += [{**name, "rank": n, "tag": tag} for n, tag in enumerate(cluster["tags"], 1)]
        for cluster in (*world.clusters, *world.retired):
            rows["cluster_lineage"] += [{**own, "cluster_id": cluster["cluster_id"], **e} for e in cluster["lineage"]]
    pictures = {r["pixel_hash"] for r in rows["cluster_members"]}
    for n, picture in enumerate(sorted(pictures)):
        for content_hash in (f"d-{picture}", f"c-{picture}"):
            rows["image_fetches"].append(
                {"banner_id": f"{n}{content_hash}", "image_url": "u", "content_hash": content_hash, "pixel_hash": picture}
            )
    for table in (CLUSTERINGS, CLUSTERS, CLUSTER_MEMBERS, CLUSTER_LINEAGE, CLUSTER_TAGS, IMAGE_FETCHES):
        put(warehouse, table, rows[table.name])


@pytest.fixture
def settings(base_settings, publish_settings, connection, monkeypatch):
    """The configuration, and an environment that names the server."""
    monkeypatch.setenv(publish_settings.uri_variable, f"{connection.uri}&appName={SECRET}")
    return base_settings.model_copy(update={"publish": publish_settings})


def everything(database):
    return list(database[JOBS].find().sort("_id", 1)), sorted(map(str, database[DOCUMENTS].find()))


def agrees(database, world, per_page):
    found = read_published(database, world.clustering_id)
    clusters = sorted(world.clusters, key=lambda c: c["cluster_id"])
    assert [content(c) for c in found.clusters] == [told_cluster(world, c, per_page) for c in clusters]
    retired = [content(d) for d in retired_clusters(database, found.job)]
    assert retired == [told_retired(world, c) for c in world.retired]
    statistics = found.job["statistics"]
    sizes = [c["size"] for c in clusters]
    assert (statistics["clusters"], statistics["banners"], statistics["largest_cluster"]) == (len(clusters), 9, max(sizes))
    assert statistics["mean_cohesion"] == pytest.approx(np.average([c["cohesion"] for c in clusters], weights=sizes))
    assert found.job["members"] == sum(sizes) and found.job["parameters"] == {"k_neighbors": 30}


def test_days_are_published_once_kept_by_count_and_unharmed_by_a_database_that_is_away(warehouse, settings, shelf, line, capfd):
    rng, database = np.random.default_rng(20), shelf.database
    old, first, second = worlds = [random_world(rng, day, most=9) for day in (0, 1, 2)]
    store(warehouse, worlds)
    made_by = {"job": "cluster_banners", "dt": first.dt, "status": "succeeded", "run_id": "r", "seconds": 2.0}
    started = {"started_at": datetime.datetime(2026, 3, 9), "metrics": {"audit.recall": 0.99}, "phase_seconds": {"a b": 1.5}}
    put(warehouse, RUNS, [{**made_by, **started}, {**made_by, "status": "failed", "run_id": "later"}])
    dry = Warehouse(warehouse.spark, warehouse.root, read_only=True)
    run_stage(STAGE, dry, settings, first.dt)
    assert everything(database) == ([], [])

    done = run_stage(STAGE, warehouse, settings, first.dt)
    agrees(database, first, 3)
    job = published_job(database)
    assert (job["run"]["run_id"], job["audit"], job["timings_s"]) == ("r", {"audit_recall": 0.99}, {"a b": 1.5})
    assert done.rows_out == job["members"] and done.metrics["documents"] == job["documents"] == database[
        DOCUMENTS
    ].count_documents({})
    before = everything(database)
    again = run_stage(STAGE, warehouse, settings, first.dt)
    assert everything(database) == before and not again.rows_out

    line.cut_after = 4000
    with pytest.raises(ServiceError, match="is away: 3 tries"):
        run_stage(STAGE, warehouse, settings, second.dt)
    line.mend()
    assert read_published(database).job["_id"] == first.clustering_id
    run_stage(STAGE, warehouse, settings, second.dt)
    agrees(database, second, 3)
    database[DOCUMENTS].delete_one({"clustering_id": second.clustering_id})
    run_stage(STAGE, warehouse, settings, second.dt)
    agrees(database, second, 3)
    run_stage(STAGE, warehouse, settings, old.dt)
    assert [p["_id"] for p in shelf.published()] == [second.clustering_id, first.clustering_id]
    assert len(database[DOCUMENTS].distinct("publication_id")) == 2

    out, err = capfd.readouterr()
    assert "publish_clusters" in out and SECRET not in out + err and SECRET not in str(everything(database))
    runs = warehouse.read(RUNS).collect()
    assert "is away" in str(runs) and SECRET not in str(runs)


def test_a_login_that_the_server_refuses_is_told_without_it(warehouse, settings, connection, monkeypatch, capfd):
    store(warehouse, [random_world(np.random.default_rng(1), 0)])
    address = connection.uri.removeprefix("mongodb://")
    monkeypatch.setenv(settings.publish.uri_variable, f"mongodb://user:{SECRET}@{address}&authSource=admin")
    with pytest.raises((ConfigError, ServiceError)) as caught:
        run_stage(STAGE, warehouse, settings, FIRST)
    out, err = capfd.readouterr()
    assert "MongoDB at 127.0.0.1" in str(caught.value)
    assert SECRET not in f"{caught.value}{out}{err}{warehouse.read(RUNS).collect()}"


def test_without_an_address_the_job_ends_before_spark(base_settings, monkeypatch):
    monkeypatch.delenv("BANNERMAP_MONGODB_URI", raising=False)
    with pytest.raises(ConfigError, match="needs the address of MongoDB"):
        STAGE.check(base_settings)
