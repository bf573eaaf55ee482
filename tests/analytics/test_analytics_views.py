"""Each view on a small warehouse; what a server had at any moment, against trying every moment."""

from __future__ import annotations

import datetime
import json
import random
import re

import pytest
from analytics_worlds import cluster, day, frame
from repository import ROOT

from bannermap.analytics.views import VIEWS, register_views, view_sql
from bannermap.platform.tables import (
    CLUSTER_DAYS,
    CLUSTER_MEMBERS,
    CLUSTER_TAGS,
    CLUSTER_TRENDS,
    CLUSTERINGS,
    CLUSTERS,
    FEATURE_PUBLICATIONS,
    MODEL_CLUSTERINGS,
    USER_CLUSTER_COUNTS,
    USER_FEATURES,
)


def publications(rng: random.Random, names: str = "ab", hours: int = 80) -> list[dict]:
    """Features of four days by some clusterings, some corrected, available in any order within some hours."""
    rows = []
    for n in range(4):
        for clustering in rng.sample(names, rng.randint(1, len(names))):
            for revision in range(1, rng.randint(2, 4)):
                at = datetime.datetime.combine(day(n + 1), datetime.time()) + datetime.timedelta(hours=rng.randrange(hours))
                key = {"dt": day(n), "clustering_id": clustering, "revision": revision}
                rows.append(key | {"available_at": at, "users": 1})
    return rows


def served(rows: list[dict], at: datetime.datetime, sequences: dict[str, int] | None = None) -> tuple | None:
    """What a server uses at a moment; of clusterings that came together the one with the greater number."""
    first = {}
    for r in rows:
        key = r["dt"], r["clustering_id"]
        first[key] = min(first.get(key, r["available_at"]), r["available_at"])
    there = [r for r in rows if r["available_at"] <= at]
    numbers = sequences or {}
    order = [
        (r["dt"], first[k], numbers.get(k[1], 0), k[1], r["revision"]) for r in there for k in [(r["dt"], r["clustering_id"])]
    ]
    return (max(order)[0], *max(order)[3:]) if order else None


def test_each_view_says_what_it_answers():
    for name in VIEWS:
        assert view_sql(name).startswith("-- "), name


@pytest.mark.slow
def test_views_answer_from_the_tables(warehouse, spark):
    rows = publications(random.Random(6))
    warehouse.merge(FEATURE_PUBLICATIONS, frame(warehouse, FEATURE_PUBLICATIONS, rows))
    assignment = {"x": "k1", "y": "k1", "z": "k2"}
    names = [cluster(warehouse, day(n), assignment, ("o",)) for n in range(2)]
    stamps = [{"dt": r["dt"], "clustering_id": r["clustering_id"], "revision": r["revision"], "user_id": "u"} for r in rows]
    for stamp in stamps[:2]:
        key = {c: stamp[c] for c in ("dt", "clustering_id", "revision")}
        warehouse.overwrite_partition(USER_FEATURES, frame(warehouse, USER_FEATURES, [stamp]), **key)
    warehouse.append(USER_CLUSTER_COUNTS, frame(warehouse, USER_CLUSTER_COUNTS, [s | {"cluster_id": "k1"} for s in stamps]))
    tags = [{"clustering_id": names[1], "cluster_id": "k1", "rank": n, "tag": tag} for n, tag in ((2, "boots"), (1, "trail"))]
    warehouse.append(CLUSTER_TAGS, frame(warehouse, CLUSTER_TAGS, tags))
    warehouse.append(CLUSTERS, frame(warehouse, CLUSTERS, [{"clustering_id": names[1], "cluster_id": "k1", "size": 2}]))
    counted = [
        {"dt": day(n), "clustering_id": names[n], "cluster_id": "k1", "requests": 1, "impressions": 5, "clicks": n}
        for n in (0, 1)
    ]
    users = spark.createDataFrame([(0, "u"), (0, "v"), (1, "v"), (1, "w")], "n int, user string")
    sketches = users.groupBy("n").agg({"user": "theta_sketch_agg"}).collect()
    by_day = {r["n"]: bytes(r[1]) for r in sketches}
    warehouse.append(
        CLUSTER_DAYS, frame(warehouse, CLUSTER_DAYS, [c | {"users_sketch": by_day[n]} for n, c in enumerate(counted)])
    )

    assert register_views(warehouse) == list(VIEWS)
    found = {name: spark.sql(f"SELECT * FROM {name}").collect() for name in VIEWS}
    assert {r.clustering_id for r in found["current_clusterings"]} == set(names)
    members = {r.banner_id: (r.clustering_id, r.cluster_id, r.tags, r.size) for r in found["current_members"]}
    assert members == {
        **dict.fromkeys("xy", (names[1], "k1", "trail, boots", 2)),
        "z": (names[1], "k2", None, None),
        "o": (names[1], None, None, None),
    }
    newest = {(r["dt"], r["clustering_id"]): 0 for r in rows}
    for r in rows:
        newest[r["dt"], r["clustering_id"]] = max(newest[r["dt"], r["clustering_id"]], r["revision"])
    assert {(r.dt, r.clustering_id): r.revision for r in found["newest_publications"]} == newest
    assert len(found["newest_cluster_counts"]) == len(newest)
    assert {(r.dt, r.clustering_id, r.revision) for r in found["newest_user_features"]} <= {(*k, v) for k, v in newest.items()}
    named = {r.dt: (r.tags, r.size) for r in found["cluster_days_named"]}
    assert named == {day(0): (None, None), day(1): ("trail, boots", 2)}
    weeks = {r.dt: (r.days, r.impressions, r.clicks, r.users) for r in found["cluster_weeks"]}
    assert weeks == {day(0): (1, 5, 0, 2), day(1): (2, 10, 1, 3)}
    assert found["rising_and_falling"] == []

    spans = spark.sql(
        "SELECT dt, clustering_id, revision, string(served_from) a, string(served_until) b FROM served_publications"
    ).collect()
    moments = sorted({r["available_at"] + datetime.timedelta(minutes=m) for r in rows for m in (-1, 0, 1)})
    for at in moments:
        text = at.isoformat(" ")
        inside = [(s.dt, s.clustering_id, s.revision) for s in spans if s.a <= text and (s.b is None or text < s.b)]
        assert inside == ([served(rows, at)] if served(rows, at) else [])
    trained = {(r.dt, r.clustering_id, r.revision) for r in found["features_as_trained"]}
    assert trained == {(s.dt, s.clustering_id, s.revision) for s in spans} & {tuple(k.values())[:3] for k in stamps[:2]}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_a_server_had_is_said_for_each_model_and_of_equal_times_the_later_clustering(warehouse, spark, seed):
    rng = random.Random(seed)
    rows = publications(rng, "abcdef", hours=2)  # of equal times there are many
    rows = [r | {"clustering_id": f"{r['dt']}-{r['clustering_id']}"} for r in rows]
    warehouse.merge(FEATURE_PUBLICATIONS, frame(warehouse, FEATURE_PUBLICATIONS, rows))
    names = sorted({(r["dt"], r["clustering_id"]) for r in rows})
    model_of = {name: {"a": "m1", "b": "m1", "c": "m2"}.get(name[-1]) for _, name in names}
    sequences = {name: number for number, (_, name) in enumerate(rng.sample(names, len(names)), 1)}
    for table, mine in ((CLUSTERINGS, False), (MODEL_CLUSTERINGS, True)):
        made = [
            {"clustering_id": name, "dt": dt, "sequence": sequences[name]} | ({"model_id": model_of[name]} if mine else {})
            for dt, name in names
            if (model_of[name] is not None) == mine
        ]
        warehouse.merge(table, frame(warehouse, table, made))
    register_views(warehouse)
    spans = spark.sql(
        "SELECT dt, clustering_id, revision, model_id, string(served_from) a, string(served_until) b FROM served_publications"
    ).collect()
    for model in (None, "m1", "m2"):
        own = [r for r in rows if model_of[r["clustering_id"]] == model]
        for at in sorted({r["available_at"] + datetime.timedelta(minutes=m) for r in rows for m in (-1, 0, 1)}):
            text = at.isoformat(" ")
            inside = [
                (s.dt, s.clustering_id, s.revision)
                for s in spans
                if s.model_id == model and s.a <= text and (s.b is None or text < s.b)
            ]
            wanted = served(own, at, sequences)
            assert inside == ([wanted] if wanted else [])


@pytest.mark.slow
def test_views_follow_each_model_and_the_newest_clustering_that_was_analysed(warehouse, spark):
    own = cluster(warehouse, day(0), {"x": "k1"})
    newer = {"clustering_id": "not-analysed", "dt": day(0), "sequence": 2, "state": "current"}
    warehouse.merge(CLUSTERINGS, frame(warehouse, CLUSTERINGS, [newer]))
    by_model = [{"clustering_id": f"m{n}", "dt": day(0), "sequence": 1, "model_id": f"model-{n}"} for n in (1, 2)]
    warehouse.merge(MODEL_CLUSTERINGS, frame(warehouse, MODEL_CLUSTERINGS, by_model))
    members = [{"clustering_id": "m1", "banner_id": "x", "cluster_id": "k7", "is_outlier": False}]
    warehouse.overwrite_partition(CLUSTER_MEMBERS, frame(warehouse, CLUSTER_MEMBERS, members), clustering_id="m1")
    users = spark.range(6000).selectExpr("theta_sketch_agg(string(id), 14)").collect()[0][0]
    stamps = {None: own, "model-1": "m1"}
    counted = [
        {"dt": day(0), "clustering_id": c, "cluster_id": "k7", "impressions": n, "users_sketch": bytes(users)}
        for n, c in enumerate(stamps.values(), 1)
    ]
    warehouse.append(CLUSTER_DAYS, frame(warehouse, CLUSTER_DAYS, counted))
    trends = [{"dt": day(0), "clustering_id": c, "cluster_id": "k7", "trend": "rises"} for c in stamps.values()]
    warehouse.append(CLUSTER_TRENDS, frame(warehouse, CLUSTER_TRENDS, trends))

    register_views(warehouse, users_sketch_lg_k=14)
    current = {r.model_id: r.clustering_id for r in spark.sql("SELECT * FROM current_clusterings").collect()}
    assert current == {None: "not-analysed", "model-1": "m1", "model-2": "m2"}
    named = spark.sql("SELECT model_id, clustering_id, impressions FROM cluster_days_named").collect()
    assert {r[0]: tuple(r[1:]) for r in named} == {None: (own, 1), "model-1": ("m1", 2)} and len(named) == 2
    weeks = spark.sql("SELECT model_id, days, impressions, users FROM cluster_weeks").collect()
    assert sorted(map(tuple, weeks), key=str) == [("model-1", 1, 2, 6000), (None, 1, 1, 6000)]
    rising = spark.sql("SELECT model_id, cluster_id FROM rising_and_falling").collect()
    assert sorted(map(tuple, rising), key=str) == [("model-1", "k7"), (None, "k7")]
    assert [(r.banner_id, r.model_id, r.cluster_id) for r in spark.table("current_members").collect()] == [("x", "model-1", "k7")]


@pytest.mark.slow
@pytest.mark.parametrize("model", [None, "model-1"])
def test_the_notebook_answers_by_one_model_alone(warehouse, spark, model):
    """Each of its queries, with rows of another model beside; the last names a user, and is left out."""
    clusterings = {None: cluster(warehouse, day(0), {"x": "k1"}), "model-1": "m1"}
    saved = [{"clustering_id": "m1", "dt": day(0), "sequence": 1, "model_id": "model-1"}]
    users = bytes(spark.range(50).selectExpr("theta_sketch_agg(string(id), 14)").collect()[0][0])
    names = {None: f"{'0123456789abcdef' * 2}", "model-1": "2026-03-14-0123456789ab-000007"}
    stamps = {m: {"dt": day(0), "clustering_id": c, "cluster_id": names[m]} for m, c in clusterings.items()}
    days = [
        s | {"impressions": n, "clicks": 1, "ctr": 1 / n, "ctr_low": 0.0, "ctr_high": 1.0, "users_sketch": users}
        for n, s in enumerate(stamps.values(), 2)
    ]
    warehouse.merge(MODEL_CLUSTERINGS, frame(warehouse, MODEL_CLUSTERINGS, saved))
    warehouse.append(CLUSTER_DAYS, frame(warehouse, CLUSTER_DAYS, days))
    warehouse.append(CLUSTER_TRENDS, frame(warehouse, CLUSTER_TRENDS, [s | {"trend": "rises"} for s in stamps.values()]))
    at = datetime.datetime.combine(day(1), datetime.time(6))
    there = [{"dt": day(0), "clustering_id": c, "revision": 1, "available_at": at, "users": 1} for c in clusterings.values()]
    warehouse.merge(FEATURE_PUBLICATIONS, frame(warehouse, FEATURE_PUBLICATIONS, there))
    register_views(warehouse, users_sketch_lg_k=14)
    notebook = json.loads((ROOT / "notebooks/02_feature_sql.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"]]
    texts = [text for cell in cells for text in re.findall(r'sql\(f"""(.*?)"""\)', cell, re.DOTALL)]
    of_model = f"model_id = '{model}'" if model else "model_id IS NULL"
    rows = [spark.sql(text.format(of_model=of_model)).collect() for text in texts if "{trained" not in text]
    assert [len(r) for r in rows] == [1, 1, 1, 1, 1, 1, 1, 0], "there are no rows of users"
    impressions = {None: 2, "model-1": 3}[model]
    assert (rows[0][0].impressions, rows[1][0].impressions, rows[2][0].ctr) == (impressions, impressions, 1 / impressions)
    called = {None: "01234567", "model-1": "000007"}[model]
    assert rows[1][0].cluster.startswith(called) and rows[3][0].cluster == rows[5][0].cluster == called
    assert rows[3][0].share == 1 and rows[6][0].clustering_id == clusterings[model]
